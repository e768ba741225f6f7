"""accepted → placed: one thread that takes decisions, many to a commit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from bridge.dispatch import steps
from bridge.dispatch._core import LOG, Core
from bridge.dispatch.model import Change, JobRecord
from bridge.dispatch.protocol import Decide
from bridge.errors import BridgeError, PermanentError, PlacementError, TemporaryError, WaitError
from bridge.events import Event
from bridge.fdl.model import Service
from bridge.scheduler import Decision, Snapshot, decide_all
from bridge.targets import JobState

__all__ = ["Placer"]

_BATCH: Final = 64
_IDLE: Final = 1.0


class Placer:
    """Claims what was accepted and asks `decide` where it shall run."""

    def __init__(
        self,
        core: Core,
        targets: Collection[str],
        decide: Decide,
        snapshot: Callable[[], Snapshot],
    ) -> None:
        self._core = core
        self._targets = targets
        self._decide = decide
        self._snapshot = snapshot
        self._turn = 0

    def run(self) -> None:
        """The thread's work until the dispatcher stops."""
        self._core.loop(self._step)

    def _step(self) -> None:
        core = self._core
        core.placing.clear()
        now = core.clock()
        due = core.store.next_due(JobState.ACCEPTED, now)
        if due is None or due > now:
            core.placing.wait(_IDLE if due is None else min(_IDLE, due - now))
            return
        jobs = core.store.claim(core.owner, JobState.ACCEPTED, now, _BATCH)
        changes = self._place(jobs)
        answers = core.persist(changes)
        core.persist(
            [
                self._looked_at_again(change)
                for change, answer in zip(changes, answers, strict=True)
                if answer is None and change.within is not None
            ]
        )
        core.tally.settle()

    def _looked_at_again(self, change: Change) -> Change:
        """Another dispatcher has spent what was left of the budget, or somebody has learned."""
        core = self._core
        now, state = core.clock(), JobState.ACCEPTED
        due = now + core.settings.delay(change.job, 1)
        return Change(change.job, change.attempt, state, now, due=due, release=True)

    def _place(self, jobs: Sequence[JobRecord]) -> list[Change]:
        """Decide about all of them on one snapshot, so that each sees those before it."""
        asked = [(job, self._asked(job)) for job in jobs]
        known = [(job, found) for job, found in asked if isinstance(found, Service)]
        decided = iter(self._decided(known))
        return [
            self._carried(job, next(decided) if isinstance(found, Service) else found)
            for job, found in asked
        ]

    def _carried(self, job: JobRecord, answer: Decision | BridgeError) -> Change:
        try:
            return self._answered(job, answer)
        except Exception as error:
            # A decision that makes no sense must not keep those that were claimed with it.
            return self._answered(job, _understood(error))

    def _asked(self, job: JobRecord) -> Service | BridgeError:
        """What is to be placed, with what is left of its deadline."""
        try:
            service = self._service(job.service)
        except Exception as error:
            return _understood(error)
        if service is None:
            return PermanentError(f"service {job.service} is not deployed here")
        return steps.in_time(service, job, self._core.clock())

    def _decided(
        self, known: Sequence[tuple[JobRecord, Service]]
    ) -> Sequence[Decision | BridgeError]:
        try:
            return self._burst(known) if known else ()
        except Exception as error:
            # Whatever it is, what was claimed must not be left lying.
            return [_understood(error)] * len(known)

    def _burst(
        self, known: Sequence[tuple[JobRecord, Service]]
    ) -> Sequence[Decision | BridgeError]:
        snapshot = replace(self._snapshot(), turn=self._turn)
        for name in {service.name for _, service in known}:
            # A store that does not answer now says nothing against the jobs.
            informed = self._core.ask(partial(self._core.known.informed, snapshot, name))
            snapshot = informed or snapshot
        self._turn += len(known)
        # Each job has an event of its own, whatever that says.
        left = {id(job.event): gone for job, _ in known if (gone := self._left_by(job))}

        def place(
            service: Service, event: Event | None, seen: Snapshot, /, *, seed: int
        ) -> Decision:
            gone = left.get(id(event))
            if gone:
                return self._again(service, event, seen, gone, seed=seed)
            return self._taken(service, event, seen, seed=seed)

        jobs = [(service, job.event, steps.seed(job.id)) for job, service in known]
        return decide_all(jobs, snapshot, place=place)

    def _left_by(self, job: JobRecord) -> frozenset[str]:
        """Targets that this job has been to in vain."""
        core = self._core
        detail = core.ask(lambda: core.store.detail(job.id)) if job.attempt > 1 else None
        return steps.left_by(detail)

    def _again(
        self,
        service: Service,
        event: Event | None,
        snapshot: Snapshot,
        left: frozenset[str],
        *,
        seed: int,
    ) -> Decision:
        """Without the targets that the job has left, if any other can run it."""
        others = steps.without(snapshot, left)
        with contextlib.suppress(PlacementError):
            found = self._taken(service, event, others, seed=seed)
            if found.target:
                return found
        return self._taken(service, event, snapshot, seed=seed)

    def _taken(
        self, service: Service, event: Event | None, snapshot: Snapshot, /, *, seed: int
    ) -> Decision:
        """One decision; those after it see it."""
        try:
            found = self._decide(service, event, snapshot, seed=seed)
        except Exception as error:
            raise _understood(error) from error
        if found.target in self._targets:
            self._core.tally.reserve(found.target)
        return found

    def _answered(self, job: JobRecord, answer: Decision | BridgeError) -> Change:
        if isinstance(answer, Decision):
            return self._chosen(job, answer)
        if isinstance(answer, TemporaryError):
            counts = not isinstance(answer, WaitError)
            return self._later(job, answer.message, answer.delay, counts=counts)
        return self._failed(job, answer.message)

    def _service(self, name: str) -> Service | None:
        """The service; one that another dispatcher was given may be new to us."""
        if name not in self._core.services:
            self._core.prepare(name, "")
        return self._core.services.get(name)

    def _chosen(self, job: JobRecord, decision: Decision) -> Change:
        if decision.waits:
            return steps.waiting(job, decision, self._core.clock(), self._core.settings)
        if not decision.target:
            return self._failed(job, decision.reason, decision)
        if decision.target not in self._targets:
            why = f"placed on {decision.target}, which this dispatcher does not have"
            return self._failed(job, why, decision)
        self._core.known.placed(job.id, job.service, decision.target)
        change = steps.placed(job, decision, self._core.clock())
        within = self._core.known.within(job.service) if change.cost else None
        return replace(change, within=within)

    def _failed(self, job: JobRecord, why: str, decision: Decision | None = None) -> Change:
        return steps.failed(job, why, self._core.clock(), decision)

    def _later(
        self, job: JobRecord, why: str, least: float = 0.0, *, counts: bool = True
    ) -> Change:
        core = self._core
        return steps.place_later(job, why, core.clock(), core.settings, least, counts=counts)


def _understood(error: Exception) -> BridgeError:
    """An error of ours as it is; one that nobody has foreseen may pass."""
    if isinstance(error, BridgeError):
        return error
    LOG.error("placement broke", exc_info=error)
    return TemporaryError(f"placement broke: {error!r}")
