"""What exists in the account, asked past CloudFormation: names taken, and what was deleted by hand.

Only types are asked that have a name of their own in an account. An endpoint that does not know a
service has nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from bridge.deploy._faults import asked, code_of, unknown_to_endpoint
from bridge.errors import AccessError, BridgeError, NotFoundError
from bridge.targets.aws.account import Account

__all__ = ["Tags", "existing", "gone"]

Tags = Mapping[str, str]
Ask = Callable[[Any, str], Tags | None]
_THREADS: Final = 8
_BUCKET: Final = "AWS::S3::Bucket"
_GONE: Final = frozenset(
    {
        "404",
        "NoSuchBucket",
        "NoSuchEntity",
        "NoSuchTagSet",
        "ParameterNotFound",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
        "AWS.SimpleQueueService.NonExistentQueue",
        "RepositoryNotFoundException",
    }
)


def _function(client: Any, name: str) -> Tags | None:
    return dict(client.get_function(FunctionName=name).get("Tags") or {})


def _queue_of_batch(client: Any, name: str) -> Tags | None:
    return _described(client.describe_job_queues(jobQueues=[name])["jobQueues"])


def _compute(client: Any, name: str) -> Tags | None:
    found = client.describe_compute_environments(computeEnvironments=[name])
    return _described(found["computeEnvironments"])


def _definition(client: Any, name: str) -> Tags | None:
    found = client.describe_job_definitions(jobDefinitionName=name, status="ACTIVE")
    return _described(found["jobDefinitions"])


def _described(found: list[Mapping[str, Any]]) -> Tags | None:
    there = [one for one in found if one.get("status") not in ("DELETED", "INACTIVE")]
    return dict(there[-1].get("tags") or {}) if there else None


def _bucket(client: Any, name: str) -> Tags | None:
    client.head_bucket(Bucket=name)
    try:
        return _pairs(client.get_bucket_tagging(Bucket=name)["TagSet"])
    except client.exceptions.ClientError as error:
        if code_of(error) in _GONE:
            return {}
        raise


def _table(client: Any, name: str) -> Tags | None:
    arn = client.describe_table(TableName=name)["Table"]["TableArn"]
    return _pairs(client.list_tags_of_resource(ResourceArn=arn)["Tags"])


def _queue(client: Any, name: str) -> Tags | None:
    url = client.get_queue_url(QueueName=name)["QueueUrl"]
    return dict(client.list_queue_tags(QueueUrl=url).get("Tags") or {})


def _parameter(client: Any, name: str) -> Tags | None:
    client.get_parameter(Name=name)
    found = client.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)
    return _pairs(found["TagList"])


def _log_group(client: Any, name: str) -> Tags | None:
    found = client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    if not any(one["logGroupName"] == name for one in found):
        return None
    return dict(client.list_tags_log_group(logGroupName=name).get("tags") or {})


def _role(client: Any, name: str) -> Tags | None:
    client.get_role(RoleName=name)
    return _pairs(client.list_role_tags(RoleName=name)["Tags"])


def _rule(client: Any, name: str) -> Tags | None:
    arn = client.describe_rule(Name=name)["Arn"]
    return _pairs(client.list_tags_for_resource(ResourceARN=arn)["Tags"])


def _pairs(tags: Iterable[Mapping[str, str]]) -> Tags:
    return {one["Key"]: one["Value"] for one in tags}


# The type, the client that knows it, and how that is asked.
_ASK: Final[Mapping[str, tuple[str, Ask]]] = {
    "AWS::Batch::ComputeEnvironment": ("batch", _compute),
    "AWS::Batch::JobDefinition": ("batch", _definition),
    "AWS::Batch::JobQueue": ("batch", _queue_of_batch),
    "AWS::DynamoDB::Table": ("dynamodb", _table),
    "AWS::Events::Rule": ("events", _rule),
    "AWS::IAM::Role": ("iam", _role),
    "AWS::Lambda::Function": ("lambda", _function),
    "AWS::Logs::LogGroup": ("logs", _log_group),
    "AWS::S3::Bucket": ("s3", _bucket),
    "AWS::SQS::Queue": ("sqs", _queue),
    "AWS::SSM::Parameter": ("ssm", _parameter),
}
# What a person may delete by hand and what nothing else notices.
_WATCHED: Final = frozenset(
    {
        "AWS::Batch::ComputeEnvironment",
        "AWS::Batch::JobDefinition",
        "AWS::Batch::JobQueue",
        "AWS::Events::Rule",
        "AWS::Lambda::Function",
        "AWS::SQS::Queue",
    }
)


class _Answer(NamedTuple):
    """`tags` is None for what does not exist; nothing is known of what may not be asked."""

    known: bool
    tags: Tags | None = None
    denied: bool = False


def existing(account: Account, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Tags]:
    """Those of the (type, name) that exist, with their tags.

    What may not be asked is left to CloudFormation, which knows its own permissions, except a
    bucket: a name that is refused belongs to somebody else, and has no tags here.
    """
    found = _answers(account, wanted)
    there = {one: answer.tags for one, answer in found.items() if answer.tags is not None}
    foreign = {one for one, answer in found.items() if answer.denied and one[0] == _BUCKET}
    return there | {one: {} for one in foreign}


def gone(account: Account, physical: Mapping[str, tuple[str, str, str]]) -> frozenset[str]:
    """The logical ids whose things were deleted past CloudFormation.

    `physical` has type, physical id and status by logical id. Only types are asked that people
    delete by hand: functions, Batch's things, rules and queues.
    """
    watched = {
        logical: (kind, _name_of(kind, physical_id))
        for logical, (kind, physical_id, status) in physical.items()
        if kind in _WATCHED and physical_id and not status.startswith("DELETE")
    }
    found = _answers(account, watched.values())
    return frozenset(
        logical for logical, one in watched.items() if found[one].known and found[one].tags is None
    )


def _answers(account: Account, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], _Answer]:
    asking = [one for one in dict.fromkeys(wanted) if one[0] in _ASK]
    for service in {_ASK[kind][0] for kind, _ in asking}:
        account.client(service)  # made once, before the threads want it
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda one: _ask(account, *one), asking)
        return dict(zip(asking, found, strict=True))


def _name_of(kind: str, physical: str) -> str:
    """The name as the service takes it, out of CloudFormation's physical id."""
    if kind == "AWS::SQS::Queue":
        return physical.rpartition("/")[2]
    if kind == "AWS::Batch::JobDefinition":
        return physical.rpartition("/")[2].partition(":")[0]
    if kind == "AWS::Events::Rule":
        return physical.rpartition("/")[2].rpartition("|")[2]
    return physical.rpartition("/")[2]


def _ask(account: Account, kind: str, name: str) -> _Answer:
    service, ask = _ASK[kind]
    client = account.client(service)
    try:
        with asked(account, service, f"{kind} {name}"):
            return _Answer(True, ask(client, name))
    except NotFoundError:
        return _Answer(True)
    except AccessError:
        return _Answer(False, denied=True)
    except BridgeError as error:
        cause = error.__cause__
        if cause is not None and code_of(cause) in _GONE:
            return _Answer(True)
        if cause is not None and unknown_to_endpoint(cause):
            return _Answer(False)
        raise
