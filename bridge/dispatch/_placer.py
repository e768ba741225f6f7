"""accepted → placed: one thread that takes decisions, many to a commit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
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
        core.persist(self._place(jobs))
        core.tally.settle()

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
            snapshot = self._core.known.informed(snapshot, name)
        self._turn += len(known)
        left = [self._left_by(job) for job, _ in known]
        first = [one for one, gone in zip(known, left, strict=True) if not gone]
        jobs = [(service, job.event, steps.seed(job.id)) for job, service in first]
        burst = iter(decide_all(jobs, snapshot, place=self._taken))
        return [
            self._again(job, service, snapshot, gone) if gone else next(burst)
            for (job, service), gone in zip(known, left, strict=True)
        ]

    def _left_by(self, job: JobRecord) -> frozenset[str]:
        """Targets that this job has been to in vain."""
        return steps.left_by(self._core.store.detail(job.id) if job.attempt > 1 else None)

    def _again(
        self, job: JobRecord, service: Service, snapshot: Snapshot, left: frozenset[str]
    ) -> Decision | BridgeError:
        """Without the targets that the job has left, if any other can run it."""
        seed = steps.seed(job.id)
        others = steps.without(snapshot, left)
        try:
            with contextlib.suppress(PlacementError):
                found = self._taken(service, job.event, others, seed=seed)
                if found.target:
                    return found
            return self._taken(service, job.event, snapshot, seed=seed)
        except BridgeError as error:
            return error

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
        if decision.chosen is not None:
            cost = decision.chosen.offer.cost
            self._core.known.placed(job.id, job.service, decision.target, cost)
        return steps.placed(job, decision, self._core.clock())

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
