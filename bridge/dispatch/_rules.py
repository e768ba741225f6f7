"""Which change a job may make, and what the job is after it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.dispatch._codec import dumps
from bridge.dispatch.model import Change
from bridge.targets import JobState

__all__ = ["permits", "result"]

_OPEN: Final = (JobState.ACCEPTED, JobState.PLACED, JobState.SUBMITTED, JobState.RUNNING)
_RANK: Final = {state: rank for rank, state in enumerate(_OPEN)}

# What belongs to one attempt only.
_FRESH: Final = {
    "target": "",
    "tries": 0,
    "handle": "",
    "placed": None,
    "submitted": None,
    "started": None,
    "ended": None,
    "exit_code": None,
    "report": "{}",
    "log": "",
}
_COPIED: Final = ("target", "tries", "due", "handle", "started", "ended", "exit_code", "reason")
_STAMP: Final = {
    JobState.PLACED: "placed",
    JobState.SUBMITTED: "submitted",
    JobState.RUNNING: "started",
}


def permits(state: JobState, attempt: int, change: Change) -> bool:
    """The rules of `JobStore.change`."""
    if state.final or change.attempt != attempt:
        return False
    if change.again:
        return change.state in (JobState.ACCEPTED, JobState.PLACED)
    return change.state.final or _RANK[change.state] >= _RANK[state]


def result(job: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """The job's columns after a permitted change."""
    after = dict(job)
    if change.again:
        after.update(_FRESH, attempt=job["attempt"] + 1)
    after["state"] = change.state.value
    for name in _COPIED:
        if (value := getattr(change, name)) is not None:
            after[name] = value
    if change.again:
        # These say how the attempt before ended; they are kept with that attempt.
        after["started"] = after["ended"] = after["exit_code"] = None
    if change.log:
        after["log"] = change.log
    if change.report:
        after["report"] = dumps(change.report)
    if change.stop:
        after["stop"] = 1
    if change.release:
        after["owner"] = ""
    stamp = "ended" if change.state.final else _STAMP.get(change.state)
    if stamp and after[stamp] is None:
        after[stamp] = change.at
    return after
