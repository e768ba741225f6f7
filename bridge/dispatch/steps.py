"""The steps of a job's life as changes, and when each is taken. Pure; every dispatcher's rules.

Both dispatchers use them: the one with threads (`Dispatcher`) and the one on AWS, which lives from
message to message. Times are in seconds since the epoch; `now` is the caller's.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal
from typing import Final

from bridge import scheduler
from bridge.dispatch._news import Grounds, Watched, change_of, watched_of
from bridge.dispatch.model import Change, JobDetail, JobRecord
from bridge.dispatch.settings import Settings
from bridge.errors import TemporaryError
from bridge.fdl.model import Service
from bridge.scheduler import Decision, Snapshot, as_json, from_json
from bridge.targets import JobState

__all__ = [
    "Grounds",
    "Watched",
    "can_go_elsewhere",
    "change_of",
    "cost_on",
    "ended",
    "failed",
    "given_up",
    "in_time",
    "left_by",
    "moves",
    "next_fallback",
    "place_later",
    "placed",
    "placed_anew",
    "seed",
    "submit_later",
    "waiting",
    "watched_of",
    "without",
]


# Seconds until a job is looked at again that waits for a breaker or a budget.
_LOOK: Final = 15.0


def seed(job: str) -> int:
    """For the decision about a job: fair and repeatable, from its name."""
    return zlib.crc32(job.encode())


def placed(job: JobRecord, decision: Decision, now: float) -> Change:
    """accepted → placed, on the decision's target."""
    return Change(
        job.id,
        job.attempt,
        JobState.PLACED,
        now,
        target=decision.target,
        tries=0,
        due=now,
        decision=as_json(decision),
        release=True,
        cost=None if decision.chosen is None else decision.chosen.offer.cost,
    )


def failed(job: JobRecord, why: str, now: float, decision: Decision | None = None) -> Change:
    """→ failed: no target can run it, or will."""
    said = None if decision is None else as_json(decision)
    return Change(job.id, job.attempt, JobState.FAILED, now, reason=why, decision=said)


def ended(job: JobRecord, state: JobState, why: str, now: float) -> Change:
    """The end of a job that its target did not take."""
    return Change(job.id, job.attempt, state, now, tries=job.tries, reason=why)


def place_later(
    job: JobRecord,
    why: str,
    now: float,
    settings: Settings,
    least: float = 0.0,
    *,
    counts: bool = True,
) -> Change:
    """Another try to place it after a while, or the end when there were enough.

    `counts` is False for a job that only waits for its turn.
    """
    tries = job.tries + counts
    if tries >= settings.max_submits:
        reason = f"not placed in {tries} tries; the last: {why}"
        return Change(job.id, job.attempt, JobState.DEAD, now, tries=tries, reason=reason)
    due = now + settings.delay(job.id, tries, least)
    return _put_back(job, JobState.ACCEPTED, now, tries=tries, due=due, why=why)


def waiting(job: JobRecord, decision: Decision, now: float, settings: Settings) -> Change:
    """Another look after a while: all that is against some target passes by itself."""
    return place_later(job, decision.reason, now, settings, _LOOK, counts=False)


def submit_later(
    job: JobRecord,
    error: TemporaryError,
    now: float,
    settings: Settings,
    *,
    counts: bool = True,
) -> Change | None:
    """Another try to submit it after a while; None when there were enough.

    `counts` is False for a target that is only full.
    """
    tries = job.tries + counts
    if tries >= settings.max_submits:
        return None
    due = now + settings.delay(job.id, max(1, tries), error.delay)
    return _put_back(job, JobState.PLACED, now, tries=tries, due=due, why=error.message)


def _put_back(
    job: JobRecord, state: JobState, now: float, *, tries: int, due: float, why: str
) -> Change:
    return Change(job.id, job.attempt, state, now, tries=tries, due=due, reason=why, release=True)


def given_up(
    job: JobRecord, why: str, fallback: str, now: float, *, elsewhere: bool = False
) -> Change:
    """The attempt ends: the job goes to its fallback target, or is dead without one.

    With `elsewhere` it is placed anew instead of being dead. `job.tries` are the tries that it had.
    """
    if fallback:
        return replace(placed_anew(job, why, now), state=JobState.PLACED, target=fallback)
    return placed_anew(job, why, now) if elsewhere else ended(job, JobState.DEAD, why, now)


def placed_anew(job: JobRecord, why: str, now: float) -> Change:
    """Another attempt, of which the placer decides; this one has not run."""
    return Change(
        job.id,
        job.attempt,
        JobState.ACCEPTED,
        now,
        again=True,
        unrun=True,
        due=now,
        reason=why,
        release=True,
    )


def next_fallback(detail: JobDetail | None, targets: Collection[str]) -> str:
    """The next of the decision's fallback targets that the job has not been to; "" for none."""
    if detail is None or not detail.decisions:
        return ""
    been = {attempt.target for attempt in detail.attempts}
    options = detail.decisions[-1].get("fallback", ())
    return next((name for name in options if name in targets and name not in been), "")


def cost_on(detail: JobDetail | None, target: str) -> Decimal | None:
    """What the job costs on a target, in USD, as the last decision has it; None when it is not in
    that."""
    if detail is None or not detail.decisions:
        return None
    offers = (one.offer for one in from_json(detail.decisions[-1]).candidates)
    return next((offer.cost for offer in offers if offer.target == target), None)


def can_go_elsewhere(detail: JobDetail | None, targets: Collection[str]) -> bool:
    """Whether the last decision knows a target that can run the job and that it has not been to."""
    if detail is None or not detail.decisions:
        return False
    been = {attempt.target for attempt in detail.attempts}
    offers = (one.offer for one in from_json(detail.decisions[-1]).candidates)
    return any(o.feasible and o.target in targets and o.target not in been for o in offers)


def in_time(service: Service, job: JobRecord, now: float) -> Service:
    """The service with what is left of its deadline for this job."""
    return scheduler.in_time(service, now - job.accepted)


def without(snapshot: Snapshot, left: Collection[str]) -> Snapshot:
    """The snapshot as if these targets were not there."""
    others = tuple(state for state in snapshot.targets if state.spec.name not in left)
    return replace(snapshot, targets=others)


def left_by(detail: JobDetail | None) -> frozenset[str]:
    """Targets that did not take the job, or gave it back: a new decision leaves them out."""
    attempts = () if detail is None else detail.attempts
    return frozenset(a.target for a in attempts if a.state is JobState.CANCELLED)


def moves(detail: JobDetail | None) -> int:
    """How many attempts of the job have not run: their targets did not take it, or gave it back."""
    attempts = () if detail is None else detail.attempts
    return sum(one.state is JobState.CANCELLED for one in attempts)
