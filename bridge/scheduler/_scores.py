"""Scores that are no weighted sum: of each candidate one number, more is better.

Each takes the terms' values by name (a column has one for each candidate), the terms' shares of the
weight, the candidates, and the scale.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bridge.scheduler._data import assumptions
from bridge.scheduler._kinds import AWS
from bridge.scheduler._terms import Scale, Seen
from bridge.scheduler.model import Offer

Columns = Mapping[str, Sequence[float]]
Score = Callable[[Columns, Mapping[str, float], Sequence[Seen], Scale], list[float]]
Tier = Callable[[Sequence[Seen], float], list[int]]
LATE: Final = 2


def product(
    columns: Columns, shares: Mapping[str, float], seen: Sequence[Seen], _: Scale
) -> list[float]:
    """The values' geometric mean: what lacks one thing is not saved by another.

    With free CPU and free memory it is OSCAR's load-based rank, 100·√(cpu·memory), of 1.
    """
    parts = [[value**share for value in columns[name]] for name, share in shares.items()]
    return [math.prod(values) for values in zip(*parts, strict=True)]


def topsis(
    columns: Columns, shares: Mapping[str, float], seen: Sequence[Seen], _: Scale
) -> list[float]:
    """How much nearer to the best of all criteria than to the worst (Hwang and Yoon, 1981).

    The terms' values are the criteria, so all are better when more, and each is normalised by its
    length. Where all candidates are alike there is no worst, and each has 1.
    """
    best, worst = [0.0] * len(seen), [0.0] * len(seen)
    for name, share in shares.items():
        column = columns[name]
        length = math.hypot(*column)
        if not length:
            continue
        top, low = max(column), min(column)
        scale = share / length
        best = [d + ((top - value) * scale) ** 2 for d, value in zip(best, column, strict=True)]
        worst = [d + ((value - low) * scale) ** 2 for d, value in zip(worst, column, strict=True)]
    pairs = [(math.sqrt(far), math.sqrt(near)) for far, near in zip(best, worst, strict=True)]
    return [near / (far + near) if far + near else 1.0 for far, near in pairs]


def lots(_: Columns, __: Mapping[str, float], seen: Sequence[Seen], scale: Scale) -> list[float]:
    """Drawn for each target by its name, so that who else is there changes no lot."""
    return [_lot(f"{scale.lot}\0{one.offer.target}") for one in seen]


def _lot(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / 2**56


def turns(_: Columns, __: Mapping[str, float], seen: Sequence[Seen], scale: Scale) -> list[float]:
    """One after the other by name, among those that come first into question."""
    names = sorted((not one.first_choice, one.offer.target) for one in seen)
    first = sum(one.first_choice for one in seen) or len(seen)
    ahead = {name: (place - scale.turn) % first for place, (_, name) in enumerate(names)}
    return [1.0 / (1 + ahead[one.offer.target]) for one in seen]


def in_time(_: Columns, __: Mapping[str, float], seen: Sequence[Seen], scale: Scale) -> list[float]:
    """The price among those that are surely in time and among those that are just so; the finish
    among those that are late anyhow. Each is measured against the best of its own."""
    found = _prospects(seen, scale.service.placement.deadline or math.inf)
    best = {tier: min(raw for other, raw in found if other == tier) for tier, _ in found}
    return [best[tier] / raw if raw else 1.0 for tier, raw in found]


def promptness(seen: Sequence[Seen], limit: float) -> list[int]:
    """0 for what is in time also when it takes somewhat longer than expected, 1 for what is just in
    time, LATE for the rest.

    A job that waits on a cluster can still go where it is surely in time, as long as it leaves soon
    enough: while there is such a target, waiting there is no risk.
    """
    return [tier for tier, _ in _prospects(seen, limit)]


def is_sure(offer: Offer, limit: float) -> bool:
    """Whether a job is over after `limit` seconds even when it takes somewhat longer: by a margin,
    for the run by as much as 1 in 20 takes where that was measured."""
    return _slowly(offer) <= limit


def _slowly(offer: Offer) -> float:
    assume = assumptions()
    around = (offer.wait + offer.start + offer.transfer) * assume.deadline_margin
    usual = offer.run * assume.deadline_run_margin
    return around + (usual if offer.late is None else max(offer.late, offer.run))


def _prospects(seen: Sequence[Seen], limit: float) -> list[tuple[int, float]]:
    """Of each its tier, and what counts there: the price, for those that are late the finish.

    The price of waiting is that of the target where the job waits, or of the one where it goes if
    its turn does not come: the sooner it would have to come, the more of the second.
    """
    assume = assumptions()
    slow = [_slowly(one.offer) for one in seen]
    ways = [place for place, each in enumerate(slow) if each + assume.deadline_look <= limit]
    found = []
    for place, one in enumerate(seen):
        wait = one.offer.wait * assume.deadline_margin
        left = limit - (slow[place] - wait)
        others = [seen[way].cost for way in ways if way != place]
        if slow[place] <= limit:
            found.append((0, one.cost))
        elif others and left >= 0 and one.state.spec.kind not in AWS:
            chance = left / wait
            found.append((0, chance * one.cost + (1 - chance) * max(min(others), one.cost)))
        elif one.finish <= limit:
            found.append((1, one.cost))
        else:
            found.append((LATE, one.finish))
    return found


def within_budget(
    columns: Columns, _: Mapping[str, float], seen: Sequence[Seen], scale: Scale
) -> list[float]:
    """Time while there is money; the more of the budget is spent, the more the price counts."""
    spent, limits = scale.spent, scale.service.placement.budget
    gone = {"day": spent.day, "month": spent.month}
    shares = [float(gone[period] / limit) for period, limit in limits.items() if limit]
    share = min(max(shares, default=0.0), 1.0)
    rows = zip(columns["cost"], columns["finish"], strict=True)
    return [cost * share + finish * (1 - share) for cost, finish in rows]
