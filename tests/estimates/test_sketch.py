"""Quantiles of what comes in: against the exact ones, with age, and through JSON."""

from __future__ import annotations

import json
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.estimates import Sketch
from bridge.estimates._sketch import ACCURACY

DAY = 86_400.0
SECONDS = st.floats(1e-5, 1e8)
SHARES = st.sampled_from([0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0])


def made(values: list[float], at: float = 0.0) -> Sketch:
    sketch = Sketch(DAY)
    for value in values:
        sketch.add(value, at)
    return sketch


def exact(values: list[float], share: float) -> float:
    return sorted(values)[max(0, ceil(share * len(values) * (1 - 1e-12)) - 1)]


@settings(max_examples=50)
@given(st.lists(SECONDS, min_size=1, max_size=200), SHARES)
def test_a_quantile_is_the_exact_one_within_its_accuracy(values: list[float], share: float) -> None:
    assert made(values).quantile(share) == pytest.approx(
        exact(values, share), rel=ACCURACY * 1.0001
    )


@settings(max_examples=50)
@given(st.lists(SECONDS, min_size=1, max_size=50), st.lists(SECONDS, max_size=50), SHARES)
def test_two_joined_are_as_one_that_saw_all(
    one: list[float], other: list[float], share: float
) -> None:
    both = made(one)
    both.join(made(other))
    assert both.count == len(one) + len(other)
    assert both.quantile(share) == pytest.approx(exact(one + other, share), rel=ACCURACY * 1.0001)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(SECONDS, st.floats(-1e4 * DAY, 1e4 * DAY)), min_size=1, max_size=60), SHARES
)
def test_it_survives_json_whatever_times_and_values_came(
    seen: list[tuple[float, float]], share: float
) -> None:
    sketch = Sketch(DAY)
    for value, at in seen:
        sketch.add(value, at)
    again = Sketch.from_json(json.loads(json.dumps(sketch.as_json())), DAY)
    assert again.as_json() == sketch.as_json()
    assert min(v for v, _ in seen) * 0.9 <= again.quantile(share) <= max(v for v, _ in seen) * 1.1


def test_what_is_old_counts_less_and_the_order_of_arrival_does_not_matter() -> None:
    seen = [(100.0, 0.0)] * 10 + [(1.0, 5 * DAY)] * 3
    forth, back = Sketch(DAY), Sketch(DAY)
    for value, at in seen:
        forth.add(value, at)
    for value, at in reversed(seen):
        back.add(value, at)
    assert forth.quantile(0.5) == pytest.approx(1.0, rel=ACCURACY * 1.0001)
    assert back.quantile(0.5) == forth.quantile(0.5)
    assert forth.weight(5 * DAY) == pytest.approx(back.weight(5 * DAY)) == 3 + 10 / 32
    assert forth.weight(6 * DAY) == pytest.approx(forth.weight(5 * DAY) / 2)
