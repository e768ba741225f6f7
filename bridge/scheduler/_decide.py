"""The decision: offers, scores, the pick, and why."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from bridge.errors import PlacementError
from bridge.events import Event
from bridge.fdl.model import Service
from bridge.scheduler._estimates import Standing
from bridge.scheduler._offers import ask_for, make_offer
from bridge.scheduler._policies import Policy, policy_for, wishes
from bridge.scheduler._prices import Prices
from bridge.scheduler._reasons import Outcome, explain
from bridge.scheduler._terms import TERMS, WISHES, Scale, Seen
from bridge.scheduler.model import Candidate, Cause, Decision, Offer, Snapshot, TargetState, Term


class _Ranked(NamedTuple):
    """A feasible candidate. The tier comes before the score: who is asked first, who is late.

    `values` are its terms, cost and time, all so that more is better.
    """

    candidate: Candidate
    seen: Seen
    tier: tuple[int, bool]
    score: float
    values: tuple[float, ...]


def _key(one: _Ranked) -> tuple[tuple[int, bool], float, Decimal, float, str]:
    seen = one.seen
    return (one.tier, -one.score, seen.offer.cost, seen.finish, seen.offer.target)


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
    Among near ties two are drawn with a generator that is seeded from `seed`, the service and the
    event's identity, and the less loaded one is taken; a candidate that is worse than another in
    every respect never wins. When nothing can run the service the decision's target is "" and its
    reason says why for each. PlacementError when policy, weights, requirements or preferences make
    no sense, or two targets have one name.
    """
    chosen_policy = policy_for(service, policy)
    _check(service, snapshot)
    ask = ask_for(service, prices)
    offers: list[Offer] = []
    seen: list[Seen] = []
    for state in snapshot.targets:
        known = ask.standing(state.spec)
        made = make_offer(service, known, event, state)
        offers.append(made)
        if made.feasible:
            seen.append(_seen(known, made, state))
    cause = _cause(event)
    identity = cause.identity if cause is not None else ""
    ranked = sorted(_ranked(service, seen, chosen_policy), key=_key)
    winner, lots = _pick(ranked, chosen_policy, f"{seed}\0{service.name}\0{identity}")
    order = [winner, *(r for r in ranked if r is not winner)] if winner else []
    refused = sorted((o for o in offers if not o.feasible), key=lambda o: o.target)
    target = winner.seen.offer.target if winner else ""
    return Decision(
        service=service.name,
        policy=chosen_policy.name,
        seed=seed,
        target=target,
        reason=explain(_outcome(service, chosen_policy, order, refused, lots)),
        candidates=(*(r.candidate for r in order), *(Candidate(made) for made in refused)),
        event=identity,
        fallback=_fallback(service, target, ranked),
        snapshot=snapshot,
        cause=cause,
    )


def _cause(event: Event | Cause | None) -> Cause | None:
    if event is None or isinstance(event, Cause):
        return event
    return Cause(event.identity, event.provider, event.size)


def _check(service: Service, snapshot: Snapshot) -> None:
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
    return Seen(made, state, made.finish, float(made.cost), load, known.first_choice)


# Most targets say today what they said a moment ago: to look a term up is faster than to make it.
_known_term = lru_cache(maxsize=8192, typed=True)(Term)


def _ranked(service: Service, seen: Sequence[Seen], policy: Policy) -> list[_Ranked]:
    if not seen:
        return []
    placement = service.placement
    scale = Scale(service, wishes(service, policy), policy.cost_grain, policy.time_grain)
    total = sum(policy.weights.values())
    columns: list[list[Term]] = []
    worths: list[list[float]] = [[-one.cost for one in seen], [-one.finish for one in seen]]
    scores = [0.0] * len(seen)
    for name, weight in policy.weights.items():
        kind, share = TERMS[name], weight / total
        points = kind.judge(seen, scale)
        make = Term if kind.by_event else _known_term
        columns.append([make(name, value, raw, kind.unit, share) for value, raw in points])
        worths.append([value for value, _ in points])
        scores = [score + value * share for score, (value, _) in zip(scores, points, strict=True)]
    order = {name: 1 + place for place, name in enumerate(placement.fallback)}
    rows = zip(seen, scores, zip(*columns, strict=True), zip(*worths, strict=True), strict=True)
    return [
        _Ranked(
            Candidate(one.offer, score, terms),
            one,
            _tier(one, order, placement.deadline),
            score,
            values,
        )
        for one, score, terms, values in rows
    ]


def _tier(one: Seen, order: Mapping[str, int], deadline: float | None) -> tuple[int, bool]:
    """Fallbacks come in the file's order, whatever they score."""
    if not one.first_choice:
        return order[one.offer.target], False
    return 0, deadline is not None and one.finish > deadline


def _pick(ranked: Sequence[_Ranked], policy: Policy, key: str) -> tuple[_Ranked | None, int]:
    """The winner, and among how many the lot decided."""
    if not ranked:
        return None, 0
    top = ranked[0]
    near = [r for r in ranked if r.tier == top.tier and r.score >= top.score - policy.epsilon]
    best = _undominated(near) if len(near) > 1 else near
    if len(best) == 1:
        return best[0], 1
    digest = hashlib.sha256(key.encode()).digest()
    one, other = random.Random(digest).sample(best, 2)  # noqa: S311 - no secret depends on it
    return (other if other.seen.load < one.seen.load else one), len(best)


def _undominated(near: Sequence[_Ranked]) -> list[_Ranked]:
    """Those that no other is at least as good as in every respect and better in one."""
    front: list[tuple[float, ...]] = []
    for values in sorted({r.values for r in near}, reverse=True):
        # Whatever beats these values comes before them in this order.
        if not any(_beats(other, values) for other in front):
            front.append(values)
    return [r for r in near if r.values in front]


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def _fallback(service: Service, target: str, ranked: Sequence[_Ranked]) -> tuple[str, ...]:
    able = {r.seen.offer.target for r in ranked} - {target}
    return tuple(dict.fromkeys(name for name in service.placement.fallback if name in able))


def _outcome(
    service: Service, policy: Policy, order: Sequence[_Ranked], refused: Sequence[Offer], lots: int
) -> Outcome:
    winner = order[0] if order else None
    return Outcome(
        service=service,
        policy=policy,
        feasible=[r.seen.offer for r in order],
        refused=refused,
        lots=lots,
        is_fallback=bool(winner and winner.tier[0]),
        late=bool(winner and winner.tier[1]),
    )
