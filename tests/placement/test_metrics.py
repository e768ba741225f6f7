"""The metrics against cases that were worked out by hand."""

from __future__ import annotations

import math

import pytest

from benchmarks.placement.metrics import jain, percentile, ratio, together


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(1, 0.5, 1), (2, 0.5, 1), (3, 0.5, 2), (20, 0.95, 19), (21, 0.95, 20), (100, 0.99, 99)],
)
def test_a_percentile_is_one_of_the_values(count: int, share: float, expected: int) -> None:
    backwards = [float(n) for n in range(count, 0, -1)]
    assert percentile(backwards, share) == expected


def test_fairness_is_one_for_equals_and_a_share_where_one_has_all() -> None:
    assert jain([3.0, 3.0, 3.0]) == pytest.approx(1.0)
    assert jain([5.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert jain([1.0, 3.0]) == pytest.approx(16 / 20)
    assert jain([0.0, 0.0]) == 1.0


def test_ratios_to_nothing_are_endless_unless_both_are_nothing() -> None:
    assert (ratio(3.0, 2.0), ratio(0.0, 0.0), ratio(1.0, 0.0)) == (1.5, 1.0, math.inf)


def test_half_the_cost_and_twice_the_time_is_even() -> None:
    assert together([0.5, 2.0]) == pytest.approx(1.0)
    assert together([4.0, 9.0]) == pytest.approx(6.0)
