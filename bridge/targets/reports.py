"""What a supervisor's report means as news of its job; the same for every place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.targets.protocol import JobState, JobUpdate

__all__ = ["reported"]

_STATES: Final = {
    str(state): state for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
}


def reported(job: str, report: Mapping[str, Any], *, handle: str, log: str) -> JobUpdate:
    """The final news of a job; a report that cannot be understood is a failure.

    The exit code is the script's own, else the status that the supervisor ended with.
    """
    state = _STATES.get(str(report.get("state")), JobState.FAILED)
    code = report.get("exit_code")
    return JobUpdate(
        job=job,
        state=state,
        handle=handle,
        started=report.get("started"),
        ended=report.get("ended"),
        exit_code=report.get("status") if code is None else code,
        reason=str(report.get("reason", "")),
        temporary=state is JobState.FAILED and bool(report.get("temporary", False)),
        log=log,
        report=report,
    )
