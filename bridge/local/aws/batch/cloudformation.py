"""The three AWS::Batch types of CloudFormation, over the API's own operations."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.local.aws.batch.api import BatchApi
from bridge.local.aws.batch.model import Fault, Json

# Their keys are the user's own and keep their case.
_FREE: Final = frozenset({"Parameters", "Options", "Tags"})
_NAME_LENGTH: Final = 100


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one resource type maps to operations; `name` and `arn` are fields of the API."""

    name: str
    arn: str
    create: str
    update: str = ""
    delete: str = ""
    reference: str = ""


_KINDS: Final[Mapping[str, _Kind]] = {
    "AWS::Batch::ComputeEnvironment": _Kind(
        "computeEnvironmentName",
        "computeEnvironmentArn",
        "createcomputeenvironment",
        "updatecomputeenvironment",
        "deletecomputeenvironment",
        "computeEnvironment",
    ),
    "AWS::Batch::JobQueue": _Kind(
        "jobQueueName",
        "jobQueueArn",
        "createjobqueue",
        "updatejobqueue",
        "deletejobqueue",
        "jobQueue",
    ),
    "AWS::Batch::JobDefinition": _Kind(
        "jobDefinitionName",
        "jobDefinitionArn",
        "registerjobdefinition",
        delete="deregisterjobdefinition",
        reference="jobDefinition",
    ),
}


def resource_handlers(api: BatchApi) -> dict[str, dict[str, Callable[..., Any]]]:
    """The functions that create, update and delete each type."""
    return {name: _handlers(api, kind) for name, kind in _KINDS.items()}


def _handlers(api: BatchApi, kind: _Kind) -> dict[str, Callable[..., Any]]:
    def create(logical_id: str, properties: Json, stack: str) -> tuple[str, Json]:
        body = camel(properties)
        body.setdefault(kind.name, f"{stack}-{logical_id}"[:_NAME_LENGTH] + _suffix())
        arn = str(api.call(kind.create, body)[kind.arn])
        return arn, _attributes(kind, arn)

    def update(physical_id: str, old: Json, new: Json, stack: str, *_: Any) -> tuple[str, Json]:
        body = camel(new)
        if not kind.update:
            body[kind.name] = physical_id.rpartition("/")[2].partition(":")[0]
            arn = str(api.call(kind.create, body)[kind.arn])
            return arn, _attributes(kind, arn)
        body[kind.reference] = physical_id
        api.call(kind.update, body)
        return physical_id, _attributes(kind, physical_id)

    def delete(physical_id: str, properties: Json, *_: Any) -> None:
        try:
            if kind.update:
                api.call(kind.update, {kind.reference: physical_id, "state": "DISABLED"})
            api.call(kind.delete, {kind.reference: physical_id})
        except Fault as fault:
            if "not exist" not in str(fault) and "not found" not in str(fault):
                raise

    return {"create": create, "update": update, "delete": delete}


def camel(value: Any) -> Any:
    """A template's properties → the API's body: keys in camelCase, tags as a mapping."""
    if isinstance(value, dict):
        return {
            key[:1].lower() + key[1:]: _tags(inner) if key in _FREE else camel(inner)
            for key, inner in value.items()
        }
    return [camel(one) for one in value] if isinstance(value, list) else value


def _tags(value: Any) -> Any:
    if isinstance(value, list):
        return {one["Key"]: one["Value"] for one in value}
    return value


def _attributes(kind: _Kind, arn: str) -> Json:
    return {kind.arn[:1].upper() + kind.arn[1:]: arn}


def _suffix() -> str:
    return f"-{secrets.token_hex(4)}"
