"""What is wanted of AWS for each service of a file, as values: the last step before constructs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bridge.errors import FdlError, PlacementError, Problem
from bridge.fdl import AwsOptions, dump, limits
from bridge.fdl.model import Document, ProviderRef, Service
from bridge.fdl.options import OscarOptions
from bridge.pipeline import build
from bridge.scheduler import batch_platform, lambda_size
from bridge.targets.aws.definitions import (
    Places,
    batch_side,
    function_variables,
    job_variables,
    requirements,
    secret_values,
)
from bridge.targets.render import ProviderAccess, service_document
from cdk.facts import Facts
from cdk.limits import reserved_variables
from cdk.machines import Machines, own_machines
from cdk.names import Base
from cdk.notes import notes_of
from cdk.permissions import Grants, grants_of
from cdk.selection import Note, Selected, Selection, aws_paths, has_keys, problem
from cdk.triggers import Trigger, triggers_of

__all__ = ["Wanted", "wanted"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One service as it will be on AWS.

    `service` has the image that really runs; `job` is its Batch side, None without one. `document`
    is the text of the file asset that jobs and dispatcher read: no secret is in it. `secret` is
    the name of the service's secret, "" when it needs none. `machines` is None for shared ones.
    """

    service: Service
    targets: tuple[str, ...]
    function: bool
    job: Service | None
    document: str
    secret: str = ""
    machines: Machines | None = None
    triggers: tuple[Trigger, ...] = ()
    grants: Grants = field(default_factory=Grants)
    tags: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name

    @property
    def platform(self) -> str:
        """`EC2` or `FARGATE`, where Batch runs it."""
        if self.machines is not None:
            return "FARGATE" if self.machines.on_fargate else "EC2"
        return batch_platform(self.job) if self.job is not None else ""

    @property
    def arrays(self) -> bool:
        """Whether its Batch jobs may be children of an array: they must be able to read theirs, and
        a job of several nodes cannot be one."""
        options = self.service.options
        if self.job is None or not isinstance(options, AwsOptions):
            return self.job is not None
        return not (options.iam.role or options.batch.multi_node_parallel.enabled)

    def places(self, base: Base, document_url: str, queue: str) -> Places:
        """Where its jobs find and leave things."""
        both = self.function and self.job is not None
        return Places(
            document=document_url,
            reports=base.reports,
            claims=base.claims,
            secret=self.secret,
            queue=queue if both else "",
            definition=self.name if both else "",
        )


def wanted(
    selection: Selection, facts: Facts, base: Base, images: Mapping[str, str]
) -> tuple[Wanted, ...]:
    """Work out every service. `images` gives the image that runs, by the service's name.

    FdlError with every problem that has a place in the file: limits, buckets, cycles.
    """
    build(selection.document)
    problems: list[Problem] = []
    found: list[Wanted] = []
    for one in selection.services:
        mine = list(_problems(selection, one, facts, base))
        problems += mine
        if not mine:
            found.append(_wanted(selection, one, base, images))
    for made in found:
        problems += _too_large(selection.document, made, base)
    if problems:
        raise FdlError(problems)
    return tuple(found)


def _wanted(selection: Selection, one: Selected, base: Base, images: Mapping[str, str]) -> Wanted:
    document = selection.document
    service = replace(one.service, image=images.get(one.service.name, one.service.image))
    job = batch_side(service) if one.job else None
    access = {
        ref: ProviderAccess(provider.settings, provider.secrets)
        for ref, provider in document.providers.items()
    }
    secret = base.secret(service.name) if secret_values(service, access) else ""
    return Wanted(
        service=service,
        targets=one.targets,
        function=one.function,
        job=job,
        document=_document(document, service, access),
        secret=secret,
        machines=own_machines(job) if job is not None else None,
        triggers=triggers_of(service, document),
        grants=grants_of(service, document, base, function=one.function, job=one.job),
        tags=_tags(service),
        notes=tuple(notes_of(service, document, function=one.function, job=one.job)),
    )


