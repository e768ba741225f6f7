"""What a target says about a job → the change that it means. No threads, no store."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bridge.dispatch._codec import outputs_of, tag
from bridge.dispatch._core import Core
from bridge.dispatch.model import Change, Expected, JobRecord, Output
from bridge.targets import JobState, JobUpdate

__all__ = ["Watched", "change_of", "watched"]


@dataclass(slots=True)
class Watched:
    """A job that is with a target. `old` are the handles of its earlier attempts."""

    job: str
    service: str
    attempt: int
    state: JobState
    handle: str = ""
    old: frozenset[str] = frozenset()


def watched(record: JobRecord, core: Core) -> Watched:
    """What is to be remembered of a job while it is with a target."""
    old: frozenset[str] = frozenset()
    if record.attempt > 1 and (detail := core.store.detail(record.id)) is not None:
        old = frozenset(a.handle for a in detail.attempts[:-1] if a.handle)
    return Watched(record.id, record.service, record.attempt, record.state, record.handle, old)


def change_of(update: JobUpdate, job: Watched, core: Core) -> Change | None:
    """None for what is old, repeated or says nothing."""
    if _is_stale(update, job):
        return None
    if update.state is JobState.RUNNING:
        return None if job.state is JobState.RUNNING else _plain_change(update, job, core)
    if not update.state.final:
        return None
    if update.state is JobState.FAILED and update.temporary:
        return _again(update, job, core)
    if update.state is JobState.DEAD:
        update = replace(update, state=JobState.FAILED)
    return _final(update, job, core)


def _is_stale(update: JobUpdate, job: Watched) -> bool:
    """News of an earlier attempt of the same job."""
    if update.handle and update.handle == job.handle:
        return False
    attempt = update.report.get("attempt")
    older = isinstance(attempt, int) and attempt < job.attempt
    return older or update.handle in job.old


def _plain_change(update: JobUpdate, job: Watched, core: Core) -> Change:
    return Change(
        job.job,
        job.attempt,
        update.state,
        core.clock(),
        handle=update.handle or None,
        started=update.started,
        ended=update.ended,
        exit_code=update.exit_code,
        log=update.log or None,
    )


def _final(update: JobUpdate, job: Watched, core: Core) -> Change:
    outputs = outputs_of(update.report)
    change = replace(
        _plain_change(update, job, core),
        reason=update.reason or str(update.report.get("reason") or ""),
        report=update.report,
        outputs=outputs,
    )
    if change.exit_code is None and isinstance(code := update.report.get("exit_code"), int):
        change = replace(change, exit_code=code)
    if update.state is JobState.SUCCEEDED:
        return replace(change, expected=follow_ups(job.job, outputs, core))
    return change


def follow_ups(job: str, outputs: tuple[Output, ...], core: Core) -> tuple[Expected, ...]:
    """The jobs that these outputs must start."""
    now = core.clock()
    return tuple(
        Expected(service, job, replace(output, etag=tag(output.etag)), now)
        for output in outputs
        for service in core.routes.match(output.provider, output.bucket, output.key)
    )


def _again(update: JobUpdate, job: Watched, core: Core) -> Change:
    """A run that failed for a reason that is not its own: another attempt, or the end."""
    settings, change = core.settings, _plain_change(update, job, core)
    why = update.reason or "the run was lost"
    if job.attempt >= settings.max_attempts:
        reason = f"{job.attempt} runs failed for reasons that may pass; the last: {why}"
        return replace(change, state=JobState.DEAD, reason=reason, report=update.report)
    return replace(
        change,
        state=JobState.ACCEPTED,
        again=True,
        reason=why,
        due=change.at + settings.delay(job.job, job.attempt),
        release=True,
        handle=None,
    )
