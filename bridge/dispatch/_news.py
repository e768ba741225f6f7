"""What a target says about a job → the change that it means. No threads, no store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from bridge.dispatch._codec import outputs_of, tag
from bridge.dispatch.model import Change, Expected, JobDetail, JobRecord, Output
from bridge.dispatch.protocol import Routes
from bridge.dispatch.settings import Settings
from bridge.targets import JobState, JobUpdate

if TYPE_CHECKING:
    from bridge.dispatch._core import Core

__all__ = ["Grounds", "Watched", "change_of", "follow_ups", "understood", "watched", "watched_of"]

_LOG: Final = logging.getLogger("bridge.dispatch")


class Grounds(Protocol):
    """What news is judged on."""

    @property
    def settings(self) -> Settings:
        """How patient to be."""
        ...

    @property
    def routes(self) -> Routes:
        """Which outputs start other jobs."""
        ...

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since the epoch."""
        ...


@dataclass(slots=True)
class Watched:
    """A job that is with a target. `old` are the handles of its earlier attempts.

    `runs` counts its attempts, without those that have not run; `moving` says that its target is
    asked to give it back.
    """

    job: str
    service: str
    attempt: int
    state: JobState
    handle: str = ""
    old: frozenset[str] = frozenset()
    runs: int = 1
    moving: bool = False


def watched(record: JobRecord, core: Core) -> Watched:
    """What is to be remembered of a job while it is with a target."""
    detail = core.ask(lambda: core.store.detail(record.id)) if record.attempt > 1 else None
    return watched_of(JobDetail(record, () if detail is None else detail.attempts))


def watched_of(detail: JobDetail) -> Watched:
    """The same, from all that is known of the job."""
    job, before = detail.job, detail.attempts[:-1]
    old = frozenset(a.handle for a in before if a.handle)
    runs = job.attempt - sum(a.state is JobState.CANCELLED for a in before)
    return Watched(
        job.id, job.service, job.attempt, job.state, job.handle, old, runs, moving=job.moving
    )


def change_of(update: JobUpdate, job: Watched, grounds: Grounds) -> Change | None:
    """None for what is old, repeated or says nothing."""
    if _is_stale(update, job):
        return None
    if update.state is JobState.RUNNING:
        return None if job.state is JobState.RUNNING else _plain_change(update, job, grounds)
    if not update.state.final or (update.state is JobState.CANCELLED and job.moving):
        # We have asked for it back: what comes of that is not the job's end.
        return None
    if update.state is JobState.FAILED and update.temporary:
        return _again(update, job, grounds)
    if update.state is JobState.DEAD:
        update = replace(update, state=JobState.FAILED)
    return _final(update, job, grounds)


def understood(update: JobUpdate, job: Watched, grounds: Grounds) -> Change | None:
    """As `change_of`; a job of which its target says what makes no sense is dead, as the news of
    all others must not wait behind it."""
    try:
        return change_of(update, job, grounds)
    except Exception as error:
        _LOG.exception("the news of job %s make no sense", update.job)
        why = f"its target says of it what makes no sense: {error!r}"
        return Change(job.job, job.attempt, JobState.DEAD, grounds.clock(), reason=why)


def _is_stale(update: JobUpdate, job: Watched) -> bool:
    """News of an earlier attempt of the same job."""
    if update.handle and update.handle == job.handle:
        return False
    attempt = update.attempt or update.report.get("attempt")
    older = isinstance(attempt, int) and attempt < job.attempt
    return older or update.handle in job.old


def _plain_change(update: JobUpdate, job: Watched, grounds: Grounds) -> Change:
    return Change(
        job.job,
        job.attempt,
        update.state,
        grounds.clock(),
        handle=update.handle or None,
        started=update.started,
        ended=update.ended,
        exit_code=update.exit_code,
        log=update.log or None,
    )


def _final(update: JobUpdate, job: Watched, grounds: Grounds) -> Change:
    outputs = outputs_of(update.report)
    change = replace(
        _plain_change(update, job, grounds),
        reason=update.reason or str(update.report.get("reason") or ""),
        report=update.report,
        outputs=outputs,
    )
    if change.exit_code is None and isinstance(code := update.report.get("exit_code"), int):
        change = replace(change, exit_code=code)
    if update.state is JobState.SUCCEEDED:
        return replace(change, expected=follow_ups(job.job, outputs, grounds))
    return change


def follow_ups(job: str, outputs: tuple[Output, ...], grounds: Grounds) -> tuple[Expected, ...]:
    """The jobs that these outputs must start."""
    now = grounds.clock()
    return tuple(
        Expected(service, job, replace(output, etag=tag(output.etag)), now)
        for output in outputs
        for service in grounds.routes.match(output.provider, output.bucket, output.key)
    )


def _again(update: JobUpdate, job: Watched, grounds: Grounds) -> Change:
    """A run that failed for a reason that is not its own: another attempt, or the end."""
    settings, change = grounds.settings, _plain_change(update, job, grounds)
    why = update.reason or "the run was lost"
    if job.runs >= settings.max_attempts:
        reason = f"{job.runs} runs failed for reasons that may pass; the last: {why}"
        return replace(change, state=JobState.DEAD, reason=reason, report=update.report)
    return replace(
        change,
        state=JobState.ACCEPTED,
        again=True,
        reason=why,
        due=change.at + settings.delay(job.job, job.runs),
        release=True,
        handle=None,
    )
