"""What a new decision sees of a job that waits, and when it is worth to move it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from bridge.dispatch import steps
from bridge.dispatch.model import Waiting
from bridge.dispatch.protocol import Decide
from bridge.dispatch.settings import Settings
from bridge.fdl.model import Service
from bridge.scheduler import Decision, Room, Snapshot, TargetState

__all__ = ["better", "hedged", "is_worth", "patience", "seen_by", "unexplained", "unpaid"]

# Of a deadline, before a job that waits is decided about anew.
_SHARE: Final = 0.25
# A hedged job has a time of its own: how often it is compared with the clock.
_LOOK: Final = 1.0


def patience(service: Service, settings: Settings) -> float:
    """Seconds that a job of the service may wait where it is, before anything is decided."""
    if service.placement.policy == "hedge":
        return min(settings.patience, _LOOK)
    deadline = service.placement.deadline
    return settings.patience if deadline is None else min(settings.patience, deadline * _SHARE)


def seen_by(one: Waiting, snapshot: Snapshot, going: Mapping[str, int]) -> Snapshot:
    """The targets as the job sees them: on its own only those before it count, on the others also
    those that are `going` there now."""
    return replace(
        snapshot,
        targets=tuple(
            _ahead_of(one, state)
            if state.spec.name == one.job.target
            else replace(state, queued=state.queued + going.get(state.spec.name, 0))
            for state in snapshot.targets
        ),
    )


def _ahead_of(one: Waiting, state: TargetState) -> TargetState:
    behind = max(1, state.queued - one.ahead)
    room = state.room.get(one.job.service)
    if room is None:
        return replace(state, queued=one.ahead)
    ahead: Room = replace(room, ahead=max(0, room.ahead - behind))
    return replace(state, queued=one.ahead, room={**state.room, one.job.service: ahead})


def unpaid(snapshot: Snapshot, service: str, cost: Decimal | None) -> Snapshot:
    """The snapshot as if the job itself were not promised the money for where it is."""
    spent = snapshot.spent[service]
    less = replace(spent, day=spent.day - (cost or 0), month=spent.month - (cost or 0))
    return replace(snapshot, spent={**snapshot.spent, service: less})


def unexplained(
    one: Waiting, decision: Decision, snapshot: Snapshot, now: float
) -> Snapshot | None:
    """What to decide on where the job should have begun by all that is known, and has not.

    Its target then takes as long again to start it as it has kept it. None when the decision moves
    the job already, or knows why it waits.
    """
    stays = decision.chosen
    if stays is None or decision.target != one.job.target or stays.offer.wait > 0:
        return None
    since = one.job.accepted if one.job.placed is None else one.job.placed
    return replace(
        snapshot,
        targets=tuple(
            replace(state, start=max(stays.offer.start, now - since))
            if state.spec.name == one.job.target
            else state
            for state in snapshot.targets
        ),
    )


def better(
    one: Waiting,
    service: Service,
    snapshot: Snapshot,
    decide: Decide,
    *,
    settings: Settings,
    now: float,
) -> str:
    """Where the job would be better off than where it waits; "" when it stays.

    `snapshot` is what it sees (`seen_by`). Raises what `decide` does.
    """
    pressed, seed = steps.in_time(service, one.job, now), steps.seed(one.job.id)
    decision = decide(pressed, one.job.event, snapshot, seed=seed)
    late = unexplained(one, decision, snapshot, now)
    if late is not None:
        decision = decide(pressed, one.job.event, late, seed=seed)
    left = pressed.placement.deadline
    return decision.target if is_worth(decision, one.job.target, left, settings) else ""


def hedged(taken: Decision, since: float, now: float) -> str:
    """The target that a hedged job is to try next, as it has not begun where it is; "" for none."""
    hedge = taken.hedge
    return hedge.target if hedge is not None and now - since >= hedge.after else ""


def is_worth(decision: Decision, target: str, left: float | None, settings: Settings) -> bool:
    """Whether the decision is for another target, and enough better than the present one.

    `left` are the seconds to the job's deadline, None without one.
    """
    there = decision.chosen
    if there is None or decision.target == target:
        return False
    here = next((c for c in decision.candidates if c.offer.target == target), None)
    if here is None or not here.offer.feasible:
        return True
    stay, go = here.offer.finish, there.offer.finish
    saves = left is not None and go <= left < stay
    return saves or go < stay * (1.0 - settings.gain)
