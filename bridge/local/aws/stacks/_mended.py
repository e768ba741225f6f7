"""Which resource types are mended, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from bridge.local.aws.stacks._api import Api, Json
from bridge.local.aws.stacks._buckets import Buckets
from bridge.local.aws.stacks._functions import Functions, Mappings

Handlers = Mapping[str, Any]
"""`create`, `update` and `delete` of one type, as the emulator keeps them."""

Taken = Callable[[str, str], bool]
"""True when a resource of a type has a name already."""

REPLACING: Final[Mapping[str, tuple[str, ...]]] = {
    "AWS::Lambda::EventSourceMapping": (
        "EventSourceArn",
        "StartingPosition",
        "StartingPositionTimestamp",
    ),
    "AWS::Batch::ComputeEnvironment": ("ComputeEnvironmentName", "Type", "EksConfiguration"),
    "AWS::Batch::JobQueue": ("JobQueueName", "JobQueueType"),
    "AWS::Batch::JobDefinition": ("JobDefinitionName",),
}
"""The properties whose change makes a new resource, of types that the emulator does not know."""

_NAMES: Final[Mapping[str, str]] = {
    "AWS::DynamoDB::Table": "TableName",
    "AWS::ECR::Repository": "RepositoryName",
    "AWS::Events::Rule": "Name",
    "AWS::IAM::Role": "RoleName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::SecretsManager::Secret": "Name",
}
_FUNCTION: Final = "AWS::Lambda::Function"
_MAPPING: Final = "AWS::Lambda::EventSourceMapping"
_BUCKET: Final = "AWS::S3::Bucket"
_TABLE: Final = "AWS::DynamoDB::Table"


def mended(handlers: Mapping[str, Handlers], api: Api, taken: Taken) -> dict[str, dict[str, Any]]:
    """The types that are to be put in the place of the emulator's; they ask the API and wait."""
    made: dict[str, dict[str, Any]] = {}
    for kind, property_ in _NAMES.items():
        made[kind] = {**handlers[kind], "create": _guarded(kind, property_, handlers[kind], taken)}
    functions, mappings, buckets = Functions(api), Mappings(api), Buckets(api)
    for kind, ours in ((_FUNCTION, functions), (_MAPPING, mappings)):
        made[kind] = {**handlers[kind], **_over(ours)}
    made[_BUCKET] = {**_settled(handlers[_BUCKET], buckets.settle), "delete": buckets.delete}
    made[_TABLE] = _settled(made[_TABLE], lambda *given: _settle_table(api, *given))
    return made


def _over(ours: Functions | Mappings) -> dict[str, Any]:
    return {"create": ours.create, "update": ours.update, "delete": ours.delete}


def _guarded(kind: str, property_: str, theirs: Handlers, taken: Taken) -> Callable[..., Any]:
    """A create that takes nothing over."""

    def create(logical_id: str, properties: Json, stack: str) -> Any:
        name = properties.get(property_)
        if name and taken(kind, str(name)):
            text = f"Resource of type '{kind}' with identifier '{name}' already exists."
            raise ValueError(text)
        return theirs["create"](logical_id, properties, stack)

    return create


def _settled(theirs: Handlers, settle: Callable[[str, Json, Json], None]) -> dict[str, Any]:
    """Create and update that go on with `settle(physical id, new, old)`."""

    def create(logical_id: str, properties: Json, stack: str) -> Any:
        made = theirs["create"](logical_id, properties, stack)
        try:
            settle(made[0], properties, {})
        except ValueError:
            theirs["delete"](made[0], properties)
            raise
        return made

    def update(physical_id: str, old: Json, new: Json, *rest: Any) -> Any:
        made = theirs["update"](physical_id, old, new, *rest)
        settle(made[0], new, old)
        return made

    return {**theirs, "create": create, "update": update}


def _settle_table(api: Api, table: str, new: Json, old: Json) -> None:
    live = new.get("TimeToLiveSpecification")
    if live != old.get("TimeToLiveSpecification"):
        wanted = live or {**old["TimeToLiveSpecification"], "Enabled": False}
        body = {"TableName": table, "TimeToLiveSpecification": wanted}
        api.json("dynamodb", "DynamoDB_20120810.UpdateTimeToLive", body)
    backups = new.get("PointInTimeRecoverySpecification")
    if backups != old.get("PointInTimeRecoverySpecification"):
        wanted = backups or {"PointInTimeRecoveryEnabled": False}
        body = {"TableName": table, "PointInTimeRecoverySpecification": wanted}
        api.json("dynamodb", "DynamoDB_20120810.UpdateContinuousBackups", body)
