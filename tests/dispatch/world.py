"""A small world for the dispatcher: services, routes by folder, and events of a store."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from bridge.dispatch import (
    Change,
    Dispatcher,
    Expected,
    JobRecord,
    NewJob,
    Output,
    Settings,
    SqliteStore,
)
from bridge.dispatch.testing import FakeTarget, Outcome
from bridge.errors import PlacementError
from bridge.events import Event, EventKind, job_id, minio_record
from bridge.fdl.model import Placement, ProviderRef, Resources, Service, StoragePath
from bridge.scheduler.model import Candidate, Decision, Offer, Snapshot, TargetState
from bridge.storage.protocol import ObjectInfo
from bridge.targets import Job, JobState

PROVIDER = "minio.default"
NOW = 1000.0
FAST = Settings(backoff=0.001, backoff_cap=0.01, poll_min=0.001, poll_max=0.01, grace=0.05)
PATIENCE = 60.0


def until(done: Callable[[], bool]) -> None:
    """Look until it is so; pytest's timeout ends a wait that is in vain."""
    pause = threading.Event()
    while not done():
        pause.wait(0.002)


def change(store: SqliteStore, job: str, state: JobState, attempt: int = 1, **more: object) -> bool:
    wish = Change(job, attempt, state, NOW + 1, **more)  # type: ignore[arg-type]
    return store.change([wish])[0] is not None


def finish(store: SqliteStore, key: str, etag: str = "f1") -> str:
    """A job that wrote in/b of service t, and is over."""
    (job,) = (a.job for a in store.accept([new_job(key)], NOW))
    output = Output(PROVIDER, "b", "mid/b", 3, etag)
    change(
        store,
        job,
        JobState.SUCCEEDED,
        outputs=(output,),
        expected=(Expected("t", job, output, NOW + 1),),
    )
    return job


def only(store: SqliteStore) -> JobRecord:
    (record,) = store.jobs()
    return record


def outcomes(*found: Outcome) -> Callable[[Job], Outcome]:
    """A script: the n-th submit has the n-th outcome; the last one stays."""
    left = list(found)
    return lambda job: left.pop(0) if len(left) > 1 else left[0]


def service(name: str, folder: str, *, output: str = "", fallback: tuple[str, ...] = ()) -> Service:
    """A service that takes what lies in bucket `b`, in this folder."""
    minio = ProviderRef("minio")
    return Service(
        name=name,
        origin="bridge",
        image="image",
        resources=Resources(Decimal(1), 2**28),
        inputs=(StoragePath(minio, f"b/{folder}"),),
        outputs=(StoragePath(minio, f"b/{output}"),) if output else (),
        placement=Placement(fallback=fallback),
    )


@dataclass(frozen=True)
class FolderRoutes:
    """Objects start the services whose input folder they are in."""

    services: Sequence[Service]

    def match(self, provider: str, bucket: str, key: str) -> tuple[str, ...]:
        return tuple(
            s.name
            for s in self.services
            for path in s.inputs
            if (str(path.provider), path.bucket) == (provider, bucket)
            and key.startswith(f"{path.folder}/")
        )


def body(key: str, *, etag: str = "e1", sequencer: str = "1", bucket: str = "b") -> bytes:
    """What MinIO posts for one object."""
    record = minio_record(bucket, key, size=3, etag=etag, sequencer=sequencer)
    return json.dumps(record).encode()


def event(key: str, *, etag: str = "e1", sequencer: str = "1") -> Event:
    """One storage event."""
    return Event(EventKind.MINIO, PROVIDER, "b", key, 3, etag, sequencer=sequencer)


def new_job(key: str, *, name: str = "s", etag: str = "e1", sequencer: str = "1") -> NewJob:
    """One event for one service."""
    found = event(key, etag=etag, sequencer=sequencer)
    return NewJob(job_id(name, found), name, found)


def info(key: str, etag: str = "e1") -> ObjectInfo:
    """What a listing says of an object."""
    return ObjectInfo("b", key, 3, etag)


@dataclass
class Shelf:
    """Objects that a listing finds; `asked` records what was asked for."""

    objects: list[ObjectInfo] = field(default_factory=list)
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def __call__(self, provider: str, bucket: str, prefix: str) -> Iterable[ObjectInfo]:
        self.asked.append((provider, bucket, prefix))
        return [o for o in self.objects if o.bucket == bucket and o.key.startswith(prefix)]


def decide_for(
    target: str,
) -> Callable[..., Decision]:
    """A decision that is always for the same target ("": nothing is feasible)."""

    def decide(
        wanted: Service, found: Event | None, snapshot: Snapshot, /, *, seed: int = 0
    ) -> Decision:
        offers = tuple(
            Candidate(Offer(s.spec.name, s.spec.kind, feasible=True, cost=Decimal("0.10")))
            for s in snapshot.targets
        )
        fallback = wanted.placement.fallback
        why = f"pinned to {target}"
        return Decision(wanted.name, "pinned", seed, target, why, offers, fallback=fallback)

    return decide


def refuse_all(
    wanted: Service, found: Event | None, snapshot: Snapshot, /, *, seed: int = 0
) -> Decision:
    """A placement that always fails."""
    raise PlacementError(f"nothing can run {wanted.name}")


def dispatcher(
    store: SqliteStore,
    targets: Mapping[str, FakeTarget],
    services: Sequence[Service] | None = None,
    *,
    decide: Callable[..., Decision] | None = None,
    settings: Settings = FAST,
    listing: Shelf | None = None,
    share: Callable[[str], str] | None = None,
) -> Dispatcher:
    """A dispatcher over fakes; everything goes to the first target."""
    have = [service("s", "in")] if services is None else services
    snapshot = Snapshot(tuple(TargetState(t.spec) for t in targets.values()))
    return Dispatcher(
        store,
        have,
        FolderRoutes(have),
        targets,
        decide=decide or decide_for(next(iter(targets))),
        snapshot=lambda: snapshot,
        settings=settings,
        listing=listing,
        share=share,
    )


def open_store(folder: Path) -> SqliteStore:
    """The store of this folder."""
    return SqliteStore(folder / "jobs.db")


class Polled:
    """A target whose polls are looked at."""

    def __init__(self, target: FakeTarget, poll: Callable[[], object]) -> None:
        self._target = target
        self.poll = poll

    def __getattr__(self, name: str) -> object:
        return getattr(self._target, name)
