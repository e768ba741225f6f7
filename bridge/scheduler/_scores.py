"""Scores that are no weighted sum: of each candidate one number, more is better.

Each takes the terms' values by name (a column has one for each candidate), the terms' shares of the
weight, the candidates, and the scale.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence

from bridge.scheduler._data import assumptions
from bridge.scheduler._terms import Scale, Seen

Columns = Mapping[str, Sequence[float]]
Score = Callable[[Columns, Mapping[str, float], Sequence[Seen], Scale], list[float]]
Tier = Callable[[Seen, float], int]


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
    limit = scale.service.placement.deadline or math.inf
    groups = [2 if one.finish > limit else just_in_time(one, limit) for one in seen]
    raws = [one.finish if group == 2 else one.cost for one, group in zip(seen, groups, strict=True)]
    best = {
        group: min(r for r, g in zip(raws, groups, strict=True) if g == group) for group in groups
    }
    return [best[group] / raw if raw else 1.0 for raw, group in zip(raws, groups, strict=True)]


def just_in_time(one: Seen, limit: float) -> int:
    """1 for what is late when it takes somewhat longer than expected, 0 for what is not.

    Longer is by a margin, for the run by as much as 1 in 20 takes where that was measured.
    """
    offer, assume = one.offer, assumptions()
    around = (offer.wait + offer.start + offer.transfer) * assume.deadline_margin
    usual = offer.run * assume.deadline_run_margin
    return int(around + (usual if offer.late is None else max(offer.late, offer.run)) > limit)


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