def _document(
    document: Document, service: Service, access: Mapping[ProviderRef, ProviderAccess]
) -> str:
    alone = replace(document, services=(service,))
    body: dict[str, object] = {
        "service": service_document(service, access),
        "fdl": dump(alone),
    }
    if service.script_text is not None:
        body["script"] = service.script_text
    return json.dumps(body, sort_keys=True)


def _tags(service: Service) -> dict[str, str]:
    options = service.options
    return dict(options.labels) if isinstance(options, OscarOptions) else {}


def _problems(selection: Selection, one: Selected, facts: Facts, base: Base) -> Iterator[Problem]:
    document, service = selection.document, one.service
    if service.name in {base.function(kind) for kind in ("events", "states", "reconcile", "api")}:
        message = f"{service.name} is the name of a function of the dispatcher"
        yield problem(document, service.place, message, "give the service another name")
    if one.function:
        try:
            lambda_size(service)
        except PlacementError as error:
            yield problem(document, service.place, error.message, error.hint)
        if reserved := sorted(reserved_variables() & service.variables.keys()):
            message = f"a Lambda function cannot set the variable {reserved[0]}"
            yield problem(document, service.place, message, "rename it")
    if one.job:
        side = batch_side(service)
        try:
            requirements(side, batch_platform(side))
        except PlacementError as error:
            yield problem(document, service.place, error.message, error.hint)
    yield from _of_options(document, service)
    yield from _of_buckets(document, service, facts)


def _of_options(document: Document, service: Service) -> Iterator[Problem]:
    options = service.options
    if not isinstance(options, AwsOptions):
        return
    if options.function.file_system and not options.function.vpc.get("SubnetIds"):
        message = "file_system needs a vpc: EFS is reached through subnets"
        yield problem(document, service.place, message, "give vpc with SubnetIds")
    if options.batch.platform == "EC2" and options.batch.compute_resources.type.startswith("FARG"):
        message = "compute_resources.type is Fargate and platform is EC2"
        yield problem(document, service.place, message, "write platform: FARGATE")


def _of_buckets(document: Document, service: Service, facts: Facts) -> Iterator[Problem]:
    for path in aws_paths((*service.inputs, *service.outputs), document):
        if has_keys(path.provider, document):
            continue
        state = facts.buckets.get(path.bucket, "absent")
        if state == "taken":
            message = f"the bucket {path.bucket} belongs to another account, or is closed to you"
            yield problem(document, path.place, message, "choose another name")
        elif state == "elsewhere" and path in service.inputs:
            message = f"the bucket {path.bucket} is in another region than {facts.region}"
            hint = "its events do not come here: deploy to its region, or use another bucket"
            yield problem(document, path.place, message, hint)


def _too_large(document: Document, made: Wanted, base: Base) -> Iterator[Problem]:
    # The URL of the document is longer than any other: a bucket and a hash.
    places = made.places(base, f"s3://{'b' * 63}/{'0' * 64}.json", "q" * 128)
    if made.function:
        variables = function_variables(made.service, places)
        size = sum(len(f"{name}{value}".encode()) for name, value in variables.items())
        yield from _above(document, made.service, "lambda.environment", size, "an environment")
    if made.job is not None:
        size = len(json.dumps(job_variables(made.job, places)))
        yield from _above(document, made.service, "batch.job_definition", size, "a job definition")


def _above(
    document: Document, service: Service, name: str, size: int, what: str
) -> Iterator[Problem]:
    limit = limits()[name]
    if limit.broken_by(size):
        message = f"{service.name} makes {what} of {size} bytes; {limit.bounds} is allowed"
        yield problem(document, service.place, message, "shorten its variables")


def needed_secrets(found: Sequence[Wanted]) -> tuple[str, ...]:
    """The names of the secrets that jobs will ask for."""
    return tuple(one.secret for one in found if one.secret)
