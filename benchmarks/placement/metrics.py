"""What is said of a run in numbers. Seconds and USD; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, prod


def percentile(values: Sequence[float], share: float) -> float:
    """By nearest rank: the least of the values that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(ceil(round(share * len(ordered), 9)), 1) - 1]


def jain(values: Sequence[float]) -> float:
    """Jain's index of fairness: 1 when all get the same, 1/n when one gets all."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def ratio(found: float, best: float) -> float:
    """How many times the best; 1 when both are 0."""
    if best:
        return found / best
    return 1.0 if not found else float("inf")


def together(ratios: Iterable[float]) -> float:
    """The geometric mean: half as dear and twice as slow is neither better nor worse."""
    found = list(ratios)
    return prod(found) ** (1 / len(found))
