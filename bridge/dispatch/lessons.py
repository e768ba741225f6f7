"""An attempt that is over → what it has shown. Pure; every dispatcher's reading of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from bridge.dispatch.model import JobDetail, Lesson
from bridge.estimates import Estimates, Observation, Prediction
from bridge.targets import JobState

__all__ = ["LEARNED", "Price", "learned", "lessons_of", "observation"]

LEARNED: Final = "estimates/all.json"
"""Where the dispatcher on AWS keeps what it has learned, in the work bucket."""

Price = Callable[[str, str, float], Decimal]
"""(service, target, seconds) → USD; 0 where there is no price."""


def learned(kept: bytes | None) -> Estimates | None:
    """What the object LEARNED holds; None when it is not there, or of another version.

    ValueError when it is no JSON.
    """
    found = json.loads(kept) if kept else {}
    if not Estimates.readable(found):
        return None
    book = Estimates()
    book.restore(found)
    return book


def observation(lesson: Lesson, price: Price) -> Observation | None:
    """What the attempt says of its service and its target; None when it never had a target.

    Only runs that succeeded say how long a run takes. A start is counted where no waiting for room
    was foretold, as that is not the target's start. A job that was handed from one place to another
    says nothing of either's times.
    """
    one, report = lesson.attempt, lesson.report
    if not one.target or one.ended is None:
        return None
    ran = None if one.started is None else one.ended - one.started
    handed = isinstance(report.get("runs"), list | tuple)
    said = _chosen(lesson.decision, one.target)
    ok = one.state is JobState.SUCCEEDED and not handed
    phases = _mapping(report.get("phases"))
    script = _number(phases.get("script"))
    waited = said is None or said.get("wait") != 0 or one.submitted is None or handed
    return Observation(
        lesson.service,
        one.target,
        one.ended,
        run=(ran if script is None else script) if ok else None,
        start=None if waited or one.started is None else one.started - (one.submitted or 0.0),
        finish=one.ended - one.placed if ok and one.placed is not None else None,
        size=_size(_mapping(report.get("input")).get("size")),
        stage_in=_moved(phases, "stage_in", _size(_mapping(report.get("input")).get("size"))),
        stage_out=_moved(phases, "stage_out", _written(report.get("outputs"))),
        failed=_failed(lesson),
        cost=price(lesson.service, one.target, ran) if ran and ran > 0 else Decimal(0),
        owner=lesson.share,
        predicted=_prediction(said),
        held=None if handed else ran,
        cold=_said_cold(report),
    )


def lessons_of(detail: JobDetail) -> list[Lesson]:
    """What there is to learn from a job that is over. Only the last attempt has a decision."""
    *earlier, last = detail.attempts
    decision = detail.decisions[-1] if detail.decisions else None
    job = detail.job
    return [
        *(Lesson(0, job.service, one, last=False) for one in earlier),
        Lesson(0, job.service, last, last=True, report=_report(detail), decision=decision),
    ]


def _report(detail: JobDetail) -> dict[str, Any]:
    """The report with the outputs that are kept beside it."""
    return {**detail.job.report, "outputs": [{"size": one.size} for one in detail.outputs]}


def _failed(lesson: Lesson) -> bool | None:
    """Whether the target let the attempt down: not when its script ran and failed by itself, nor
    when it was taken back before it ran."""
    one = lesson.attempt
    if not lesson.last:
        return None if one.state is JobState.CANCELLED else True
    if one.state is JobState.FAILED:
        return None if one.exit_code is None else False
    return {JobState.SUCCEEDED: False, JobState.DEAD: True}.get(one.state)


def _chosen(decision: Mapping[str, Any] | None, target: str) -> Mapping[str, Any] | None:
    """The candidate of the target, of a stored decision that chose it."""
    if decision is None or decision.get("target") != target:
        return None
    found = decision.get("candidates", ())
    return next((_mapping(c) for c in found if _mapping(c).get("target") == target), None)


def _prediction(said: Mapping[str, Any] | None) -> Prediction | None:
    if said is None:
        return None
    run, finish = said.get("run"), said.get("finish")
    if isinstance(run, int | float) and isinstance(finish, int | float):
        start, transfer = (_number(said.get(name)) for name in ("start", "transfer"))
        return Prediction(run, finish, start, transfer)
    return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _size(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _said_cold(report: Mapping[str, Any]) -> bool | None:
    """Whether its container had run no job before, as the supervisor says."""
    said = report.get("cold")
    return said if isinstance(said, bool) else None


def _written(outputs: object) -> int | None:
    """Bytes of all outputs; None when one does not say."""
    if not isinstance(outputs, list | tuple) or not outputs:
        return None
    sizes = [_size(_mapping(one).get("size")) for one in outputs]
    return None if None in sizes else sum(size or 0 for size in sizes)


def _moved(phases: Mapping[str, Any], phase: str, size: int | None) -> tuple[float, int] | None:
    seconds = _number(phases.get(phase))
    return None if seconds is None or size is None else (seconds, size)
