"""Which services of a file go to AWS, and to which side of it: Lambda, Batch or both. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bridge.errors import FdlError, PlacementError, Problem
from bridge.fdl import AwsOptions
from bridge.fdl.model import Document, Place, ProviderRef, Service, StoragePath, TargetSpec
from bridge.pipeline import storage_of
from bridge.scheduler import Decision, decide, snapshot_of

__all__ = ["Note", "Selected", "Selection", "aws_paths", "has_keys", "problem", "select"]

_KINDS: Final = frozenset({"lambda", "batch"})
_DEFAULT_REGION: Final = AwsOptions().function.region


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the user should know of a service: a key that has no effect here."""

    service: str
    text: str
    place: Place | None = None

    def __str__(self) -> str:
        return f"{self.service}: {self.text}"


@dataclass(frozen=True, slots=True)
class Selected:
    """A service that is deployed, the targets that it may run on, and the sides that it needs."""

    service: Service
    targets: tuple[str, ...]
    function: bool
    job: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a document is deployed to one region of AWS."""

    document: Document
    region: str
    services: tuple[Selected, ...]
    notes: tuple[Note, ...] = ()

    def buckets(self) -> tuple[str, ...]:
        """The S3 buckets that the deployed services read and write, sorted."""
        found = {
            path.bucket
            for one in self.services
            for path in aws_paths((*one.service.inputs, *one.service.outputs), self.document)
        }
        return tuple(sorted(found))


def select(document: Document, region: str, policy: str = "") -> Selection:
    """Ask the scheduler where each service may run. `policy` takes the place of the file's.

    FdlError with the place of every service that no target can run, or that cannot be placed here.
    """
    if policy:
        services = [_with_policy(service, policy) for service in document.services]
        document = replace(document, services=tuple(services))
    found: list[Selected] = []
    problems: list[Problem] = []
    notes: list[Note] = []
    snapshot = snapshot_of(document)
    for service in document.services:
        try:
            decision = decide(service, None, snapshot)
        except PlacementError as error:
            place = service.placement.place or service.place
            problems.append(problem(document, place, error.message, error.hint))
            continue
        selected = _selected(document, service, decision, region)
        problems += _problems(document, selected, decision, region)
        if selected.targets:
            found.append(selected)
        elif decision.target:
            notes.append(Note(service.name, f"runs on {decision.target}, not on AWS"))
    problems += _same_names(document, found)
    if problems:
        raise FdlError(problems)
    return Selection(document, region, tuple(found), tuple(notes))


def aws_paths(paths: Iterable[StoragePath], document: Document) -> Iterator[StoragePath]:
    """Those of the paths that are in AWS's own S3."""
    for path in paths:
        if storage_of(path.provider, document) == "aws":
            yield path


def has_keys(ref: ProviderRef, document: Document) -> bool:
    """Whether jobs reach a provider with keys of its own, and not with their role."""
    provider = document.providers.get(ref)
    return provider is not None and bool(provider.secrets)


def problem(document: Document, place: Place | None, message: str, hint: str = "") -> Problem:
    """A problem at a place of the document."""
    where = place or Place(1, 1, "")
    return Problem(document.file, where.line, where.column, where.path, message, hint)


def _with_policy(service: Service, policy: str) -> Service:
    return replace(service, placement=replace(service.placement, policy=policy))


def _selected(document: Document, service: Service, decision: Decision, region: str) -> Selected:
    able = [one.offer for one in decision.candidates if one.offer.feasible]
    ours = [o for o in able if o.kind in _KINDS and _is_here(document.targets[o.target], region)]
    kinds = {offer.kind for offer in ours}
    names = {offer.target for offer in ours}
    return Selected(
        service,
        tuple(name for name in document.targets if name in names),
        function="lambda" in kinds,
        job="batch" in kinds,
    )


def _is_here(spec: TargetSpec, region: str) -> bool:
    return spec.implied or spec.region in ("", region)


def _problems(
    document: Document, selected: Selected, decision: Decision, region: str
) -> Iterator[Problem]:
    service = selected.service
    if not decision.target:
        yield problem(document, service.place, decision.reason)
    options = service.options
    if selected.targets and isinstance(options, AwsOptions):
        asked = options.function.region
        if asked not in (_DEFAULT_REGION, region):
            hint = f"set AWS_REGION={asked}, or change the file"
            message = f"{service.name} is for the region {asked}; this deployment goes to {region}"
            yield problem(document, service.place, message, hint)


def _same_names(document: Document, found: Sequence[Selected]) -> Iterator[Problem]:
    seen: set[str] = set()
    for one in found:
        name = one.service.name
        if name in seen:
            message = f"a second service on AWS is called {name}"
            yield problem(document, one.service.place, message, "give it another name")
        seen.add(name)
