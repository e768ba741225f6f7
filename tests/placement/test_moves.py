"""Jobs that wait in vain are moved, as the dispatcher moves them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.placement.baselines import only
from benchmarks.placement.robust import dead
from benchmarks.placement.scenarios import FUNCTIONS, HOME, Kind, bursting, hybrid, trace_of
from benchmarks.placement.small import still_world
from bridge.simulate import Setting, Trace, policy_maker, simulate


def two_jobs(deadline: float, runs: tuple[float, float]) -> Trace:
    """Two jobs at once that are said to take 10 seconds each."""
    kind = Kind("job", 1.0, 10.0, 1, deadline, "", spread=0.0, size=0.0)
    return replace(trace_of([kind], np.zeros(2), 0, ""), run=np.array(runs))


@pytest.mark.parametrize(("first", "moved"), [(10.0, False), (100.0, True)])
def test_who_waits_until_the_deadline_is_near_goes_where_it_is_met(
    first: float, moved: bool
) -> None:
    result = simulate(still_world(1), two_jobs(100.0, (first, 10.0)), policy_maker("cheapest"))
    assert result.target.tolist() == [0, 1 if moved else 0]
    assert result.done.all() and result.met[1]


def test_nobody_is_moved_back_to_where_he_has_failed() -> None:
    trace = bursting(150, 1)
    third = float(trace.arrival.max()) / 3
    world = dead(hybrid(), HOME, third, 2 * third)
    for policy in ("balanced", "cheapest"):
        result = simulate(world, trace, policy_maker(policy), Setting(seed=1))
        assert result.done.all()
        assert (result.attempts > 1).any()


def test_jobs_with_a_deadline_wait_for_the_cheap_target_and_leave_it_in_time() -> None:
    """Twelve at once on one core, each of ten seconds within 100: who cannot have a turn goes to
    Lambda, when it is time and not before."""
    kind = Kind("job", 1.0, 10.0, 1, 100.0, "", spread=0.0, size=0.0)
    trace = trace_of([kind], np.zeros(12), 0, "")
    result = simulate(still_world(1), trace, policy_maker("deadline"))
    assert result.met.all()
    stayed = int((result.target == 0).sum())
    assert stayed >= 4  # of the five for which there is time: each takes 20 seconds there
    eager = simulate(still_world(1), trace, only(FUNCTIONS, "lambda only"))
    left = result.target == 1
    assert float(result.cost[left].sum()) == pytest.approx(float(eager.cost[left].sum()))
    assert float(result.start[left].min()) > 20.0
