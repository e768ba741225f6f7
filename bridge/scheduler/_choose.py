"""The choice of one policy among candidates: terms, scores, and the pick."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple, TypeVar

from bridge.errors import PlacementError
from bridge.fdl.model import Service
from bridge.scheduler._lots import two_of
from bridge.scheduler._policies import POLICIES, Policy
from bridge.scheduler._scores import LATE, Columns
from bridge.scheduler._terms import Scale, Seen, TermKind, term_named
from bridge.scheduler.model import Candidate, Term

Tier = tuple[int, bool, int]
_T = TypeVar("_T", bound=tuple[Any, ...])


class Ranked(NamedTuple):
    """A feasible candidate. The tier comes before the score: who is asked first, who is late, and
    what the policy puts first.

    `values` are its terms, cost and time, all so that more is better.
    """

    candidate: Candidate
    seen: Seen
    tier: Tier
    score: float
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """All candidates, the winner first and then best first; the lot decided among `lots`."""

    order: Sequence[Ranked]
    lots: int

    @property
    def winner(self) -> Ranked | None:
        """The first one, None when there is none."""
        return self.order[0] if self.order else None


def choose(seen: Sequence[Seen], policy: Policy, scale: Scale) -> Choice:
    """What the policy takes; `scale.lot` is what near ties are drawn from.

    PlacementError when an installed term or policy does not answer as it should.
    """
    ranked = sorted(_ranked(seen, policy, scale), key=_key) if seen else []
    winner, lots = _pick(ranked, policy, scale.lot)
    if winner is None:
        return Choice((), 0)
    return Choice((winner, *(r for r in ranked if r is not winner)), lots)


def _key(one: Ranked) -> tuple[Tier, float, Decimal, float, str]:
    seen = one.seen
    return (one.tier, -one.score, seen.offer.cost, seen.finish, seen.offer.target)


def _ranked(seen: Sequence[Seen], policy: Policy, scale: Scale) -> list[Ranked]:
    total = sum(policy.weights.values())
    shares = {name: weight / total for name, weight in policy.weights.items()}
    columns: dict[str, Sequence[float]] = {}
    terms: list[Iterable[Term]] = []
    for name, share in shares.items():
        kind = _term(name, policy)
        values, raws = zip(*kind.points(seen, scale), strict=True)
        columns[name] = values
        terms.append(_each(Term, repeat(name), values, raws, repeat(kind.unit), repeat(share)))
    scores = _scores(columns, shares, policy, seen, scale)
    said = zip(*terms, strict=True) if terms else repeat(())
    candidates = _each(Candidate, [one.offer for one in seen], scores, said)
    worth = zip(
        [-one.cost for one in seen], [-one.finish for one in seen], *columns.values(), strict=True
    )
    return list(_each(Ranked, candidates, seen, _tiers(seen, policy, scale.service), scores, worth))


def _each(kind: type[_T], *columns: Iterable[Any]) -> Iterable[_T]:
    """A named tuple of each row, as long as the shortest column is. By far the quickest way to make
    the many that a decision is made of."""
    return map(partial(tuple.__new__, kind), zip(*columns, strict=False))


def _term(name: str, policy: Policy) -> TermKind:
    kind = term_named(name)
    if kind is None:
        raise PlacementError(f"the policy {policy.name} weighs {name}, and there is no such term")
    return kind


def _scores(
    columns: Columns,
    shares: Mapping[str, float],
    policy: Policy,
    seen: Sequence[Seen],
    scale: Scale,
) -> list[float]:
    if policy.score is None:
        scores = [0.0] * len(seen)
        for name, share in shares.items():
            scores = [s + value * share for s, value in zip(scores, columns[name], strict=True)]
        return scores
    if POLICIES.get(policy.name) is not None:
        return policy.score(columns, shares, seen, scale)
    try:
        found = [float(score) for score in policy.score(columns, shares, seen, scale)]
    except Exception as error:
        raise PlacementError(f"the policy {policy.name} broke: {error!r}") from error
    if len(found) != len(seen) or not all(map(math.isfinite, found)):
        raise PlacementError(
            f"the policy {policy.name} gave the scores {found}; it must give a number for each of "
            f"{len(seen)} candidates"
        )
    return found


def _tiers(seen: Sequence[Seen], policy: Policy, service: Service) -> Iterable[Tier]:
    """Fallbacks come in the file's order, whatever they score."""
    placement = service.placement
    order = {name: 1 + place for place, name in enumerate(placement.fallback)}
    limit = math.inf if placement.deadline is None else placement.deadline
    own = policy.tier(seen, limit) if policy.tier else repeat(0)
    for one, tier in zip(seen, own, strict=False):
        late = tier == LATE if policy.tier else one.finish > limit
        if one.first_choice:
            yield 0, late, 0 if late else tier
        else:
            yield order[one.offer.target], False, 0


def _pick(ranked: Sequence[Ranked], policy: Policy, key: str) -> tuple[Ranked | None, int]:
    """The winner, and among how many the lot decided."""
    if not ranked:
        return None, 0
    top = ranked[0]
    near = [r for r in ranked if r.tier == top.tier and _is_near(r, top, policy.epsilon)]
    best = _undominated(near) if len(near) > 1 else near
    if len(best) == 1:
        return best[0], 1
    i, j = two_of(len(best), key)
    one, other = best[i], best[j]
    return (other if other.seen.load < one.seen.load else one), len(best)


def _is_near(one: Ranked, top: Ranked, epsilon: float) -> bool:
    """Beside what is free all prices are worth nothing, so that a score alone is no tie."""
    if one.score < top.score - epsilon:
        return False
    return epsilon > 0 or one.seen.offer.cost == top.seen.offer.cost


def _undominated(near: Sequence[Ranked]) -> list[Ranked]:
    """Those that no other is at least as good as in every respect and better in one."""
    front: list[tuple[float, ...]] = []
    for values in sorted({r.values for r in near}, reverse=True):
        # Whatever beats these values comes before them in this order.
        if not any(_beats(other, values) for other in front):
            front.append(values)
    return [r for r in near if r.values in front]


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))
