"""How a job on this machine has ended, in the words of the dispatcher."""

from __future__ import annotations

from dataclasses import replace

from bridge.local._work import Outcome, Work
from bridge.targets.protocol import JobState, JobUpdate
from bridge.targets.reports import reported


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
