"""What a service's role may do: the least that its jobs need, as values. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.events import job_prefix
from bridge.fdl import AwsOptions
from bridge.fdl.model import Document, Service, StoragePath
from cdk.names import Base
from cdk.selection import aws_paths, has_keys

__all__ = ["Grants", "Statement", "grants_of", "policy", "trust"]

# What has a meaning in the resources of a policy.
_ESCAPES: Final = str.maketrans({"$": "${$}", "*": "${*}", "?": "${?}"})


@dataclass(frozen=True, slots=True)
class Statement:
    """Actions that are allowed on resources."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As IAM writes it."""
        found: dict[str, Any] = {
            "Effect": "Allow",
            "Action": list(self.actions),
            "Resource": list(self.resources),
        }
        return found | ({"Condition": dict(self.conditions)} if self.conditions else {})


@dataclass(frozen=True, slots=True)
class Grants:
    """A service's statements, but for the one on its document, and who may take the role."""

    statements: tuple[Statement, ...] = ()
    services: tuple[str, ...] = ()


def policy(statements: Sequence[Statement]) -> dict[str, Any]:
    """A policy document."""
    return {"Version": "2012-10-17", "Statement": [one.as_json() for one in statements]}


def trust(services: Sequence[str]) -> dict[str, Any]:
    """A trust policy for services of AWS."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": name}, "Action": "sts:AssumeRole"}
            for name in services
        ],
    }


def grants_of(
    service: Service, document: Document, base: Base, *, function: bool, job: bool
) -> Grants:
    """Everything that jobs of the service do: with files, reports, its secret, its other side."""
    statements = [*_files(service, document, base), *_work(service, base, function and job)]
    if job:
        arrays = base.s3_arn(f"{base.bucket}/arrays/{job_prefix(service.name)}*")
        statements.append(Statement(("s3:GetObject",), (arrays,)))
    if document_secret(service, document):
        secret = base.arn("secretsmanager", f"secret:{base.secret(service.name)}-??????")
        statements.append(Statement(("secretsmanager:GetSecretValue",), (secret,)))
    if function:
        statements += _of_function(service, base)
    services = ("lambda.amazonaws.com",) * function + ("ecs-tasks.amazonaws.com",) * job
    return Grants(tuple(statements), services)


def hand_over(service: Service, base: Base, queue: str) -> tuple[Statement, ...]:
    """What the function of a service with both sides needs to pass a job on to Batch."""
    definition = base.arn("batch", f"job-definition/{service.name}")
    submit = (base.arn("batch", f"job-queue/{queue}"), definition, f"{definition}:*")
    ours = {"StringEquals": {"aws:RequestTag/createdby": "oscar-bridge"}}
    return (
        Statement(("batch:SubmitJob",), submit),
        Statement(("batch:TagResource",), (base.arn("batch", "job/*"),), ours),
        # This action knows no resources.
        Statement(("batch:ListJobs",), ("*",)),
    )


def document_secret(service: Service, document: Document) -> bool:
    """Whether jobs of the service read its secret."""
    used = {path.provider for path in (*service.inputs, *service.outputs)}
    return bool(service.secrets) or any(has_keys(ref, document) for ref in used)


def _files(service: Service, document: Document, base: Base) -> Iterator[Statement]:
    read = _keys(service.inputs, document, base)
    if read:
        yield Statement(("s3:GetObject",), read)
    written = _keys(service.outputs, document, base)
    if written:
        yield Statement(("s3:PutObject", "s3:AbortMultipartUpload"), written)


def _keys(paths: Sequence[StoragePath], document: Document, base: Base) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for path in aws_paths(paths, document):
        if has_keys(path.provider, document):
            continue
        for prefix in path.prefix or ("",):
            start = f"{path.folder}/{prefix}" if path.folder else prefix
            found[base.s3_arn(f"{path.bucket}/{start.translate(_ESCAPES)}*")] = None
    return tuple(sorted(found))


def _work(service: Service, base: Base, both: bool) -> Iterator[Statement]:
    """The service's part of the work bucket; what is absent must be told from what is closed."""
    mine = f"{job_prefix(service.name)}*"
    reports, runs, events = (
        base.s3_arn(f"{base.bucket}/{folder}/{mine}") for folder in ("reports", "runs", "events")
    )
    yield Statement(("s3:GetObject", "s3:PutObject"), (reports,))
    yield Statement(("s3:GetObject", "s3:PutObject", "s3:DeleteObject"), (runs,))
    yield Statement(("s3:GetObject", *(("s3:PutObject",) if both else ())), (events,))
    yield Statement(
        ("s3:ListBucket",),
        (base.s3_arn(base.bucket),),
        {"StringLikeIfExists": {"s3:prefix": [f"{f}/{mine}" for f in ("reports", "runs")]}},
    )


def _of_function(service: Service, base: Base) -> Iterator[Statement]:
    streams = base.arn("logs", f"log-group:/aws/lambda/{service.name}:*")
    yield Statement(("logs:CreateLogStream", "logs:PutLogEvents"), (streams,))
    yield Statement(("sqs:SendMessage",), (base.arn("sqs", base.queue("states")),))
    options = service.options
    if not isinstance(options, AwsOptions):
        return
    if options.function.vpc.get("SubnetIds"):
        # Network interfaces have no names before they are there; AWS gives the same to its own.
        network = ("CreateNetworkInterface", "DescribeNetworkInterfaces", "DeleteNetworkInterface")
        yield Statement(tuple(f"ec2:{action}" for action in network), ("*",))
    for system in options.function.file_system:
        point = {"StringEquals": {"elasticfilesystem:AccessPointArn": str(system.get("Arn", ""))}}
        yield Statement(
            ("elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"),
            (base.arn("elasticfilesystem", "file-system/*"),),
            point,
        )
