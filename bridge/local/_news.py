"""What a target on this machine has to say to the dispatcher."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from bridge.local._work import Outcome, Work
from bridge.targets.protocol import JobState, JobUpdate
from bridge.targets.reports import reported


class News:
    """The newest update of each job; final ones come again until they are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fresh: dict[str, JobUpdate] = {}
        self._final: dict[str, JobUpdate] = {}
        self._wakers: list[Callable[[], None]] = []

    def put(self, update: JobUpdate) -> None:
        """Keep an update until it is taken, and wake who waits for one."""
        with self._lock:
            self._fresh[update.job] = update
            if update.state.final:
                self._final[update.job] = update
            wakers = list(self._wakers)
        for wake in wakers:
            wake()

    def take(self) -> list[JobUpdate]:
        """Fresh updates, and final ones that are not forgotten."""
        with self._lock:
            fresh, self._fresh = self._fresh, {}
            repeated = [update for job, update in self._final.items() if job not in fresh]
            return [*repeated, *fresh.values()]

    def forget(self, job: str) -> None:
        """Drop what there is of a job."""
        with self._lock:
            self._fresh.pop(job, None)
            self._final.pop(job, None)

    def on_news(self, wake: Callable[[], None]) -> None:
        """Call `wake` after each `put`."""
        with self._lock:
            self._wakers.append(wake)


def final_update(
    work: Work, outcome: Outcome, *, handle: str, cancelled: bool, started: float | None, now: float
) -> JobUpdate:
    """The last news of a job: from the supervisor's report, or from its absence.

    A job that had succeeded before it could be cancelled has succeeded.
    """
    log = str(work.files.log)
    if outcome.report is None:
        update = JobUpdate(
            work.job.id,
            JobState.FAILED,
            handle=handle,
            exit_code=outcome.exit_code,
            reason=outcome.reason,
            temporary=outcome.temporary,
            log=log,
        )
    else:
        update = reported(work.job.id, outcome.report, handle=handle, log=log)
    if cancelled and update.state is not JobState.SUCCEEDED:
        update = replace(update, state=JobState.CANCELLED, temporary=False)
    begun = started if update.started is None else update.started
    return replace(update, started=begun, ended=now if update.ended is None else update.ended)
