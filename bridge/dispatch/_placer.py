"""accepted → placed: one thread that takes decisions, many to a commit."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from bridge.dispatch._core import LOG, Core
from bridge.dispatch.model import Change, JobRecord
from bridge.dispatch.protocol import Decide
from bridge.errors import BridgeError, TemporaryError
from bridge.fdl.model import Service
from bridge.scheduler import Decision, Snapshot, as_json
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
        core.persist([self._place(job) for job in jobs])
        core.tally.settle()

    def _place(self, job: JobRecord) -> Change:
        service = self._core.services.get(job.service)
        if service is None:
            return self._failed(job, f"service {job.service} is not deployed here")
        try:
            return self._chosen(job, self._decision(job, service))
        except TemporaryError as error:
            return self._later(job, error.message, error.delay)
        except BridgeError as error:
            return self._failed(job, error.message)
        except Exception as error:
            LOG.exception("placing job %s failed", job.id)
            return self._later(job, f"placement broke: {error!r}")

    def _decision(self, job: JobRecord, service: Service) -> Decision:
        # The last digits of a job's name are those of a digest: a fair and repeatable seed.
        return self._decide(service, job.event, self._snapshot(), seed=int(job.id[-8:], 16))

    def _chosen(self, job: JobRecord, decision: Decision) -> Change:
        if not decision.target:
            return self._failed(job, decision.reason, decision)
        if decision.target not in self._targets:
            why = f"placed on {decision.target}, which this dispatcher does not have"
            return self._failed(job, why, decision)
        self._core.tally.reserve(decision.target)
        now = self._core.clock()
        return Change(
            job.id,
            job.attempt,
            JobState.PLACED,
            now,
            target=decision.target,
            tries=0,
            due=now,
            decision=as_json(decision),
            release=True,
        )

    def _failed(self, job: JobRecord, why: str, decision: Decision | None = None) -> Change:
        return Change(
            job.id,
            job.attempt,
            JobState.FAILED,
            self._core.clock(),
            reason=why,
            decision=None if decision is None else as_json(decision),
        )

    def _later(self, job: JobRecord, why: str, least: float = 0.0) -> Change:
        """Another try after a while, or the end when there were enough."""
        settings, now, tries = self._core.settings, self._core.clock(), job.tries + 1
        if tries >= settings.max_submits:
            reason = f"not placed in {tries} tries; the last: {why}"
            return Change(job.id, job.attempt, JobState.DEAD, now, tries=tries, reason=reason)
        due = now + settings.delay(job.id, tries, least)
        return Change(
            job.id,
            job.attempt,
            JobState.ACCEPTED,
            now,
            tries=tries,
            due=due,
            reason=why,
            release=True,
        )
