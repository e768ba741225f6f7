"""How an invocation's time is divided. No clock is waited for."""

from __future__ import annotations

import time

import pytest

from lambda_runtime._clock import Clock


def kept(clock: Clock, left: float) -> float:
    given = clock.time_for(time.time() + left).script
    assert given is not None
    return left - given


@pytest.mark.parametrize(
    ("clock", "left", "expected"),
    [
        (Clock(), 900.0, 6.0),
        (Clock(), 30.0, 3.0),
        (Clock(), 5.0, 1.0),
        (Clock(), 2.0, 0.6),
        (Clock(exact=0.0), 100.0, 0.0),
        (Clock(exact=7.0), 5.0, 7.0),
        (Clock(exact=7.0, wanted=10.0), 100.0, 7.0),
        (Clock(wanted=10.0), 300.0, 10.0),
        (Clock(wanted=10.0), 3.0, 1.5),
        (Clock(hands_over=True), 300.0, 10.0),
        (Clock(hands_over=True), 10.0, 3.0),
        (Clock(wanted=4.0, hands_over=True), 300.0, 4.0),
    ],
)
def test_what_is_kept_back(clock: Clock, left: float, expected: float) -> None:
    assert kept(clock, left) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("clock", [Clock(), Clock(wanted=10.0), Clock(hands_over=True)])
@pytest.mark.parametrize("left", [1.0, 3.0, 20.0, 900.0])
def test_the_grace_leaves_time_for_what_comes_after(clock: Clock, left: float) -> None:
    grace = clock.time_for(time.time() + left).grace
    assert 0 < grace <= 5.0
    assert kept(clock, left) - grace >= min(1.0, kept(clock, left) / 2) - 0.05


def test_without_a_deadline_there_is_none() -> None:
    assert Clock().time_for(0.0).script is None
