"""accepted → placed: one thread that takes decisions, many to a commit."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from bridge.dispatch import steps
from bridge.dispatch._core import LOG, Core
from bridge.dispatch.model import Change, JobRecord
from bridge.dispatch.protocol import Decide
from bridge.errors import BridgeError, TemporaryError, WaitError
from bridge.fdl.model import Service
from bridge.scheduler import Decision, Snapshot
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
        try:
            service = self._service(job.service)
            if service is None:
                return self._failed(job, f"service {job.service} is not deployed here")
            return self._chosen(job, self._decision(job, service))
        except TemporaryError as error:
            counts = not isinstance(error, WaitError)
            return self._later(job, error.message, error.delay, counts=counts)
        except BridgeError as error:
            return self._failed(job, error.message)
        except Exception as error:
            LOG.exception("placing job %s failed", job.id)
            return self._later(job, f"placement broke: {error!r}")

    def _service(self, name: str) -> Service | None:
        """The service; one that another dispatcher was given may be new to us."""
        if name not in self._core.services:
            self._core.prepare(name)
        return self._core.services.get(name)

    def _decision(self, job: JobRecord, service: Service) -> Decision:
        snapshot = self._core.known.informed(self._snapshot(), service.name)
        return self._decide(service, job.event, snapshot, seed=steps.seed(job.id))

    def _chosen(self, job: JobRecord, decision: Decision) -> Change:
        if not decision.target:
            return self._failed(job, decision.reason, decision)
        if decision.target not in self._targets:
            why = f"placed on {decision.target}, which this dispatcher does not have"
            return self._failed(job, why, decision)
        self._core.tally.reserve(decision.target)
        return steps.placed(job, decision, self._core.clock())

    def _failed(self, job: JobRecord, why: str, decision: Decision | None = None) -> Change:
        return steps.failed(job, why, self._core.clock(), decision)

    def _later(
        self, job: JobRecord, why: str, least: float = 0.0, *, counts: bool = True
    ) -> Change:
        core = self._core
        return steps.place_later(job, why, core.clock(), core.settings, least, counts=counts)
