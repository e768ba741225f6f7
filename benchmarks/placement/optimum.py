"""The best schedule that there is for a small case, by mixed-integer linear programming.

A job j may go to some targets k. There it takes d(j,k) slots of time from its start to its end,
holds s(j,k) units of k's capacity for the first h(j,k) of them, and costs c(j,k) USD. It may start
at its release r(j) or later. x(j,k,t) is 1 when j starts on k at slot t:

    minimise    sum of x(j,k,t) * (c(j,k) + slot_price * (t + d(j,k) - r(j)))
    subject to  each j:         sum over k, t of x(j,k,t) = 1
                each k, slot u: sum of s(j,k) * x(j,k,t) where t <= u < t + h(j,k)  <=  capacity(k)
                tail:           sum of x(j,k,t) whose response t + d(j,k) - r(j) is above the
                                bound  <=  n - ceil(0.95 n)

The last one bounds the 95th percentile by nearest rank. All data are whole slots, and no goal gets
better by waiting for nothing, so some best schedule starts each job at a release or at the end of
a hold: whole slots lose nothing, the answer is exact. A target without a bound of capacity takes
every job at its release. The solver knows all arrivals and all run times before the first one: no
policy that decides as jobs come can be expected to reach it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final, NamedTuple

import highspy

TAIL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Way:
    """One job on one target: slots to its end, slots and units of capacity held, and USD."""

    duration: int
    hold: int
    cost: float
    size: int = 1


@dataclass(frozen=True, slots=True)
class Task:
    """A job: the slot in which it comes, and how it can be done, by target."""

    release: int
    ways: Mapping[str, Way]


@dataclass(frozen=True, slots=True)
class Case:
    """A small case. A target that `capacity` does not name has no bound."""

    tasks: tuple[Task, ...]
    capacity: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a task goes, in which slot it starts, and the slots from its release to its end."""

    target: str
    start: int
    response: int
    cost: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """One entry for each task of the case, in its order."""

    placed: tuple[Placed, ...]

    @property
    def cost(self) -> float:
        """USD."""
        return sum(one.cost for one in self.placed)

    @property
    def tail(self) -> int:
        """The 95th percentile of the responses, by nearest rank, in slots."""
        return sorted(one.response for one in self.placed)[rank(len(self.placed)) - 1]


def rank(count: int) -> int:
    """Which of so many values, counted from 1, is their 95th percentile."""
    return max(ceil(round(TAIL * count, 9)), 1)


def options(case: Case) -> list[list[Placed]]:
    """All starts that come into question for each task.

    The horizon is where even all tasks one after the other would have ended.
    """
    slack = sum(max(way.hold for way in task.ways.values()) for task in case.tasks)
    last = max(task.release for task in case.tasks) + slack

    def starts(task: Task, target: str) -> range:
        return range(task.release, (last if target in case.capacity else task.release) + 1)

    return [
        [
            Placed(target, start, start + way.duration - task.release, way.cost)
            for target, way in task.ways.items()
            for start in starts(task, target)
        ]
        for task in case.tasks
    ]


def least_cost(case: Case, *, slot_price: float = 0.0, tail: int | None = None) -> Schedule | None:
    """The schedule of the least cost, when a slot of response costs `slot_price` USD as well.

    Among those whose tail is at most `tail`; None when there is none.
    """
    found = options(case)
    flat = [(job, one) for job, mine in enumerate(found) for one in mine]
    model = highspy.Highs()  # type: ignore[no-untyped-call]
    model.silent()
    model.setOptionValue("mip_rel_gap", 0.0)
    model.addBinaries(len(flat), obj=[one.cost + slot_price * one.response for _, one in flat])
    for row in (*_each_once(flat), *_capacities(case, flat), *_late(case, flat, tail)):
        model.addRow(row.low, row.high, len(row.columns), row.columns, row.values)
    model.run()
    status = model.getModelStatus()
    if status == highspy.HighsModelStatus.kInfeasible:
        return None
    if status != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"the solver ended with {model.modelStatusToString(status)}")
    values = model.getSolution().col_value
    return Schedule(tuple(one for (_, one), value in zip(flat, values, strict=True) if value > 0.5))


def front(case: Case) -> list[Schedule]:
    """The schedules that no other equals in one of cost and tail and beats in the other.

    The cheapest first, the one of the shortest tail last.
    """
    found: list[Schedule] = []
    tail: int | None = None
    while (best := least_cost(case, tail=tail)) is not None:
        if found and best.cost <= found[-1].cost + _CENT:
            found.pop()
        found.append(best)
        tail = best.tail - 1
    return found


_CENT: Final = 1e-9  # USD: less than any job costs
_Flat = Sequence[tuple[int, Placed]]


class _Row(NamedTuple):
    low: float
    high: float
    columns: list[int]
    values: list[float]


def _each_once(flat: _Flat) -> list[_Row]:
    rows: dict[int, list[int]] = {}
    for column, (job, _) in enumerate(flat):
        rows.setdefault(job, []).append(column)
    return [_Row(1.0, 1.0, columns, [1.0] * len(columns)) for columns in rows.values()]


def _capacities(case: Case, flat: _Flat) -> list[_Row]:
    """Only slots in which something can start: nowhere else does the use of a target grow."""
    rows = []
    for target, most in case.capacity.items():
        mine = [
            (column, job, one) for column, (job, one) in enumerate(flat) if one.target == target
        ]
        for slot in sorted({one.start for _, _, one in mine}):
            columns, sizes = [], []
            for column, job, one in mine:
                way = case.tasks[job].ways[target]
                if one.start <= slot < one.start + way.hold:
                    columns.append(column)
                    sizes.append(float(way.size))
            rows.append(_Row(-highspy.kHighsInf, float(most), columns, sizes))
    return rows


def _late(case: Case, flat: _Flat, tail: int | None) -> list[_Row]:
    if tail is None:
        return []
    columns = [column for column, (_, one) in enumerate(flat) if one.response > tail]
    allowed = len(case.tasks) - rank(len(case.tasks))
    return [_Row(-highspy.kHighsInf, float(allowed), columns, [1.0] * len(columns))]
