"""The solver's schedules against all schedules that there are, on cases small enough for that."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from itertools import product

import pytest

from benchmarks.placement.optimum import Case, Placed, Task, Way, front, least_cost, options, rank

SEEDS = range(8)


def case(seed: int) -> Case:
    """Three tasks, a narrow cluster, a bounded queue with a late start, and Lambda's like."""
    draw = random.Random(seed)

    def task() -> Task:
        run = draw.randint(1, 3)
        ways = {
            "cluster": Way(run + 1, run + 1, run * 1.0, size=draw.randint(1, 2)),
            "batch": Way(run + 3, run, max(run, 2) * 2.0),
            "lambda": Way(run, run, run * 5.0),
        }
        del ways[draw.choice(["batch", "lambda"])]
        return Task(draw.randint(0, 2), ways)

    return Case(tuple(task() for _ in range(3)), {"cluster": 2, "batch": 1})


def everything(small: Case) -> Iterator[tuple[Placed, ...]]:
    """Each way to start each task once, where the capacities allow it."""
    for placed in product(*options(small)):
        held: Counter[tuple[str, int]] = Counter()
        for task, one in zip(small.tasks, placed, strict=True):
            way = task.ways[one.target]
            for slot in range(one.start, one.start + way.hold):
                held[one.target, slot] += way.size
        if all(use <= small.capacity.get(target, use) for (target, _), use in held.items()):
            yield placed


def money(placed: tuple[Placed, ...]) -> float:
    return round(sum(one.cost for one in placed), 9)


def slowest(placed: tuple[Placed, ...]) -> int:
    return max(one.response for one in placed)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_schedule_is_better_than_the_solvers(seed: int) -> None:
    small = case(seed)
    every = list(everything(small))
    for price in (0.0, 0.7, 3.0):
        best = least_cost(small, slot_price=price)
        assert best is not None
        assert best.placed in every
        found = best.cost + price * sum(one.response for one in best.placed)
        assert found == pytest.approx(
            min(money(one) + price * sum(p.response for p in one) for one in every)
        )
    pairs = {(money(one), slowest(one)) for one in every}
    beaten = {p for p in pairs for q in pairs if q != p and q[0] <= p[0] and q[1] <= p[1]}
    assert [(round(one.cost, 9), one.tail) for one in front(small)] == sorted(pairs - beaten)


def test_one_of_twenty_may_be_late_and_two_of_forty() -> None:
    quick, slow = Task(0, {"lambda": Way(1, 1, 1.0)}), Task(0, {"lambda": Way(9, 9, 1.0)})
    assert (rank(1), rank(12), rank(19), rank(20), rank(40)) == (1, 12, 19, 19, 38)
    one_late = least_cost(Case((slow, *[quick] * 19), {}), tail=1)
    assert one_late is not None and one_late.tail == 1
    assert least_cost(Case((slow, slow, *[quick] * 18), {}), tail=8) is None


def test_a_place_that_holds_no_capacity_while_it_starts_takes_the_next_job_then() -> None:
    """Two jobs of one slot on one machine, with a start of five slots that holds nothing."""
    job = Task(0, {"batch": Way(6, 1, 1.0)})
    best = front(Case((job, job), {"batch": 1}))
    assert [one.tail for one in best] == [7]
