"""Services that somebody else has deployed: what their stacks have written down about them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge import fdl
from bridge.errors import PermanentError
from bridge.fdl.model import Document, TargetSpec
from bridge.targets.aws.account import Account, translated

__all__ = ["Deployed", "deployed_document", "deployed_services"]

_TEXTS: Final = ("service", "deployment", "document", "function", "queue", "definition", "secret")
_AGAIN: Final = "deploy the file again with `oscar-bridge apply`"


@dataclass(frozen=True, slots=True)
class Deployed:
    """One service as its stack describes it. "" for what it does not have.

    `document` is the s3:// URL of the service as jobs read it, named by its content; `function`,
    `queue` and `definition` are names on Lambda and Batch, `secret` one in Secrets Manager;
    `targets` are those of the FDL that it may be placed on. `hands_over` is for a `lambda-batch`
    service: what comes to the end of its time or memory in its function goes on in Batch. `arrays`
    says that its Batch jobs may be children of an array, and read their events there.
    """

    service: str
    function: str = ""
    queue: str = ""
    definition: str = ""
    hands_over: bool = False
    arrays: bool = False
    deployment: str = ""
    document: str = ""
    secret: str = ""
    targets: tuple[str, ...] = ()

    @classmethod
    def read(cls, name: str, text: str) -> Deployed:
        """The parameter `/<prefix>/services/<service>`; PermanentError when it makes no sense."""
        try:
            value = json.loads(text)
            texts: dict[str, Any] = {key: str(value.get(key) or "") for key in _TEXTS}
            texts["service"] = texts["service"] or name.rpartition("/")[2]
            targets = tuple(map(str, value.get("targets") or ()))
            return cls(**texts, targets=targets, arrays=value.get("arrays") is True)
        except (ValueError, TypeError, AttributeError) as error:
            raise PermanentError(
                f"the parameter {name} does not describe a service: {error}", hint=_AGAIN
            ) from None

    def specs(self, document: Document) -> dict[str, TargetSpec]:
        """The targets that the service was deployed for, by name, in its document's order."""
        there = {"lambda": bool(self.function), "batch": bool(self.queue and self.definition)}
        return {
            name: spec
            for name, spec in document.targets.items()
            if name in self.targets and there.get(spec.kind, False)
        }


def deployed_services(account: Account) -> Mapping[str, str]:
    """The texts of the parameters of all services of this prefix, by the parameter's name."""
    path = f"/{account.settings.name}/services"
    pages = account.client("ssm").get_paginator("get_parameters_by_path")
    with translated(f"parameters {path}"):
        return {
            str(one["Name"]): str(one["Value"])
            for page in pages.paginate(Path=path)
            for one in page["Parameters"]
        }


def deployed_document(account: Account, url: str) -> Document:
    """The FDL of one service as it was deployed, without secrets; `url` is its `document`."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    with translated(url):
        body = account.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    try:
        value: dict[str, Any] = json.loads(body)
        script = value.get("script") or ""
        return fdl.parse(value["fdl"], file=url, read_script=lambda _: str(script))
    except (ValueError, KeyError, TypeError) as error:
        raise PermanentError(
            f"{url} is not the document of a service: {error!r}", hint=_AGAIN
        ) from None
