"""The dispatcher: accept → place → submit → watch → retry, until every job is over."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from types import MappingProxyType, TracebackType
from typing import Final, Self

from bridge import events
from bridge.dispatch import _received, _reconcile
from bridge.dispatch._core import Core
from bridge.dispatch._keeper import Keeper, tell
from bridge.dispatch._known import Known
from bridge.dispatch._lane import Lane
from bridge.dispatch._mover import Mover
from bridge.dispatch._placer import Placer
from bridge.dispatch.model import (
    OPEN_STATES,
    Accepted,
    Change,
    IngestResult,
    JobEvent,
    JobRecord,
    NewJob,
    Refusal,
)
from bridge.dispatch.protocol import Decide, JobStore, Listing, Place, Routes, Tracing
from bridge.dispatch.settings import Settings
from bridge.errors import EventError, NotFoundError
from bridge.events import job_id
from bridge.fdl.model import Service
from bridge.scheduler.model import Snapshot
from bridge.targets import JobState, Target

__all__ = ["Dispatcher"]

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_NEVER: Final[Mapping[str, float]] = MappingProxyType({})
_LOOK: Final = 1.0


class Dispatcher:
    """Turns events into jobs and sees each to its end, in threads of its own.

    What `ingest` or `submit_raw` has accepted is on the disk, and after any crash the next
    dispatcher on the same store goes on with it: every accepted event has one job, which ends in
    one final state. Runs are at least once: a job is submitted again, with the same id and
    attempt, when it is not known whether the target got it.

    It accepts before `start` too. It closes neither the store nor the targets. All methods are
    thread-safe. `listing`, when given, is asked for follow-ups that do not come within
    `settings.grace`; it is also the default of `reconcile`. `prepare` is called with the names of
    a service and of the target before a job is submitted there, and with "" for the target before
    one is placed although the service is not known: where others use the store too, it makes known
    and runnable what came by them. TemporaryError of it means later, WaitError that the target is
    not to blame. `share` says whose a service's jobs are: those of one wait for each other, and as
    many jobs are placed and submitted for any of them while there are some.
    """

    def __init__(
        self,
        store: JobStore,
        services: Sequence[Service],
        routes: Routes,
        targets: Mapping[str, Target],
        *,
        decide: Decide,
        snapshot: Callable[[], Snapshot],
        settings: Settings | None = None,
        listing: Listing | None = None,
        clock: Callable[[], float] = time.time,
        prepare: Callable[[str, str], None] | None = None,
        share: Callable[[str], str] | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        specs = {name: target.spec for name, target in targets.items()}
        self._core = core = Core(
            store, services, routes, settings or Settings(), clock=clock, specs=specs
        )
        if prepare is not None:
            core.prepare = prepare
        if share is not None:
            core.share = share
        core.tracing = tracing
        self._store = store
        self._listing = listing
        self._lanes = {name: Lane(core, name, target) for name, target in targets.items()}
        core.lanes = {name: lane.wake for name, lane in self._lanes.items()}
        self._keeper = Keeper(core, self._lanes)
        self._placer = Placer(core, self._lanes.keys(), decide, snapshot)
        self._mover = Mover(core, self._lanes, decide, snapshot)
        self._threads: list[threading.Thread] = []
        core.tally.load(store.loads())
        self._unwatch = store.watch(core.heard)

    # --- its life ---------------------------------------------------------------------------

    def start(self) -> None:
        """Take over what a dead dispatcher left, and begin to work."""
        self._core.known.load()
        self.restore()
        work = {
            "lease": self._keeper.live,
            "keep": self._keeper.run,
            "place": self._placer.run,
            "move": self._mover.run,
            "learn": self._core.known.run,
        }
        for name, lane in self._lanes.items():
            work |= {f"submit-{name}": lane.submit_loop, f"watch-{name}": lane.watch_loop}
        if self._listing is not None:
            work["chase"] = self._chase_loop
        self._threads = [
            threading.Thread(target=run, name=f"dispatch-{name}", daemon=True)
            for name, run in work.items()
        ]
        for thread in self._threads:
            thread.start()

    def restore(self) -> None:
        """Take over jobs whose dispatcher has died: their targets are asked, then told again.

        `start` does this, and so does the running dispatcher now and then.
        """
        self._keeper.start()

    def close(self) -> None:
        """Stop the threads; jobs that are with a target go on there. Safe to call twice.

        Waits for the submits that are under way. The store says where everything stands, and its
        open jobs are free for the next dispatcher at once.
        """
        core = self._core
        core.stopping.set()
        core.placing.set()
        core.moving.set()
        core.known.wake()
        for lane in self._lanes.values():
            lane.wake.set()
        with core.changed:
            core.changed.notify_all()
        for lane in self._lanes.values():
            lane.close()
        for thread in self._threads:
            thread.join()
        self._threads = []
        self._store.release(core.owner)
        self._unwatch()
        core.hooks.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def serve(self, services: Sequence[Service], routes: Routes) -> None:
        """Take other services and routes from now on, both at once; targets are told nothing.

        Open jobs of a service that is not among them fail, wherever they are.
        """
        for name in self.learn(services, routes):
            self.drop(name)

    def learn(self, services: Sequence[Service], routes: Routes) -> list[str]:
        """As `serve`, but open jobs are left alone; the names of the services that are gone."""
        gone = self._core.services.keys() - {service.name for service in services}
        self._core.serve(services, routes)
        return sorted(gone)

    def drop(self, service: str) -> None:
        """Let the open jobs of a service that was deleted fail, wherever they are."""
        self._end_all(service, JobState.FAILED, f"service {service} was deleted")

    def _end_all(self, service: str, state: JobState, why: str) -> None:
        """End the open jobs of a service, a page of them with one commit."""
        after = ""
        while page := self._store.jobs(states=OPEN_STATES, service=service, after=after):
            after = page[-1].id
            ends = [self._ending(record, state, why) for record in page]
            for record, news in zip(page, self._store.change(ends), strict=True):
                if news is None:  # It has gone on meanwhile.
                    self._end(record.id, state, why)
                elif record.state is not JobState.ACCEPTED:
                    tell(self._core, self._lanes, record)

    # --- accepting --------------------------------------------------------------------------

    def ingest(
        self, provider: str, body: bytes, headers: Mapping[str, str] = _NOTHING
    ) -> IngestResult:
        """Accept every event in a body that a store has sent; durable on return.

        `provider` is the `<type>.<id>` that the sender is known to be, or "". A body that has no
        meaning is kept for inspection and the answer says why (`refused`); an event that no
        service asks for is counted and kept for a while. TemporaryError: nothing was kept, the
        sender must send it again.
        """
        return self.ingest_all(provider, [body], headers)[0]

    def ingest_all(
        self, provider: str, bodies: Sequence[bytes], headers: Mapping[str, str] = _NOTHING
    ) -> list[IngestResult]:
        """`ingest` for several bodies that came alike, with one commit for all of their jobs.

        An error is one of them all: each may be sent again.
        """
        now, routes = self._core.clock(), self._core.routes
        found = [_received.read(provider, body, headers, routes, now) for body in bodies]
        items = [item for one in found for item in one.items]
        accepted = iter(self._core.accept(items) if items else ())
        if ignored := [event for one in found for event in one.ignored]:
            self._store.ignore(ignored)
        for one in found:
            if one.refusal:
                self._store.refuse(one.refusal)
        return [_result(one, accepted) for one in found]

    def _refuse(self, source: str, body: bytes, error: EventError) -> None:
        now = self._core.clock()
        self._store.refuse(Refusal(now, source, error.message, len(body), body))

    def submit_raw(
        self,
        service: str,
        body: bytes,
        *,
        headers: Mapping[str, str] = _NOTHING,
        provider: str = "",
        nonce: str = "",
        job: str = "",
        caller: str = "",
    ) -> tuple[Accepted, ...]:
        """Accept a direct call of one service: the body is its input, whatever it is.

        A body that is a storage event stands for its objects, one job each. `nonce` names the
        call: the same name and body again are the same job; without one every call is a new job.
        `job` is the name of its job, when the body stands for one: the same name again is the same
        job, whatever the body. `caller` is kept with the jobs. NotFoundError when there is no such
        service; EventError when the body has no meaning (it is kept for inspection).
        """
        if service not in self._core.services:
            raise NotFoundError(f"there is no service {service!r}")
        nonce = nonce or secrets.token_hex(16)
        try:
            found = events.decode(body, headers=headers, provider=provider, nonce=nonce)
        except EventError as error:
            self._refuse(service, body, error)
            raise
        items = [NewJob(job_id(service, event), service, event, caller) for event in found]
        if job and len(items) == 1:
            items = [replace(items[0], id=job)]
        trace = events.trace_of(headers.get("traceparent", ""))
        return tuple(self._core.accept(items, trace)) if items else ()

    def replay(self, job: str, *, nonce: str = "") -> str:
        """Accept the event of a job once more; the new job of it, durable on return.

        It is the same caller's. The same `nonce` again is the same new job; without one each is
        another. NotFoundError when there is no such job, or its service is gone.
        """
        record = self._store.job(job)
        if record is None or record.service not in self._core.services:
            raise NotFoundError(f"there is no job {job!r} of a service that is here")
        event = replace(record.event, nonce=nonce or secrets.token_hex(16))
        item = NewJob(job_id(record.service, event), record.service, event, record.caller)
        return self._core.accept([item], record.trace)[0].job

    def reconcile(
        self,
        listing: Listing | None = None,
        places: Sequence[Place] | None = None,
        since: Mapping[str, float] = _NEVER,
    ) -> tuple[str, ...]:
        """Make jobs for objects that lie in input paths and have none; the answer names them.

        `places` are (provider, bucket, prefix), by default all inputs of all services. Objects
        that were there before this dispatcher count as well; those that a service is not to take
        because they are older than it (`since`, seconds since the epoch) do not. Raises what
        `listing` raises.
        """
        ask = listing or self._listing
        if ask is None:
            return ()
        where = self.inputs() if places is None else places
        return tuple(found.job for found in _reconcile.reconcile(self._core, ask, where, since))

    def inputs(self) -> list[Place]:
        """Every (provider, bucket, prefix) that a service takes input from, each once."""
        return _reconcile.inputs(self._core)

    def _chase_loop(self) -> None:
        self._core.loop(self._chase)

    def _chase(self) -> None:
        core, grace = self._core, self._core.settings.grace
        if core.stopping.wait(max(0.01, min(grace / 2, _LOOK))) or self._listing is None:
            return
        if overdue := self._store.expected(core.clock() - grace):
            _reconcile.chase(core, self._listing, overdue)

    # --- steering ---------------------------------------------------------------------------

    def cancel_all(self, service: str) -> None:
        """End the open jobs of a service, however many; targets are told as by `cancel`."""
        self._end_all(service, JobState.CANCELLED, "cancelled")

    def cancel(self, job: str) -> bool:
        """End a job; False when it was over already. Its target is told, now or later.

        NotFoundError when there is no such job.
        """
        return self._end(job, JobState.CANCELLED, "cancelled")

    def _end(self, job: str, state: JobState, why: str) -> bool:
        while (record := self._store.job(job)) is not None:
            if record.state.final:
                return False
            if self._store.change([self._ending(record, state, why)])[0] is not None:
                if record.state is not JobState.ACCEPTED:
                    tell(self._core, self._lanes, record)
                return True
        raise NotFoundError(f"there is no job {job!r}")

    def _ending(self, record: JobRecord, state: JobState, why: str) -> Change:
        placed, now = record.state is not JobState.ACCEPTED, self._core.clock()
        return Change(record.id, record.attempt, state, now, reason=why, stop=placed)

    def subscribe(self, callback: Callable[[JobEvent], object]) -> Callable[[], None]:
        """Call back for every change of a job's state, in order; the answer ends it.

        The callback has a thread of its own and may take its time: the queue does not wait for it.
        When it is more than 100,000 events behind, the oldest are left out.
        """
        return self._core.hooks.subscribe(callback)

    # --- asking -----------------------------------------------------------------------------

    @property
    def store(self) -> JobStore:
        """Where everything that is known of jobs can be asked."""
        return self._store

    @property
    def known(self) -> Known:
        """What was learned of services and targets from the jobs that ran."""
        return self._core.known

    def running(self, target: str) -> int:
        """Jobs that run on the target now, as far as it has said."""
        return self._core.tally.running(target)

    def queued(self, target: str) -> int:
        """Jobs that are placed on the target and do not run yet; those just decided included."""
        return self._core.tally.queued(target)

    @property
    def open_jobs(self) -> int:
        """Jobs that are not over, as far as this process has heard."""
        return self._core.tally.open

    def quiet(self) -> bool:
        """True when every job is over and every output that must start a job has started it."""
        return self._store.quiet()

    def wait_quiet(self, timeout: float | None = None) -> bool:
        """Wait until it is quiet; False when `timeout` seconds have passed first."""
        looked = -_LOOK

        def is_quiet() -> bool:
            # The tally spares the store a question after each change; others may use the store
            # too, so it is asked now and then whatever the tally says.
            nonlocal looked
            now = time.monotonic()
            if self._core.tally.open > 0 and now - looked < _LOOK:
                return False
            looked = now
            return self._store.quiet()

        return self._wait(is_quiet, timeout)

    def wait(
        self, job: str, timeout: float | None = None, *, gone: Callable[[], bool] = lambda: False
    ) -> JobRecord | None:
        """Wait for the end of a job; what it was at last, None when there is no such job.

        The wait ends, too, within a second after `gone` says that nobody waits any more.
        """
        self._wait(lambda: gone() or (r := self._store.job(job)) is None or r.state.final, timeout)
        return self._store.job(job)

    def _wait(self, done: Callable[[], bool], timeout: float | None) -> bool:
        end = None if timeout is None else time.monotonic() + timeout
        core = self._core
        while True:
            seen = core.version
            if done():
                return True
            left = _LOOK if end is None else min(_LOOK, end - time.monotonic())
            if left <= 0 or core.stopping.is_set():
                return False
            core.wait_change(seen, left)


def _result(one: _received.Received, accepted: Iterator[Accepted]) -> IngestResult:
    """What became of a body; its jobs are the next of those that were accepted."""
    jobs = tuple(islice(accepted, len(one.items)))
    return IngestResult(jobs, len(one.ignored), one.refusal.reason if one.refusal else "")
