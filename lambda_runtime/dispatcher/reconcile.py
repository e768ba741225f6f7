"""On a schedule: jobs that nothing was heard of for a while are looked after."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Final

from bridge.dispatch.model import JobDetail, JobRecord
from bridge.errors import BridgeError
from bridge.storage.claims import Claim
from bridge.targets import JobState, JobUpdate
from bridge.targets.aws.arrays import child_of
from bridge.targets.aws.common import update_from_report
from lambda_runtime.dispatcher.burst import Burst
from lambda_runtime.dispatcher.news import News
from lambda_runtime.dispatcher.worker import Worker
from lambda_runtime.dispatcher.world import World

__all__ = ["Reconciliation"]

LOG: Final = logging.getLogger("oscar-bridge")
_Described = Mapping[str, Mapping[str, Any]]
_NOT_WITH_A_TARGET: Final = (JobState.ACCEPTED, JobState.PLACED)
_AT_ONCE: Final = 8
_TOGETHER: Final = 100
# Lambda tries to run an event for six hours, and a run has a quarter of an hour.
_LONGEST: Final = 6 * 3600 + 1200
# The clocks of two machines differ, and news may be on its way.
_SLACK: Final = 60.0


class Reconciliation:
    """Takes up what was dropped, and asks about what is silent.

    `quiet` is for how many seconds a job must not have changed.
    """

    def __init__(self, world: World, worker: Worker, news: News, *, quiet: float = 120.0) -> None:
        self._world = world
        self._worker = worker
        self._news = news
        self._quiet = quiet

    def run(self, until: float) -> dict[str, int]:
        """Look after the longest silent first, until that time (of `time.monotonic`).

        The answer counts jobs by what was done. One that cannot be helped now is left for later.
        """
        done: Counter[str] = Counter()
        jobs = self._world.table.open_since(self._world.clock() - self._quiet)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while time.monotonic() < until and (some := list(islice(jobs, _TOGETHER))):
                done.update(self._look(some, pool))
        return dict(done)

    def _look(self, jobs: Sequence[JobRecord], pool: ThreadPoolExecutor) -> Counter[str]:
        self._world.services()
        done: Counter[str] = Counter()
        waiting = [job for job in jobs if job.state in _NOT_WITH_A_TARGET]
        others = [job for job in jobs if job.state not in _NOT_WITH_A_TARGET]
        now = self._world.clock()
        due = [job for job in waiting if job.due <= now]
        described = self._described(others)
        done["resumed"] = self._resumed(due, pool)
        done["asked"] = sum(pool.map(_tried(lambda job: self._ask(job, described)), others))
        done["waiting"] = len(jobs) - done["resumed"] - done["asked"]
        return done

    def _resumed(self, jobs: Sequence[JobRecord], pool: ThreadPoolExecutor) -> int:
        burst = Burst(self._world, self._worker)

        def begin(job: JobRecord) -> None:
            self._worker.resume(job.id, job.attempt, part=burst.part(job.id))

        begun = list(pool.map(_tried(begin), jobs))
        burst.go()
        ends = _tried(lambda job: burst.check(job.id))
        return sum(ok and ends(job) for job, ok in zip(jobs, begun, strict=True))

    def _described(self, jobs: Sequence[JobRecord]) -> _Described:
        """What Batch says of those that it may have, asked for all at once."""
        world = self._world
        handles = [
            job.handle
            for job in jobs
            if job.handle and (known := world.service(job.service)) and known.at.definition
        ]
        return {str(found["jobId"]): found for found in world.batches.describe(handles)}

    def _ask(self, job: JobRecord, described: _Described) -> None:
        """What became of a job that is with its target."""
        detail = self._world.table.detail(job.id)
        if detail is None or detail.job.state.final:
            return
        job = detail.job
        if job.handle in described:
            self._news.learn_of_batch(described[job.handle], detail)
            return
        account = self._world.account
        update = update_from_report(account, job.id, job.attempt, job.handle, job.log)
        if update is not None and self._worker.learn(update, detail):
            return
        if child_of(job.handle)[1]:
            self._lost(detail, f"Batch does not know job {job.handle} any more")
            return
        claim = account.claims.read(job.id, job.attempt)
        if claim is not None and (claim.batch_job or claim.handed):
            self._ask_batch(detail, claim)
        else:
            self._ask_function(detail, claim)

    def _ask_batch(self, detail: JobDetail, claim: Claim) -> None:
        """A job that is Batch's, by whatever way it got there."""
        if not claim.batch_job:
            if claim.until + _SLACK < self._world.clock():
                self._worker.hand_over(detail.job)
            return
        found = next(iter(self._world.batches.describe([claim.batch_job])), None)
        if found is not None:
            self._news.learn_of_batch(found, detail)
        else:
            self._lost(detail, f"Batch does not know job {claim.batch_job} any more")

    def _ask_function(self, detail: JobDetail, claim: Claim | None) -> None:
        now = self._world.clock()
        if claim is not None:
            if claim.until + _SLACK < now:
                self._lost(detail, "its run has ended without a report and without any news")
        elif (detail.job.submitted or detail.job.accepted) + _LONGEST < now:
            self._lost(detail, "its function was never run")

    def _lost(self, detail: JobDetail, why: str) -> None:
        job = detail.job
        update = JobUpdate(
            job.id, JobState.FAILED, handle=job.handle, reason=why, temporary=True, log=job.log
        )
        self._worker.learn(update, detail)


def _tried(work: Callable[[JobRecord], None]) -> Callable[[JobRecord], bool]:
    """The work, False when it cannot be done now."""

    def attempt(job: JobRecord) -> bool:
        try:
            work(job)
        except BridgeError as error:
            LOG.warning("job %s is left for later: %s", job.id, error)
            return False
        return True

    return attempt
