"""On a schedule: jobs that wait too long where they are are taken back, and only then placed anew.

That a job is to be taken back is on record before its target hears of it. That it has not begun is
the target's to say: by the claim of its attempt, or by Batch, which cancels nothing that runs. So
whoever goes on after a crash asks again, and a job never runs in two places.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Final

from bridge.dispatch import steps
from bridge.dispatch.model import Change, JobRecord, Waiting
from bridge.dispatch.waiting import better, hedged, patience, seen_by
from bridge.errors import BridgeError, TemporaryError, WaitError
from bridge.scheduler import from_json
from bridge.targets import JobState
from lambda_runtime.dispatcher.burst import job_of
from lambda_runtime.dispatcher.registry import Known
from lambda_runtime.dispatcher.worker import Worker
from lambda_runtime.dispatcher.world import World

__all__ = ["Moving"]

LOG: Final = logging.getLogger("oscar-bridge")
_WAITS: Final = (JobState.PLACED, JobState.SUBMITTED)
# Open jobs that one look goes through, and how many it moves of a service from a target.
_MOST: Final = 5000
_FEW: Final = 16


class Moving:
    """Takes back what is better off elsewhere."""

    def __init__(self, world: World, worker: Worker) -> None:
        self._world = world
        self._worker = worker

    def run(self, until: float) -> dict[str, int]:
        """Look through what waits, until that time (of `time.monotonic`); what was done, counted.

        Who has waited longest comes first: where he stays, all behind him do.
        """
        done, going, tried = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
        for one in self._waiting():
            job, line = one.job, (one.job.target, one.job.service)
            if time.monotonic() >= until:
                break
            if job.moving:
                done["asked"] += 1
                self._tried(job)
            elif tried[line] < _FEW:
                tried[line] += 1
                target = self._better(one, going)
                if target and self._begins(job):
                    going[target] += 1
                    done["moved"] += 1
                else:
                    tried[line] = _FEW
        return dict(done)

    def _waiting(self) -> Iterator[Waiting]:
        """Jobs that wait longer than their service has patience, or are being asked back."""
        world, ahead = self._world, Counter[str]()
        now = world.clock()
        found = islice(world.table.open_since(now), _MOST)
        mine = [job for job in found if job.state in _WAITS and job.target]
        for job in sorted(mine, key=_since):
            known = world.service(job.service)
            choice = known is not None and len(known.at.specs(known.document)) > 1
            if known is not None and choice and (job.moving or self._is_late(job, known, now)):
                yield Waiting(job, ahead[job.target], untouched=False)
            ahead[job.target] += 1

    def _is_late(self, job: JobRecord, known: Known, now: float) -> bool:
        return now - _since(job) >= patience(known.service, self._world.settings)

    def _better(self, one: Waiting, going: Mapping[str, int]) -> str:
        """Where the job would be better off; "" when it stays."""
        world, job = self._world, one.job
        known = world.service(job.service)
        detail = world.table.detail(job.id)
        if known is None or detail is None or detail.job.attempt != job.attempt:
            return ""
        if steps.moves(detail) >= world.settings.max_moves:
            return ""
        if known.service.placement.policy == "hedge":
            taken = from_json(detail.decisions[-1]) if detail.decisions else None
            return hedged(taken, _since(job), world.clock()) if taken is not None else ""
        try:
            seen = seen_by(one, world.snapshot(known), going)
            decide, now = world.environment.trial.decide, world.clock()
            return better(one, known.service, seen, decide, settings=world.settings, now=now)
        except WaitError:
            return ""
        except BridgeError as error:
            LOG.warning("job %s stays on %s: %s", job.id, job.target, error)
            return ""

    # --- taking back ------------------------------------------------------------------------

    def _begins(self, job: JobRecord) -> bool:
        now = self._world.clock()
        why = f"it waited {now - _since(job):.0f} s on {job.target}"
        wish = Change(job.id, job.attempt, job.state, now, reason=why, moving=True)
        if not self._world.table.change(wish, only_from=(job.state,)):
            return False
        self._tried(replace(job, moving=True, reason=why))
        return True

    def _tried(self, job: JobRecord) -> None:
        try:
            self.ask(job)
        except BridgeError as error:
            LOG.warning("job %s is not taken back from %s yet: %s", job.id, job.target, error)

    def ask(self, job: JobRecord) -> None:
        """Ask the target for a job that is to move; it goes on elsewhere when that gives it back.

        TemporaryError when the target cannot be asked.
        """
        known = self._world.service(job.service)
        target = known and self._world.target(known, job.target)
        if not target:
            return
        try:
            given = target.withdraw(job_of(job), job.handle)
        except TemporaryError:
            raise
        except BridgeError as error:
            LOG.warning("job %s stays on %s: %s", job.id, job.target, error)
            given = False
        if given:
            self._worker.place_anew(job)
        elif given is False:
            # It has begun, or is over and says so soon.
            now = self._world.clock()
            begun = Change(job.id, job.attempt, JobState.RUNNING, now, moving=False, reason="")
            self._world.table.change(begun)


def _since(job: JobRecord) -> float:
    return job.accepted if job.placed is None else job.placed
