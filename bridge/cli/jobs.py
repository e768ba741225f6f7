"""`jobs` and `job`: what the dispatcher on AWS and clusters know of jobs."""

from __future__ import annotations

import datetime
import heapq
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bridge.cli.output import console, print_json, seconds, size, table
from bridge.errors import NotFoundError

if TYPE_CHECKING:
    from bridge.dispatch import Attempt, JobDetail, JobRecord
    from bridge.operate.sides import Side
    from bridge.targets import JobState

__all__ = ["plain_job", "show", "show_one"]


def show(
    sides: Sequence[Side], service: str, *, states: tuple[str, ...], limit: int, as_json: bool
) -> int:
    """Print the newest jobs of all sides."""
    from bridge.cli.together import asked, status_of
    from bridge.targets import JobState

    wanted = tuple(JobState(state) for state in states)
    answers, failed = asked(sides, lambda side: _of_side(side, service, wanted, limit, sides))
    jobs = (job for _, some in answers for job in some)
    found = heapq.nlargest(limit, jobs, key=lambda job: job.accepted)
    if as_json:
        print_json({"jobs": [plain_job(job) for job in found]})
        return status_of(failed)
    now = time.time()
    columns = ("job", "state", "target", "try", "exit", "wait", "run", "age", "input")
    rows = [_row(job, now) for job in found]
    console().print(table(columns, rows, folding=("job",), shortened=("input",)))
    return status_of(failed)


def _of_side(
    side: Side, service: str, states: tuple[JobState, ...], limit: int, sides: Sequence[Side]
) -> list[JobRecord]:
    """A side's jobs; of a service that another side has, none."""
    try:
        return side.jobs(service, states, limit)
    except NotFoundError:
        if service and len(sides) > 1:
            return []
        raise


def show_one(sides: Sequence[Side], job: str, *, as_json: bool) -> int:
    """Print one job with its attempts, decision and outputs."""
    from bridge.cli.together import asked, status_of

    answers, failed = asked(sides, lambda side: side.job(job))
    detail = next((one for _, one in answers if one is not None), None)
    if detail is None:
        if failed:
            return status_of(failed)
        raise NotFoundError(f"there is no job {job}", hint="oscar-bridge jobs lists them")
    if as_json:
        print_json(_plain_detail(detail))
    else:
        _print(detail)
    return 0


def plain_job(job: JobRecord) -> dict[str, Any]:
    """The job as JSON values; times in seconds since the epoch."""
    return {
        "id": job.id,
        "service": job.service,
        "state": str(job.state),
        "target": job.target,
        "attempt": job.attempt,
        "handle": job.handle,
        "input": _input(job),
        "accepted": job.accepted,
        "submitted": job.submitted,
        "started": job.started,
        "ended": job.ended,
        "exit_code": job.exit_code,
        "reason": job.reason,
        "log": job.log,
    }


def _plain_detail(detail: JobDetail) -> dict[str, Any]:
    return {
        **plain_job(detail.job),
        "attempts": [_plain_attempt(one) for one in detail.attempts],
        "decision": detail.decisions[-1] if detail.decisions else None,
        "outputs": [
            {"url": f"s3://{o.bucket}/{o.key}", "provider": o.provider, "size": o.size}
            for o in detail.outputs
        ],
    }


def _plain_attempt(one: Attempt) -> dict[str, Any]:
    return {
        "number": one.number,
        "target": one.target,
        "state": str(one.state),
        "handle": one.handle,
        "started": one.started,
        "ended": one.ended,
        "exit_code": one.exit_code,
        "reason": one.reason,
        "log": one.log,
    }


def _input(job: JobRecord) -> str:
    event = job.event
    return f"{event.bucket}/{event.key}" if event.bucket else ""


def _row(job: JobRecord, now: float) -> tuple[str, ...]:
    return (
        job.id,
        str(job.state),
        job.target,
        str(job.attempt),
        "" if job.exit_code is None else str(job.exit_code),
        _between(job.accepted, job.started),
        _between(job.started, job.ended),
        _age(now - job.accepted),
        _input(job),
    )


def _between(begin: float | None, end: float | None) -> str:
    return "" if begin is None or end is None else seconds(max(end - begin, 0.0))


def _age(value: float) -> str:
    hours = value / 3600
    return (
        seconds(max(value, 0.0))
        if hours < 2
        else f"{hours:.0f} h"
        if hours < 48
        else (f"{hours / 24:.0f} d")
    )


def _print(detail: JobDetail) -> None:
    job, out = detail.job, console()
    out.print(f"{job.id}: {job.state}", markup=False, style="bold")
    facts = {
        "service": job.service,
        "input": _input(job),
        "accepted": _moment(job.accepted),
        "reason": job.reason,
    }
    for name, value in facts.items():
        if value:
            out.print(f"  {name:<9} {value}", markup=False)
    columns = ("try", "target", "state", "exit", "started", "run", "handle", "reason")
    rows = [_attempt_row(one) for one in detail.attempts]
    out.print(table(columns, rows, title="attempts", folding=("handle", "reason")))
    for decision in detail.decisions[-1:]:
        _print_decision(decision)
    for output in detail.outputs:
        out.print(f"  s3://{output.bucket}/{output.key} ({size(output.size)})", markup=False)


def _attempt_row(one: Attempt) -> tuple[str, ...]:
    return (
        str(one.number),
        one.target,
        str(one.state),
        "" if one.exit_code is None else str(one.exit_code),
        _moment(one.started),
        _between(one.started, one.ended),
        one.handle,
        one.reason,
    )


def _print_decision(decision: Any) -> None:
    from bridge.cli.placement import print_decisions
    from bridge.scheduler import from_json

    print_decisions([from_json(decision)])


def _moment(at: float | None) -> str:
    if at is None:
        return ""
    return datetime.datetime.fromtimestamp(at, tz=datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
