"""Live resources against their templates, for what CloudFormation does not check itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from bridge.deploy._faults import asked
from bridge.errors import AccessError, NotFoundError
from bridge.targets.aws.account import Account

__all__ = ["differences"]

Rows = tuple[tuple[str, Any, Any], ...]
Read = Callable[[Any, str], Mapping[str, Any]]


def _function(client: Any, name: str) -> Mapping[str, Any]:
    found = client.get_function(FunctionName=name)
    said = found["Configuration"]
    return {
        "Code.ImageUri": found.get("Code", {}).get("ImageUri"),
        "Environment.Variables": said.get("Environment", {}).get("Variables", {}),
        "EphemeralStorage.Size": said.get("EphemeralStorage", {}).get("Size"),
        "Handler": said.get("Handler"),
        "MemorySize": said.get("MemorySize"),
        "Timeout": said.get("Timeout"),
    }


def _definition(client: Any, arn: str) -> Mapping[str, Any]:
    (found,) = client.describe_job_definitions(jobDefinitions=[arn])["jobDefinitions"]
    container = found.get("containerProperties", {})
    needs = {one["type"]: one["value"] for one in container.get("resourceRequirements", ())}
    return {
        "ContainerProperties.Image": container.get("image"),
        "ContainerProperties.Command": container.get("command"),
        "ContainerProperties.ResourceRequirements": needs,
        "Timeout.AttemptDurationSeconds": found.get("timeout", {}).get("attemptDurationSeconds"),
    }


def _job_queue(client: Any, arn: str) -> Mapping[str, Any]:
    (found,) = client.describe_job_queues(jobQueues=[arn])["jobQueues"]
    return {"State": found.get("state"), "Priority": found.get("priority")}


def _compute(client: Any, arn: str) -> Mapping[str, Any]:
    found = client.describe_compute_environments(computeEnvironments=[arn])["computeEnvironments"]
    sizes = found[0].get("computeResources", {})
    return {"State": found[0].get("state"), "ComputeResources.MaxvCpus": sizes.get("maxvCpus")}


def _rule(client: Any, name: str) -> Mapping[str, Any]:
    found = client.describe_rule(Name=name.rpartition("/")[2].rpartition("|")[2])
    pattern = found.get("EventPattern")
    return {
        "State": found.get("State"),
        "EventPattern": json.loads(pattern) if pattern else None,
        "ScheduleExpression": found.get("ScheduleExpression"),
    }


_READ: Final[Mapping[str, tuple[str, Read]]] = {
    "AWS::Batch::ComputeEnvironment": ("batch", _compute),
    "AWS::Batch::JobDefinition": ("batch", _definition),
    "AWS::Batch::JobQueue": ("batch", _job_queue),
    "AWS::Events::Rule": ("events", _rule),
    "AWS::Lambda::Function": ("lambda", _function),
}


def differences(
    account: Account, kind: str, physical: str, wanted: Mapping[str, Any]
) -> Rows | None:
    """(path, template's value, live value) where they differ; None when it cannot be told.

    Only values are compared that the template writes out and that the service tells.
    """
    if kind not in _READ or not physical:
        return None
    service, read = _READ[kind]
    try:
        with asked(account, service, f"{kind} {physical}"):
            live = read(account.client(service), physical)
    except (AccessError, NotFoundError):
        return None
    rows = (row for path, now in live.items() for row in _compared(path, _at(wanted, path), now))
    return tuple(rows)


def _at(properties: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(properties, Mapping):
            return None
        properties = properties.get(key)
    return _pairs(properties)


def _pairs(value: Any) -> Any:
    """A list of {Type, Value} as a map, as the readers give it."""
    if (
        isinstance(value, list)
        and value
        and all(isinstance(one, Mapping) and set(one) == {"Type", "Value"} for one in value)
    ):
        return {one["Type"]: one["Value"] for one in value}
    return value


def _compared(path: str, wanted: Any, now: Any) -> Rows:
    if wanted is None or (_has_function(wanted) and not isinstance(wanted, Mapping)):
        return ()
    if isinstance(wanted, Mapping) and isinstance(now, Mapping) and path != "EventPattern":
        if _is_function(wanted):
            return ()
        return tuple(
            row
            for key, value in wanted.items()
            for row in _compared(f"{path}.{key}", value, now.get(key))
        )
    if _has_function(wanted) or now is None or str(wanted) == str(now) or wanted == now:
        return ()
    return ((path, wanted, now),)


def _is_function(value: Any) -> bool:
    if not isinstance(value, Mapping) or len(value) != 1:
        return False
    return all(key == "Ref" or str(key).startswith("Fn::") for key in value)


def _has_function(value: Any) -> bool:
    if _is_function(value):
        return True
    if isinstance(value, Mapping):
        return any(_has_function(one) for one in value.values())
    return isinstance(value, list) and any(_has_function(one) for one in value)
