"""The decision: offers, scores, the pick, and why."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

from bridge.errors import PlacementError
from bridge.events import Event
from bridge.fdl.model import Service
from bridge.scheduler._choose import Choice, Ranked, choose
from bridge.scheduler._data import assumptions
from bridge.scheduler._estimates import Standing
from bridge.scheduler._offers import NOTHING, ask_for, make_offer
from bridge.scheduler._policies import Policy, policy_for, wishes
from bridge.scheduler._prices import Prices
from bridge.scheduler._reasons import Outcome, explain
from bridge.scheduler._terms import WISHES, Scale, Seen
from bridge.scheduler.model import (
    Candidate,
    Cause,
    Decision,
    Hedge,
    Instead,
    Offer,
    Snapshot,
    TargetState,
)


class Asked(NamedTuple):
    """What all targets said to one job, those that can run it and those that cannot."""

    service: Service
    seed: int
    snapshot: Snapshot
    cause: Cause | None
    seen: Sequence[Seen]
    refused: Sequence[Offer]

    def choose(self, policy: Policy) -> Choice:
        """What a policy makes of it."""
        identity = self.cause.identity if self.cause else ""
        turn = self.snapshot.turn
        lot = f"{self.seed}\0{self.service.name}\0{identity}"
        scale = Scale(
            self.service,
            wishes(self.service, policy),
            policy.cost_grain,
            policy.time_grain,
            self.cause.provider if self.cause else "",
            lot,
            zlib.crc32(lot.encode()) if turn is None else turn,
            self.snapshot.spent.get(self.service.name, NOTHING),
        )
        return choose(self.seen, policy, scale)


def decide(
    service: Service,
    event: Event | Cause | None,
    snapshot: Snapshot,
    *,
    policy: str | None = None,
    seed: int = 0,
    prices: Prices | None = None,
) -> Decision:
    """Choose a target for one job of the service; `event` is None when there is none yet.

    A pure function of its arguments. Targets that the file names come before fallbacks, those that
    are expected to meet `placement.deadline` before those that are not; then the score counts.
    Among near ties two are drawn by `seed`, the service and the
    event's identity, and the less loaded one is taken; under a policy that weighs, a candidate that
    is worse than another in every respect never wins. When nothing can run the service the
    decision's target is "" and its reason says why for each. The policy of `placement.shadow` is
    asked too: what it would have done is in `instead`. PlacementError when policy, weights,
    requirements or preferences make no sense, or two targets have one name.
    """
    chosen = policy_for(service, policy)
    asked = ask(service, event, snapshot, seed, prices)
    choice = asked.choose(chosen)
    winner, refused = choice.winner, asked.refused
    hedge = _hedge(choice) if chosen.hedge else None
    target = winner.seen.offer.target if winner else ""
    outcome = Outcome(
        service=service,
        policy=chosen,
        feasible=[r.candidate for r in choice.order],
        refused=refused,
        lots=choice.lots,
        is_fallback=bool(winner and winner.tier[0]),
        late=bool(winner and winner.tier[1]),
        hedge=hedge,
    )
    return Decision(
        service=service.name,
        policy=chosen.name,
        seed=seed,
        target=target,
        reason=explain(outcome),
        candidates=(*outcome.feasible, *(Candidate(made) for made in refused)),
        event=asked.cause.identity if asked.cause else "",
        fallback=_fallback(service, target, choice.order),
        snapshot=snapshot,
        cause=asked.cause,
        instead=_shadow(asked),
        hedge=hedge,
    )


def ask(
    service: Service,
    event: Event | Cause | None,
    snapshot: Snapshot,
    seed: int,
    prices: Prices | None,
) -> Asked:
    """What each target says to a job; PlacementError for preferences that make no sense."""
    check(service, snapshot)
    ask = ask_for(service, prices)
    spent = snapshot.spent.get(service.name, NOTHING)
    cause = _cause(event)
    refused: list[Offer] = []
    seen: list[Seen] = []
    for state in snapshot.targets:
        known = ask.standing(state.spec)
        made = make_offer(service, known, cause, state, spent)
        if made.feasible:
            seen.append(_seen(known, made, state))
        else:
            refused.append(made)
    refused.sort(key=lambda made: made.target)
    return Asked(service, seed, snapshot, cause, seen, refused)


def _cause(event: Event | Cause | None) -> Cause | None:
    if event is None or isinstance(event, Cause):
        return event
    return Cause(event.identity, event.provider, event.size)


def check(service: Service, snapshot: Snapshot) -> None:
    """PlacementError for what cannot be decided on, whatever the targets say."""
    names = [state.spec.name for state in snapshot.targets]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise PlacementError(f"the snapshot has two targets named {twice[0]}")
    unknown = sorted(set(service.placement.prefer) - set(WISHES))
    if unknown:
        raise PlacementError(
            f"placement.prefer.{unknown[0]} of {service.name} is not a known preference",
            hint=f"known are {', '.join(WISHES)}",
        )


def _seen(known: Standing, made: Offer, state: TargetState) -> Seen:
    busy = state.running + state.queued
    load = busy / known.capacity if known.capacity else float(state.queued)
    return Seen(made, state, made.finish, float(made.cost), load, known.first_choice, known)


def _fallback(service: Service, target: str, order: Sequence[Ranked]) -> tuple[str, ...]:
    if not service.placement.fallback:
        return ()
    able = {r.seen.offer.target for r in order} - {target}
    return tuple(dict.fromkeys(name for name in service.placement.fallback if name in able))


def _hedge(choice: Choice) -> Hedge | None:
    """The second best, and when: after a start that is late by far.

    95 of 100 starts take less than the time where that was measured; else it is a multiple of what
    is expected.
    """
    if len(choice.order) < 2:
        return None
    first, second = choice.order[0].seen, choice.order[1].seen
    assume, offer = assumptions(), first.offer
    usual = assume.hedge_factor * offer.start
    start = usual if first.state.start_late is None else first.state.start_late
    after = max(assume.hedge_factor * offer.wait + start, assume.hedge_least)
    return Hedge(second.offer.target, after)


def _shadow(asked: Asked) -> tuple[Instead, ...]:
    """What the policy on trial would have done; nothing where it cannot say: it harms no job."""
    name = asked.service.placement.shadow
    if not name:
        return ()
    try:
        policy = policy_for(asked.service, name)
        winner = asked.choose(policy).winner
    except PlacementError:
        winner = None
    if winner is None:
        return (Instead("shadow", name, ""),)
    offer = winner.seen.offer
    return (Instead("shadow", name, offer.target, offer.wait, offer.finish, offer.cost),)
