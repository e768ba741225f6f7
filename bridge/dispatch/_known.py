"""What the dispatcher has learned: kept in the store, shared with others, told to decisions.

Learning is no part of a job's way. An attempt that ends leaves a row behind; a slow loop reads
these rows, changes the estimates in memory, and stores both the change and that the rows are read
in one transaction, which fails when another manager was faster: then everything is read anew.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from bridge.dispatch._busy import Busy
from bridge.dispatch.lessons import observation
from bridge.dispatch.model import JobEvent, Lesson, Within
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
_DAY: Final = 86_400.0


class Known:
    """Thread-safe. `specs` are the targets by name, for their prices."""

    def __init__(self, core: Core, specs: Mapping[str, TargetSpec]) -> None:
        self._core = core
        self._specs = specs
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._book = Estimates()
        self._busy = Busy(name for name, spec in specs.items() if spec.kind == "lambda")
        self._version = 0
        self._swept = 0.0
        self._unsure = False
        self._submits: list[tuple[str, float, bool]] = []

    # --- asking -----------------------------------------------------------------------------

    def informed(self, snapshot: Snapshot, service: str) -> Snapshot:
        """The snapshot with what is known of a service, for a decision about it."""
        # Before the rest: what is learned in between counts twice then, and not never.
        spent = self.spent(service) if self._budget(service) else None
        owner, now = self._core.share(service), self._core.clock()
        with self._lock:
            busy = self._busy.of(service)
            informed = self._book.informed(snapshot, service, now, owner=owner, busy=busy)
        if spent is None:
            return informed
        return replace(informed, spent={**informed.spent, service: spent})

    def spent(self, service: str) -> Spent:
        """What the service and its owner have spent, with what their jobs under way will cost, of
        every dispatcher on the store."""
        owner, now = self._core.share(service), self._core.clock()
        under_way = self._core.store.promised(service, owner)
        if under_way.version > self._version:
            self._catch_up()
        own, all_ = under_way.service, under_way.share
        with self._lock:
            spent = self._book.spent(service, now, owner=owner)
        return Spent(
            spent.day + own, spent.month + own, spent.owner_day + all_, spent.owner_month + all_
        )

    def within(self, service: str) -> Within | None:
        """What jobs of the service may still cost by its budget; None when it has none."""
        limits, now = self._budget(service), self._core.clock()
        if not limits:
            return None
        with self._lock:
            spent, version = self._book.spent(service, now), self._version
        gone = {"day": spent.day, "month": spent.month}
        return Within(version, min(most - gone[period] for period, most in limits.items()))

    def _budget(self, service: str) -> Mapping[str, Decimal]:
        one = self._core.services.get(service)
        return {} if one is None else one.placement.budget

    def _catch_up(self) -> None:
        """Take what another has learned; while we are learning, that is seen to anyway."""
        version, theirs = self._core.store.kept(self._version)
        with self._lock:
            if version > self._version and not self._unsure:
                self._submit_again(self._book.restore(theirs))
                self._version = version

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
        self._busy.heard(news)
        if any(event.state.final or event.attempt > 1 for event in news):
            self._news.set()

    def placed(self, job: str, service: str, target: str) -> None:
        """A job was placed there."""
        with self._lock:
            self._busy.placed(job, service, target, self._core.clock())

    def submitted(self, target: str, *, ok: bool) -> None:
        """A target has taken a job, or refused it for now (when it is only full, neither)."""
        if ok and self._book.is_untroubled(target):
            return
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
        try:
            version, book = self._read()
        except (ValueError, KeyError, TypeError, ArithmeticError) as error:
            LOG.warning("what was learned cannot be read (%r): it is learned again", error)
            # With another mark than ours everything is forgotten.
            self._core.store.relearn((Estimates.MARK[0], "damaged"))
            version, book = self._read()
        with self._lock:
            self._book, self._version = book, version
            self._submit_again({target for target, _, _ in self._submits})
            self._unsure = False
        self._news.set()

    def _read(self) -> tuple[int, Estimates]:
        store, book = self._core.store, Estimates()
        version, kept = store.kept()
        if not Estimates.readable(kept):
            store.relearn(Estimates.MARK)
            version, kept = store.kept()
        book.restore(kept)
        return version, book

    def _submit_again(self, targets: Set[str]) -> None:
        """Our own submits to these targets, on top of what was read."""
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
        if self._unsure:
            self.load()
        version, theirs = store.kept(self._version)
        found = store.lessons(_BATCH)
        with self._lock:
            if version > self._version:
                self._submit_again(self._book.restore(theirs))
                self._version = version
            # Until it is stored, what is in memory may be wrong: then it is read anew.
            self._unsure = True
            self._sweep()
            drifted = [lesson for lesson in found if self._observe(lesson)]
            changes, submits = self._book.changes(), len(self._submits)
        if not found and not changes:
            self._unsure = False
            return 0
        if not store.learned(version, changes, found):
            return _BATCH
        with self._lock:
            self._version = max(self._version, version + bool(changes))
            del self._submits[:submits]
            self._unsure = False
        for lesson in drifted:
            self._alarm(lesson)
        return len(found)

    def _sweep(self) -> None:
        """Once a day, forget what has become too old to say anything."""
        now = self._core.clock()
        if not 0 <= now - self._swept < _DAY:
            self._swept = now
            self._book.forget(now)

    def _observe(self, lesson: Lesson) -> bool:
        try:
            seen = observation(lesson, self._price)
            one = self._core.services.get(lesson.service)
            if seen is not None and one is not None:
                held = seen.held if self._busy.counts(seen.target) else None
                seen = replace(seen, cores=float(one.resources.cpu), held=held)
            return seen is not None and self._book.observe(seen, self._core.clock())
        except Exception:
            # One that nobody foresaw must not keep us from all others.
            LOG.exception("nothing is learned from a job of %s", lesson.service)
            return False

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
