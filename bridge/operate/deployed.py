"""What is deployed: the services that the stacks have written down, and their state now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from bridge.errors import BridgeError, NotFoundError, PermanentError
from bridge.fdl import parse
from bridge.fdl.model import Document
from bridge.targets.aws.account import Account, translated

__all__ = ["Deployed", "Status", "document", "place_of", "service", "services", "statuses"]

_READY: Final = "ready"
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Deployed:
    """One service as its stack describes it. "" for what it does not have.

    `document` is the s3:// URL of the service as jobs read it, `function` its Lambda function,
    `queue` and `definition` its Batch side, `secret` a name in Secrets Manager.
    """

    service: str
    deployment: str = ""
    document: str = ""
    function: str = ""
    queue: str = ""
    definition: str = ""
    secret: str = ""
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """A deployed service as AWS has it now. `memory` in MB, `timeout` in seconds.

    `state` is `ready`, or one sentence for each thing that is not.
    """

    deployed: Deployed
    images: tuple[str, ...] = ()
    memory: tuple[int, ...] = ()
    timeout: int | None = None
    state: str = _READY


def services(account: Account) -> list[Deployed]:
    """Every service of this prefix in the account's region, by name; empty when there is none."""
    path = f"/{account.settings.name}/services"
    pages = account.client("ssm").get_paginator("get_parameters_by_path")
    with translated(f"parameters {path}"):
        found = [one for page in pages.paginate(Path=path) for one in page["Parameters"]]
    return sorted((_deployed(one) for one in found), key=lambda one: one.service)


def service(account: Account, name: str) -> Deployed:
    """One service; NotFoundError with the names that there are."""
    path = f"/{account.settings.name}/services/{name}"
    try:
        with translated(f"parameter {path}"):
            return _deployed(account.client("ssm").get_parameter(Name=path)["Parameter"])
    except NotFoundError:
        pass
    there = ", ".join(one.service for one in services(account))
    where = f"{account.region} (prefix {account.settings.name})"
    hint = f"there are: {there}" if there else "deploy an FDL file with `oscar-bridge apply`"
    raise NotFoundError(f"no service {name!r} is deployed in {where}", hint=hint)


def _deployed(parameter: Mapping[str, Any]) -> Deployed:
    name = str(parameter["Name"])
    try:
        value = json.loads(parameter["Value"])
        texts = {key: str(value.get(key) or "") for key in _TEXTS}
        return Deployed(
            **{**texts, "service": texts["service"] or name.rpartition("/")[2]},
            targets=tuple(map(str, value.get("targets") or ())),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise PermanentError(
            f"the parameter {name} does not describe a service: {error}",
            hint="deploy the file again with `oscar-bridge apply`",
        ) from None


_TEXTS: Final = ("service", "deployment", "document", "function", "queue", "definition", "secret")


def place_of(url: str) -> tuple[str, str]:
    """Bucket and key of an s3:// URL; PermanentError when it is none."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise PermanentError(f"{url!r} is not an s3:// URL", hint="write s3://bucket/folder")
    return bucket, key


def document(account: Account, deployed: Deployed) -> Document:
    """The FDL of the service as it was deployed, without secrets."""
    bucket, key = place_of(deployed.document)
    with translated(deployed.document):
        body = account.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    try:
        value = json.loads(body)
        script = value.get("script") or ""
        return parse(value["fdl"], file=deployed.document, read_script=lambda _: str(script))
    except (ValueError, KeyError, TypeError) as error:
        raise PermanentError(
            f"{deployed.document} is not the document of a service: {error!r}",
            hint="deploy the file again with `oscar-bridge apply`",
        ) from None


def statuses(account: Account, those: Sequence[Deployed]) -> list[Status]:
    """How each of them stands, asked of Lambda and Batch at this moment."""
    queues = _queues(account, sorted({one.queue for one in those if one.queue}))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda one: _status(account, one, queues), those))


def _queues(account: Account, names: Sequence[str]) -> dict[str, str]:
    """What is wrong with the queues that are not ready, by name."""
    found: dict[str, Mapping[str, Any]] = {}
    for start in range(0, len(names), 100):
        with translated("job queues"):
            answer = account.client("batch").describe_job_queues(
                jobQueues=list(names[start : start + 100])
            )
        found |= {one["jobQueueName"]: one for one in answer["jobQueues"]}
    return {name: wrong for name in names if (wrong := _wrong_queue(name, found.get(name)))}


def _wrong_queue(name: str, queue: Mapping[str, Any] | None) -> str:
    if queue is None:
        return f"job queue {name} is gone"
    if queue["status"] == "VALID" and queue["state"] == "ENABLED":
        return ""
    return f"job queue {name} is {queue['state']}, {queue['status']}"


def _status(account: Account, deployed: Deployed, queues: Mapping[str, str]) -> Status:
    images, memory, wrong = list[str](), list[int](), list[str]()
    timeout: int | None = None
    if deployed.function:
        found = _function(account, deployed.function)
        timeout = found.timeout
        images, memory, wrong = found.images, found.memory, found.wrong
    if deployed.definition:
        found = _definition(account, deployed.definition)
        images, memory = images + found.images, memory + found.memory
        wrong = wrong + found.wrong + [queues[q] for q in (deployed.queue,) if q in queues]
    return Status(
        deployed,
        images=tuple(dict.fromkeys(images)),
        memory=tuple(dict.fromkeys(memory)),
        timeout=timeout,
        state="; ".join(wrong) or _READY,
    )


@dataclass(frozen=True, slots=True)
class _Side:
    images: list[str]
    memory: list[int]
    wrong: list[str]
    timeout: int | None = None


def _function(account: Account, name: str) -> _Side:
    try:
        with translated(f"function {name}"):
            found = account.client("lambda").get_function(FunctionName=name)
    except NotFoundError:
        return _Side([], [], [f"function {name} is gone"])
    except BridgeError as error:
        return _Side([], [], [error.message])
    configuration = found["Configuration"]
    image = found.get("Code", {}).get("ImageUri")
    return _Side(
        [str(image)] if image else [],
        [int(configuration["MemorySize"])],
        list(_wrong_function(name, configuration)),
        int(configuration["Timeout"]),
    )


def _wrong_function(name: str, configuration: Mapping[str, Any]) -> Iterator[str]:
    state = configuration.get("State", "Active")
    update = configuration.get("LastUpdateStatus", "Successful")
    if state not in ("Active", "Inactive"):
        yield f"function {name} is {state}: {configuration.get('StateReason', 'no reason given')}"
    if update != "Successful":
        reason = configuration.get("LastUpdateStatusReason", "no reason given")
        yield f"the update of function {name} is {update}: {reason}"


def _definition(account: Account, name: str) -> _Side:
    try:
        with translated(f"job definition {name}"):
            answer = account.client("batch").describe_job_definitions(
                jobDefinitionName=name, status="ACTIVE"
            )
    except BridgeError as error:
        return _Side([], [], [error.message])
    found = max(answer["jobDefinitions"], key=lambda one: int(one["revision"]), default=None)
    if found is None:
        return _Side([], [], [f"job definition {name} is gone"])
    container = _container(found)
    needs = {one["type"]: one["value"] for one in container.get("resourceRequirements") or ()}
    memory = needs.get("MEMORY") or container.get("memory")
    image = container.get("image")
    return _Side([str(image)] if image else [], [int(memory)] if memory else [], [])


def _container(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    ranges = (definition.get("nodeProperties") or {}).get("nodeRangeProperties") or [{}]
    found: Mapping[str, Any] = definition.get("containerProperties") or ranges[0].get("container")
    return found or {}
