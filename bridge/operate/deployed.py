"""What is deployed: the services that the stacks have written down, and their state now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from bridge.errors import BridgeError, NotFoundError, PermanentError
from bridge.fdl.model import Document
from bridge.targets.aws.account import Account, translated
from bridge.targets.aws.deployed import Deployed, deployed_document, deployed_services

__all__ = ["Deployed", "Status", "document", "place_of", "service", "services", "statuses"]

_READY: Final = "ready"
_AT_ONCE: Final = 8


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
    found = (Deployed.read(name, text) for name, text in deployed_services(account).items())
    return sorted(found, key=lambda one: one.service)


def service(account: Account, name: str) -> Deployed:
    """One service; NotFoundError with the names that there are."""
    path = f"/{account.settings.name}/services/{name}"
    try:
        with translated(f"parameter {path}"):
            found = account.client("ssm").get_parameter(Name=path)["Parameter"]
            return Deployed.read(path, found["Value"])
    except NotFoundError:
        pass
    there = ", ".join(one.service for one in services(account))
    where = f"{account.region} (prefix {account.settings.name})"
    hint = f"there are: {there}" if there else "deploy an FDL file with `oscar-bridge apply`"
    raise NotFoundError(f"no service {name!r} is deployed in {where}", hint=hint)


def place_of(url: str) -> tuple[str, str]:
    """Bucket and key of an s3:// URL; PermanentError when it is none."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise PermanentError(f"{url!r} is not an s3:// URL", hint="write s3://bucket/folder")
    return bucket, key


def document(account: Account, deployed: Deployed) -> Document:
    """The FDL of the service as it was deployed, without secrets."""
    return deployed_document(account, deployed.document)


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
