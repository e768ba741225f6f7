"""What the threads of a dispatcher share."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from bridge.dispatch._hooks import Hooks
from bridge.dispatch._known import Known
from bridge.dispatch._owner import new_owner
from bridge.dispatch._tally import Tally
from bridge.dispatch.model import Accepted, Change, JobEvent, NewJob
from bridge.dispatch.protocol import JobStore, Routes, Tracing
from bridge.dispatch.settings import Settings
from bridge.errors import TemporaryError
from bridge.fdl.model import Service, TargetSpec
from bridge.targets import JobState

__all__ = ["LOG", "Core"]

T = TypeVar("T")

LOG: Final = logging.getLogger("bridge.dispatch")
_PAUSE: Final = 0.25


class Core:
    """The store, the services and routes, the clock, and who is to be woken by what."""

    def __init__(
        self,
        store: JobStore,
        services: Sequence[Service],
        routes: Routes,
        settings: Settings,
        *,
        clock: Callable[[], float],
        specs: Mapping[str, TargetSpec],
    ) -> None:
        self.store = store
        self.serve(services, routes)
        self.settings = settings
        self.clock = clock
        self.owner = new_owner()
        self.tally = Tally()
        self.known = Known(self, specs)
        self.hooks = Hooks()
        self.stopping = threading.Event()
        self.changed = threading.Condition()
        self.version = 0
        self.placing = threading.Event()
        self.moving = threading.Event()
        self.prepare: Callable[[str, str], None] = lambda service, target: None
        self.tracing: Tracing | None = None
        self.share: Callable[[str], str] = lambda service: ""
        self.lanes: Mapping[str, threading.Event] = {}

    def serve(self, services: Sequence[Service], routes: Routes) -> None:
        """What jobs are made of from now on; both change at once."""
        self._serving = {service.name: service for service in services}, routes

    @property
    def services(self) -> Mapping[str, Service]:
        """The services by name."""
        return self._serving[0]

    @property
    def routes(self) -> Routes:
        """Which services an object starts."""
        return self._serving[1]

    def accept(self, items: Sequence[NewJob], parent: str = "") -> list[Accepted]:
        """Make jobs, see JobStore; each has its service's share of the queue.

        `parent` is the `traceparent` that they belong under, "" for none.
        """
        shared = [replace(item, share=self.share(item.service), trace=parent) for item in items]
        if self.tracing is None:
            return self.store.accept(shared, self.clock())
        with self.tracing.accepting(shared, parent) as traced:
            return self.store.accept(traced, self.clock())

    def heard(self, news: Sequence[JobEvent]) -> None:
        """The store's news: count them, pass them on, wake whoever has work now."""
        self.tally.update(news)
        self.hooks.publish(news)
        self.known.heard(news)
        for event in news:
            if event.state is JobState.ACCEPTED:
                self.placing.set()
            elif event.state is JobState.PLACED and event.target in self.lanes:
                self.lanes[event.target].set()
        with self.changed:
            self.version += 1
            self.changed.notify_all()

    def wait_change(self, seen: int, timeout: float) -> None:
        """Wait until `version` is not `seen` any more."""
        with self.changed:
            self.changed.wait_for(lambda: self.version != seen or self.stopping.is_set(), timeout)

    def persist(self, changes: Sequence[Change]) -> list[JobEvent | None]:
        """Store the changes, however long the store needs; nothing is done when we are stopping.

        What is not stored then is learned again after the restart: submits are idempotent and
        targets are asked. A change that cannot be stored at all ends its job.
        """
        while changes:
            try:
                return self.store.change(changes)
            except TemporaryError as error:
                LOG.warning("%s; trying again", error)
                if self.stopping.wait(max(_PAUSE, min(error.delay, 1.0))):
                    break
            except Exception as error:
                if len(changes) > 1:
                    return [self.persist([change])[0] for change in changes]
                LOG.exception("what became of job %s cannot be stored", changes[0].job)
                return self.store.change([_unstorable(changes[0], error)])
        return [None] * len(changes)

    def ask(self, question: Callable[[], T]) -> T | None:
        """What the store says, however long it needs; None when we are stopping.

        For questions about jobs that were claimed: nobody else would go on with them.
        """
        while not self.stopping.is_set():
            try:
                return question()
            except TemporaryError as error:
                LOG.warning("%s; asking again", error)
                self.stopping.wait(max(_PAUSE, min(error.delay, 1.0)))
        return None

    def loop(self, step: Callable[[], None]) -> None:
        """Run the step until we stop; errors are logged and the next step comes after a pause."""
        while not self.stopping.is_set():
            try:
                step()
            except TemporaryError as error:
                LOG.warning("%s; trying again", error)
                self.stopping.wait(max(_PAUSE, min(error.delay, 5.0)))
            except Exception:
                LOG.exception("a step of the dispatcher failed; trying again")
                self.stopping.wait(1.0)


def _unstorable(change: Change, error: Exception) -> Change:
    """The end of a job whose news no store can hold (text that is not Unicode, for instance)."""
    reason = f"its news ({change.state}) could not be stored: {type(error).__name__}"
    return Change(change.job, change.attempt, JobState.DEAD, change.at, reason=reason)
