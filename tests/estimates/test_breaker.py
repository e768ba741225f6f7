"""The circuit breaker: a value that goes from state to state."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.estimates import Breaker


def refused(times: int, breaker: Breaker | None = None, at: float = 0.0) -> Breaker:
    found = breaker or Breaker()
    for _ in range(times):
        found = found.after(ok=False, at=at)
    return found


def test_it_opens_with_the_fifth_refusal_in_a_row_and_not_before() -> None:
    assert refused(4).state(0.0) == "closed"
    assert refused(5).state(0.0) == "open"
    assert refused(4, refused(4).after(ok=True, at=0.0)).state(0.0) == "closed"


def test_after_a_while_one_try_decides_and_a_refused_one_doubles_the_pause() -> None:
    opened = refused(5)
    assert [opened.state(t) for t in (29.9, 30.0)] == ["open", "half-open"]
    assert opened.after(ok=True, at=31.0) == Breaker()
    again = opened.after(ok=False, at=30.0)
    assert [again.state(t) for t in (30.0, 89.9, 90.0)] == ["open", "open", "half-open"]


def test_refusals_of_what_was_on_its_way_do_not_keep_it_open() -> None:
    opened = refused(5)
    assert refused(50, opened, at=20.0) == opened


def test_a_clock_that_was_set_back_does_not_keep_it_open() -> None:
    assert refused(5, at=1e9).state(1e9 - 3600) == "half-open"


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1e4)), max_size=60), st.floats(0, 1e5))
def test_whatever_comes_it_closes_with_a_success_and_is_never_open_for_long(
    seen: list[tuple[bool, float]], later: float
) -> None:
    breaker = Breaker()
    for ok, at in seen:
        breaker = breaker.after(ok=ok, at=at)
        assert breaker.pause <= 600
    assert breaker.after(ok=True, at=later) == Breaker()
    if breaker.opened is not None:
        assert breaker.state(breaker.opened + 600) == "half-open"
