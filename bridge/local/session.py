"""One pipeline on one machine: servers started, services deployed, inputs fed, results fetched.

    with Session(document, engine="auto", watch=watch) as session:
        session.feed([Path("photo.jpg")])
        session.wait(timeout=60)
        session.fetch(Path("results"))

Leaving the block stops every process and container and removes every temporary file, whatever
happened inside it.
"""

from __future__ import annotations

import secrets
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self

from bridge.dispatch import Dispatcher, JobEvent, JobRecord, Settings, SqliteStore
from bridge.errors import PlacementError, UsageError
from bridge.fdl.model import Document, ProviderRef, Service, StoragePath
from bridge.local.children import SessionFolder
from bridge.local.places import Places
from bridge.pipeline import build, routes
from bridge.scheduler import Decision, Snapshot, TargetState, decide, snapshot_of
from bridge.targets import JobState

__all__ = ["Fed", "Result", "Session", "Watch"]

_ALL: Final = 1_000_000
_GRACE: Final = 3.0
_SLICE: Final = 0.2
_TICK: Final = 0.02
_UPLOADS: Final = 8


class Watch(Protocol):
    """Is told what a session does. Called from several threads; must return at once."""

    def phase(self, text: str) -> None:
        """A new step has begun."""
        ...

    def job(self, event: JobEvent) -> None:
        """A job has changed its state."""
        ...


@dataclass(frozen=True, slots=True)
class Fed:
    """One input that was handed in: to which service, under which name, how many bytes."""

    service: str
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Result:
    """One file that a last stage wrote, fetched to `path`."""

    service: str
    job: str
    path: Path
    size: int


class _Awaited(NamedTuple):
    """An input whose event has not become a job yet."""

    service: str
    provider: str
    bucket: str
    key: str


