"""Which change a job may make, and what the job is after it. Pure; the same for every store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.dispatch._codec import dumps
from bridge.dispatch.model import OPEN_STATES, Change
from bridge.targets import JobState

__all__ = [
    "FRESH",
    "ended_attempt",
    "permits",
    "result",
    "set_by",
    "stamp",
    "states_before",
]

_RANK: Final = {state: rank for rank, state in enumerate(OPEN_STATES)}

FRESH: Final[Mapping[str, Any]] = {
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
    "moving": 0,
}
"""What belongs to one attempt only, as it is when the attempt begins."""

_COPIED: Final = ("target", "tries", "due", "handle", "started", "ended", "exit_code", "reason")
# These say how the attempt before ended; they are kept with that attempt.
_OF_THE_ENDED: Final = frozenset({"started", "ended", "exit_code"})
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


def states_before(change: Change) -> tuple[JobState, ...]:
    """The states in which a job that is at the change's attempt may make it."""
    return tuple(state for state in OPEN_STATES if permits(state, change.attempt, change))


def stamp(change: Change) -> str:
    """The time that the change sets unless it is set already; "" for none."""
    return "ended" if change.state.final else _STAMP.get(change.state, "")


def set_by(change: Change) -> dict[str, Any]:
    """The columns that the change sets, whatever the job was before."""
    values: dict[str, Any] = {"state": change.state.value}
    for name in _COPIED:
        if (value := getattr(change, name)) is None:
            continue
        if not (change.again and name in _OF_THE_ENDED):
            values[name] = value
    if change.log:
        values["log"] = change.log
    if change.report:
        values["report"] = dumps(change.report)
    if change.stop:
        values["stop"] = 1
    if change.release:
        values["owner"] = ""
    if change.moving is not None:
        values["moving"] = int(change.moving)
    return values


def result(job: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """The job's columns after a permitted change."""
    after = dict(job)
    if change.again:
        after.update(FRESH, attempt=job["attempt"] + 1)
    after.update(set_by(change))
    name = stamp(change)
    if name and after[name] is None:
        after[name] = change.at
    return after


def ended_attempt(job: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """What became of the attempt that ends with a change that begins another."""
    return {
        "number": job["attempt"],
        "target": job["target"],
        "state": (JobState.CANCELLED if change.unrun else JobState.FAILED).value,
        "handle": job["handle"],
        "placed": job["placed"],
        "submitted": job["submitted"],
        "started": job["started"] if change.started is None else change.started,
        "ended": change.at if change.ended is None else change.ended,
        "exit_code": change.exit_code,
        "reason": change.reason or job["reason"],
        "log": change.log or job["log"],
    }
