"""What the stores hold against what has a job: events that never came are made here."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from types import MappingProxyType
from typing import Final

from bridge.dispatch._core import LOG, Core
from bridge.dispatch.model import Accepted, Expected, NewJob
from bridge.dispatch.protocol import Listing, Place
from bridge.errors import NotFoundError
from bridge.events import Event, EventKind, job_id
from bridge.storage.protocol import ObjectInfo

__all__ = ["chase", "inputs", "listed_event", "reconcile"]

_NEVER: Final[Mapping[str, float]] = MappingProxyType({})
_BATCH: Final = 500
# Others take MinIO's form, which names bucket and key: what dCache sends names no folder.
_KINDS: Final = {
    "s3": EventKind.S3,
    "onedata": EventKind.ONEDATA,
    "rucio": EventKind.RUCIO,
}


def listed_event(provider: str, info: ObjectInfo) -> Event:
    """The event of an object that was found by listing: it has no sequencer."""
    return Event(
        kind=_KINDS.get(provider.partition(".")[0], EventKind.MINIO),
        provider=provider,
        bucket=info.bucket,
        key=info.key,
        size=info.size,
        etag=info.etag.strip('"'),
        version=info.version,
        time=info.modified,
        name="ObjectCreated:Listed",
    )


def inputs(core: Core) -> list[Place]:
    """Every place that a service takes input from, each once."""
    return sorted(
        {
            (str(path.provider), path.bucket, f"{path.folder}/" if path.folder else "")
            for service in core.services.values()
            for path in service.inputs
        }
    )


def reconcile(
    core: Core, listing: Listing, places: Iterable[Place], since: Mapping[str, float] = _NEVER
) -> list[Accepted]:
    """Accept every listed object that a service asks for; the answer is the jobs that are new."""
    found: list[Accepted] = []
    for place in places:
        items = _wanted(core, place[0], listing(*place), since)
        while batch := list(islice(items, _BATCH)):
            found += [answer for answer in core.accept(batch) if answer.new]
    return found


def _wanted(
    core: Core, provider: str, objects: Iterable[ObjectInfo], since: Mapping[str, float]
) -> Iterator[NewJob]:
    for info in objects:
        if info.key.endswith("/"):
            continue
        event, written = listed_event(provider, info), _written(info)
        for service in core.routes.match(provider, info.bucket, info.key):
            if written >= int(since.get(service, 0.0)):
                yield NewJob(job_id(service, event), service, event)


def _written(info: ObjectInfo) -> float:
    """When the object was written, in whole seconds as stores say it; what is not known is now."""
    return datetime.fromisoformat(info.modified).timestamp() if info.modified else math.inf


def chase(core: Core, listing: Listing, overdue: list[Expected]) -> None:
    """Look for objects whose events are overdue; one that is gone is not waited for any more."""
    places = {(e.output.provider, e.output.bucket, e.output.key) for e in overdue}
    for place in sorted(places):
        # A bucket that is gone holds nothing to wait for either.
        with contextlib.suppress(NotFoundError):
            reconcile(core, listing, [place])
    wanted = {(e.service, e.output) for e in overdue}
    lost = [e for e in core.store.expected() if (e.service, e.output) in wanted]
    for expected in lost:
        output = expected.output
        LOG.warning(
            "%s of %s is gone before service %s could take it (made by job %s)",
            output.key,
            output.bucket,
            expected.service,
            expected.producer,
        )
    core.store.met(lost)
