"""What the dispatcher has learned: kept in the store, shared with others, told to decisions.

Learning is no part of a job's way. An attempt that ends leaves a row behind; a slow loop reads
these rows, changes the estimates in memory, and stores both the change and that the rows are read
in one transaction, which fails when another manager was faster: then everything is read anew.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence, Set
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from bridge.dispatch.lessons import observation
from bridge.dispatch.model import JobEvent, Lesson
from bridge.errors import BridgeError
from bridge.estimates import Accuracy, Estimates
from bridge.fdl.model import TargetSpec
from bridge.scheduler import Snapshot, Spent, run_cost

if TYPE_CHECKING:
    from bridge.dispatch._core import Core

__all__ = ["Known"]

LOG: Final = logging.getLogger("bridge.dispatch")
_BATCH: Final = 500
_PAUSE: Final = 0.5
_LOOK: Final = 5.0


class Known:
    """Thread-safe. `specs` are the targets by name, for their prices."""

    def __init__(self, core: Core, specs: Mapping[str, TargetSpec]) -> None:
        self._core = core
        self._specs = specs
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._book = Estimates()
        self._version = 0
        self._submits: list[tuple[str, float, bool]] = []

    # --- asking -----------------------------------------------------------------------------

    def informed(self, snapshot: Snapshot, service: str) -> Snapshot:
        """The snapshot with what is known of a service, for a decision about it."""
        owner, now = self._core.share(service), self._core.clock()
        with self._lock:
            return self._book.informed(snapshot, service, now, owner=owner)

    def spent(self, service: str) -> Spent:
        """What the service and its owner have spent."""
        owner, now = self._core.share(service), self._core.clock()
        with self._lock:
            return self._book.spent(service, now, owner=owner)

    def accuracy(self) -> list[Accuracy]:
        """What is known of each service on each target, and how good it was."""
        with self._lock:
            return list(self._book.accuracy(self._core.clock()))

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many figures were left out because they cannot be, by what they were."""
        with self._lock:
            return dict(self._book.dropped)

    # --- hearing ----------------------------------------------------------------------------

    def heard(self, news: Sequence[JobEvent]) -> None:
        """Something has ended: there is something to learn, in a while."""
        if any(event.state.final or event.attempt > 1 for event in news):
            self._news.set()

    def submitted(self, target: str, *, ok: bool) -> None:
        """A target has taken a job, or refused it for now (when it is only full, neither)."""
        now = self._core.clock()
        with self._lock:
            before = self._book.breaker(target, now)
            if not self._book.submitted(target, now, ok=ok):
                return
            after = self._book.breaker(target, now)
            self._submits.append((target, now, ok))
        self._news.set()
        if after != before:
            LOG.warning("the breaker of %s is %s now: it was %s", target, after, before)

    # --- learning ---------------------------------------------------------------------------

    def load(self) -> None:
        """Take what is kept; where nothing is, or nothing that can be read, learn from history."""
        store = self._core.store
        version, kept = store.kept()
        if not Estimates.readable(kept):
            store.relearn(Estimates.MARK)
            version, kept = store.kept()
        with self._lock:
            self._book = Estimates()
            self._take(version, kept, {target for target, _, _ in self._submits})
        self._news.set()

    def _take(self, version: int, kept: Mapping[str, str], targets: Set[str] = frozenset()) -> None:
        """Know what others have stored, and on top of it our own submits since (to `targets`)."""
        targets = self._book.restore(kept) | targets
        self._version = version
        for target, at, ok in self._submits:
            if target in targets:
                self._book.submitted(target, at, ok=ok)

    def wake(self) -> None:
        """Look now."""
        self._news.set()

    def run(self) -> None:
        """The thread's work until the dispatcher stops."""
        self._core.loop(self._step)

    def _step(self) -> None:
        self._news.wait(_LOOK)
        self._news.clear()
        # What ends in the meantime is learned together with it.
        while not self._core.stopping.wait(_PAUSE):
            if self.learn() < _BATCH:
                return

    def learn(self) -> int:
        """Learn from some attempts that are over; how many they were."""
        store = self._core.store
        version, theirs = store.kept(self._version)
        found = store.lessons(_BATCH)
        with self._lock:
            if theirs:
                self._take(version, theirs)
            drifted = [lesson for lesson in found if self._observe(lesson)]
            changes, submits = self._book.changes(), len(self._submits)
        if not found and not changes:
            return 0
        try:
            stored = store.learned(version, changes, found)
        except BridgeError:
            self.load()
            raise
        if not stored:
            self.load()
            return _BATCH
        with self._lock:
            self._version += bool(changes)
            del self._submits[:submits]
        for lesson in drifted:
            self._alarm(lesson)
        return len(found)

    def _observe(self, lesson: Lesson) -> bool:
        seen = observation(lesson, self._price)
        return seen is not None and self._book.observe(seen, self._core.clock())

    def _price(self, service: str, target: str, seconds: float) -> Decimal:
        one, spec = self._core.services.get(service), self._specs.get(target)
        if one is None or spec is None:
            return Decimal(0)
        try:
            return run_cost(one, spec, seconds)
        except BridgeError:
            # What it says of itself makes no sense: then it has not been placed by it either.
            return Decimal(0)

    def _alarm(self, lesson: Lesson) -> None:
        LOG.warning(
            "runs of %s on %s take another time than they did: what was known of them is forgotten,"
            " but for the last few",
            lesson.service,
            lesson.attempt.target,
        )