class Session:
    """Runs one document on this machine. `engine` is auto, container or process.

    Errors while starting: FdlError (a cycle), PlacementError (a service that no target can run),
    MissingToolError, UsageError (a storage provider that has no stand-in here).
    """

    def __init__(self, document: Document, *, engine: str = "auto", watch: Watch) -> None:
        self.document = document = _localised(document)
        self.decisions: dict[str, Decision] = {}
        self._engine = engine
        self._watch = watch
        self._services = {service.name: service for service in document.services}
        self._routes = routes(document)
        self._stack = ExitStack()
        self._awaited: set[_Awaited] = set()
        self._seen = ""
        self._problems: list[str] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watch.phase("stopping")
        self._stop()

    @property
    def engine(self) -> str:
        """`container` or `process`: how jobs run here."""
        return self._places.executor.engine

    def jobs(self) -> list[JobRecord]:
        """All jobs so far, in the order in which they were accepted."""
        return self._store.jobs(limit=_ALL)

    def logs(self, job: JobRecord) -> list[str]:
        """Lines of a job's log; empty when its target has none."""
        target = self._targets.get(job.target)
        return list(target.logs(job.id)) if target else []

    def problems(self) -> list[str]:
        """What went wrong beside the jobs, in sentences: events that were refused."""
        refused = [f"an event was refused: {each.reason}" for each in self._store.refusals()]
        return self._problems + refused

    # --- start and stop -----------------------------------------------------------------------

    def _start(self) -> None:
        self._watch.phase("placing services")
        self.decisions = self._decide()
        used = _used(self.decisions.values())
        folder = self._stack.enter_context(SessionFolder()).path
        name = secrets.token_hex(6)
        self._store = self._stack.enter_context(SqliteStore(folder / "jobs.sqlite"))
        self._watch.phase("starting servers")
        self._places = Places(
            self.document,
            used,
            engine=self._engine,
            session=name,
            folder=folder,
            stack=self._stack,
            accept=self._accept,
        )
        self._places.start()
        self._targets = self._places.targets()
        self._dispatcher = self._dispatch()
        self._watch.phase(f"deploying {len(self._services)} services")
        self._deploy()

    def _stop(self) -> None:
        """Whatever else is asked meanwhile, everything is stopped first."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN) if _in_main_thread() else None
        try:
            self._stack.close()
        finally:
            if before is not None:
                signal.signal(signal.SIGINT, before)

    def _decide(self) -> dict[str, Decision]:
        snapshot = snapshot_of(self.document)
        decisions = {name: decide(s, None, snapshot) for name, s in self._services.items()}
        for decision in decisions.values():
            if not decision.target:
                raise PlacementError(f"{decision.service}: {decision.reason}")
        return decisions

    def _dispatch(self) -> Dispatcher:
        dispatcher = Dispatcher(
            self._store,
            self.document.services,
            self._routes,
            self._targets,
            decide=decide,
            snapshot=self._snapshot,
            settings=Settings(grace=_GRACE),
            listing=self._places.listing,
        )
        dispatcher.subscribe(self._watch.job)
        dispatcher.start()
        self._stack.callback(dispatcher.close)
        return dispatcher

    def _snapshot(self) -> Snapshot:
        contained = self.engine == "container"
        measured = {
            name: TargetState(
                target.spec,
                running=self._dispatcher.running(name),
                queued=self._dispatcher.queued(name),
                isolated=contained,
            )
            for name, target in self._targets.items()
        }
        return snapshot_of(self.document, measured)

    def _accept(self, provider: str, body: bytes, headers: Mapping[str, str]) -> None:
        self._dispatcher.ingest(provider, body, headers)

    def _deploy(self) -> None:
        paths = [p for s in self._services.values() for p in (*s.inputs, *s.outputs)]
        self._places.ensure_buckets((p.provider, p.bucket) for p in paths)
        by_target: dict[str, list[Service]] = {}
        for name, decision in self.decisions.items():
            for target in _used([decision]):
                by_target.setdefault(target, []).append(self._services[name])
        with ThreadPoolExecutor(len(by_target) or 1) as pool:
            done = [
                pool.submit(self._targets[name].deploy, services)
                for name, services in by_target.items()
            ]
            for each in done:
                each.result()
        self._places.watch([r for rules in self._routes.inputs().values() for r in rules])

    # --- inputs -------------------------------------------------------------------------------

    def feed(self, inputs: Sequence[Path]) -> list[Fed]:
        """Hand the files to every service that no other service feeds; folders file by file.

        A service with an input path gets an object per file, whose name is relative to the folder
        that was given; one without gets a request per file. UsageError when there is nothing to
        hand in, or no service wants any of it.
        """
        files = [found for each in inputs for found in _files(each)]
        if not files:
            raise UsageError("there is no file to feed in", hint="give files with --input")
        self._watch.phase(f"feeding {len(files)} file{'s' if len(files) > 1 else ''}")
        starts = {end.service for end in build(self.document).sources}
        sources = [s for s in self.document.services if s.name in starts or not s.inputs]
        with ThreadPoolExecutor(_UPLOADS) as pool:
            work = [
                pool.submit(self._feed, service, path, name)
                for service in sources
                for path, name in files
            ]
            fed = [done for each in work if (done := each.result()) is not None]
        if not fed:
            raise UsageError("no service takes any of the files: look at its prefix and suffix")
        return fed

    def _feed(self, service: Service, path: Path, name: str) -> Fed | None:
        size = path.stat().st_size
        if not service.inputs:
            self._dispatcher.submit_raw(service.name, path.read_bytes())
            return Fed(service.name, name, size)
        place = service.inputs[0]
        key = place.key_for(name)
        wanted = self._routes.match(str(place.provider), place.bucket, key)
        if service.name not in wanted:
            return None
        self._awaited |= {_Awaited(each, str(place.provider), place.bucket, key) for each in wanted}
        self._places.open(place.provider).put(place.bucket, key, path)
        return Fed(service.name, name, size)

    # --- waiting ------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until every job, and every job that those start, is over; False at the time limit.

        An input whose event has not come a few seconds after the last one did is looked for in
        the bucket itself.
        """
        self._watch.phase("running")
        end = None if timeout is None else time.monotonic() + timeout
        last = time.monotonic()
        while end is None or time.monotonic() < end:
            before = len(self._awaited)
            self._strike_off()
            if len(self._awaited) < before:
                last = time.monotonic()
            elif self._awaited and time.monotonic() - last > _GRACE:
                self._dispatcher.reconcile()
                last = time.monotonic()
            if not self._awaited and self._dispatcher.wait_quiet(_SLICE):
                return True
            if self._awaited:
                time.sleep(_TICK)
        return False

    def _strike_off(self) -> None:
        """Do not await inputs that have become jobs."""
        if not self._awaited:
            return
        for job in self._store.jobs(after=self._seen, limit=_ALL):
            event = job.event
            self._awaited.discard(_Awaited(job.service, event.provider, event.bucket, event.key))
            self._seen = job.id

    # --- results ------------------------------------------------------------------------------

    def fetch(self, folder: Path) -> list[Result]:
        """Download what no service takes further into `<folder>/<service>/`, and replies as files.

        The reply of a service without outputs, that is its script's text, becomes `<input>.txt`.
        """
        self._watch.phase("fetching results")
        found: list[Result] = []
        for job in self.jobs():
            if job.state is JobState.SUCCEEDED:
                found += self._fetch(job, folder / job.service)
        return found

    def _fetch(self, job: JobRecord, folder: Path) -> Iterator[Result]:
        service = self._services[job.service]
        if not service.outputs:
            yield self._reply(job, folder)
        for output in job.report.get("outputs", ()):
            provider, bucket, key = output["provider"], output["bucket"], output["key"]
            if self._routes.match(provider, bucket, key):
                continue
            place = _place_of(service, provider, bucket, key)
            target = folder / Path(key[len(place.key_for("")) :])
            target.parent.mkdir(parents=True, exist_ok=True)
            info = self._places.open(place.provider).get(bucket, key, target)
            yield Result(job.service, job.id, target, info.size)

    def _reply(self, job: JobRecord, folder: Path) -> Result:
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{job.id}.txt"
        target.write_text("".join(f"{line}\n" for line in self.logs(job)))
        return Result(job.service, job.id, target, target.stat().st_size)


def _localised(document: Document) -> Document:
    """The document with one provider per type: one store stands for all of them here."""

    def here(paths: tuple[StoragePath, ...]) -> tuple[StoragePath, ...]:
        return tuple(replace(p, provider=ProviderRef(p.provider.type)) for p in paths)

    services = tuple(
        replace(s, inputs=here(s.inputs), outputs=here(s.outputs)) for s in document.services
    )
    return replace(document, services=services, providers={})


def _used(decisions: Iterable[Decision]) -> list[str]:
    """Targets that jobs may run on: all that can, because each job is placed anew."""
    feasible = (c.offer.target for d in decisions for c in d.candidates if c.offer.feasible)
    return list(dict.fromkeys(feasible))


def _files(path: Path) -> Iterator[tuple[Path, str]]:
    """Files to feed, with the names that they get."""
    if path.is_dir():
        for found in sorted(path.rglob("*")):
            if found.is_file():
                yield found, found.relative_to(path).as_posix()
    else:
        yield path, path.name


def _place_of(service: Service, provider: str, bucket: str, key: str) -> StoragePath:
    """The output path that an object was written under: the deepest that fits."""
    fits = [
        place
        for place in service.outputs
        if (str(place.provider), place.bucket) == (provider, bucket)
        and key.startswith(place.key_for(""))
    ]
    return max(fits, key=lambda place: len(place.folder))


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
