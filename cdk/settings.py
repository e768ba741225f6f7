"""What the user of the CDK app asks for: the context of `cdk deploy -c key=value`, as one value."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from bridge.errors import UsageError
from bridge.scheduler import TRIAL_VARIABLES, Trial

__all__ = ["Assets", "Images", "Settings"]

Images = Literal["push", "as-is"]
Assets = Literal["bootstrap", "own", "auto"]

_IMAGES: Final = "OSCAR_BRIDGE_IMAGES"
_LAYER: Final = "BRIDGE_OTEL_LAYER"
# Not OTEL_EXPORTER_OTLP_HEADERS: there are keys in it, and templates are read by many.
_TRACES: Final = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
)
_PREFIX: Final = re.compile(r"[a-z][a-z0-9-]{0,24}[a-z0-9]")
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?")
_MINIO_KEYS: Final = frozenset({"endpoint", "region", "verify"})
_KNOWN: Final = (
    "fdl",
    "name",
    "prefix",
    "stacks",
    "images",
    "policy",
    "region",
    "vpc",
    "alarms",
    "tags",
    "assets",
    "facts",
    "minio",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How one FDL file is deployed.

    `name` is the deployment's, `prefix` that of the base stack and of all shared names. `stacks` is
    over how many stacks the services are spread. `images` is `push` (service images are made and
    pushed to ECR) or `as-is` (the image names of the file, for endpoints that bring the runtime).
    `policy` takes the place of the file's placement policies. `region` is "" for the one of the
    credentials, `vpc` "" for the account's default VPC, else one that is made. `alarms` is the ARN
    of a topic that alarms notify. `tags` are put on everything.
    `minio` is how AWS reaches `minio.default`, where the file does not say it: its endpoint, region
    and verify, as JSON; its keys go into the services' secrets on another way.
    `assets` says where files go: the CDK bootstrap's bucket, one of our own, or whichever there is;
    who gives it also pushes images, else the app does that (`push`). `variables` are
    for the dispatcher: policies on trial, and where its traces go. `layer` is the ARN of a layer
    with OpenTelemetry, for the latter.
    """

    fdl: Path
    name: str
    prefix: str = "oscar-bridge"
    stacks: int = 1
    images: Images = "push"
    policy: str = ""
    region: str = ""
    vpc: str = ""
    alarms: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    minio: Mapping[str, Any] = field(default_factory=dict)
    assets: Assets = "bootstrap"
    push: bool = True
    variables: Mapping[str, str] = field(default_factory=dict)
    layer: str = ""

    @classmethod
    def read(cls, context: Mapping[str, object]) -> Settings:
        """Read the context; UsageError says which value cannot be used and how to write it.

        Without `fdl` it is about the base alone. OSCAR_BRIDGE_IMAGES stands in for `images`.
        """
        given = {key: str(context[key]) for key in _KNOWN if context.get(key) not in (None, "")}
        fdl = Path(given.get("fdl", ""))
        images = given.get("images") or os.environ.get(_IMAGES) or "push"
        prefix = _matching(given.get("prefix", "oscar-bridge"), _PREFIX, "prefix", _PREFIX_HINT)
        return cls(
            fdl=fdl,
            name=_matching(given.get("name") or legal_name(fdl.stem), _NAME, "name", _NAME_HINT),
            prefix=prefix,
            stacks=_number(given.get("stacks", "1")),
            images=cast(Images, _one_of(images, get_args(Images), "images")),
            policy=given.get("policy", ""),
            region=given.get("region", ""),
            vpc=given.get("vpc", ""),
            alarms=given.get("alarms", ""),
            tags=_tags(given.get("tags", "")),
            minio=_minio(given.get("minio", "{}")),
            assets=cast(
                Assets, _one_of(given.get("assets", "bootstrap"), get_args(Assets), "assets")
            ),
            push="assets" not in given,
            variables=_variables(os.environ),
            layer=os.environ.get(_LAYER, ""),
        )

    @property
    def only_base(self) -> bool:
        """True when no file is named."""
        return self.fdl == Path()

    @property
    def stack_names(self) -> tuple[str, ...]:
        """The names of the file's stacks."""
        whole = f"{self.prefix}-{self.name}"
        if self.stacks == 1:
            return (whole,)
        return tuple(f"{whole}-{number}" for number in range(1, self.stacks + 1))


_PREFIX_HINT: Final = "2 to 26 small letters, digits and hyphens, first a letter (buckets carry it)"
_NAME_HINT: Final = "letters, digits and hyphens, at most 64"


def legal_name(stem: str) -> str:
    """The nearest name that a stack may have."""
    return re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-")[:64].strip("-") or "services"


def _matching(text: str, pattern: re.Pattern[str], key: str, hint: str) -> str:
    if not pattern.fullmatch(text):
        raise UsageError(f"{key}={text!r} cannot be used", hint=hint)
    return text


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What the dispatcher takes of these; UsageError for a trial that makes no sense."""
    Trial.of(environment)
    names = (*TRIAL_VARIABLES, *_TRACES)
    return {name: environment[name] for name in names if environment.get(name)}


def _one_of(text: str, allowed: tuple[str, ...], key: str) -> str:
    if text not in allowed:
        raise UsageError(f"{key}={text!r} is not known", hint=f"write one of {', '.join(allowed)}")
    return text


def _number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 200:
        raise UsageError(f"stacks={text!r} is not a number of stacks", hint="write 1 to 200")
    return int(text)


def _tags(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if any(not key.strip() or not equals for key, equals, _ in pairs):
        raise UsageError(f"tags={text!r} cannot be read", hint="write tags=key=value,key=value")
    return {key.strip(): value.strip() for key, _, value in pairs}


def _minio(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not found.keys() <= _MINIO_KEYS:
        raise UsageError(
            f"minio={text!r} cannot be read",
            hint='write minio={"endpoint": "https://...", "region": "...", "verify": true}',
        )
    return found
