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
every job at its release. A task with a deadline has only the starts that meet it; tasks that are
alike share their variables, which are then counts. The solver knows all arrivals and all run times
before the first one: no policy that decides as jobs come can be expected to reach it.
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
    """A job: the slot in which it comes, how it can be done, by target, and the slots that it may
    take at most."""

    release: int
    ways: Mapping[str, Way]
    due: int | None = None


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
            if task.due is None or start + way.duration - task.release <= task.due
        ]
        for task in case.tasks
    ]


def least_cost(case: Case, *, slot_price: float = 0.0, tail: int | None = None) -> Schedule | None:
    """The schedule of the least cost, when a slot of response costs `slot_price` USD as well.

    Among those whose tail is at most `tail`; None when there is none.
    """
    groups = _groups(case, tail)
    if not all(starts for _, starts in groups):
        return None
    flat = [(group, one) for group, (_, starts) in enumerate(groups) for one in starts]
    model = highspy.Highs()  # type: ignore[no-untyped-call]
    model.silent()
    model.setOptionValue("mip_rel_gap", 0.0)
    worth = [one.cost + slot_price * one.response for _, one in flat]
    model.addIntegrals(len(flat), lb=0, ub=len(case.tasks), obj=worth)
    for row in (
        *_each_once(groups, flat),
        *_capacities(case, groups, flat),
        *_late(case, flat, tail),
    ):
        model.addRow(row.low, row.high, len(row.columns), row.columns, row.values)
    model.run()
    status = model.getModelStatus()
    if status == highspy.HighsModelStatus.kInfeasible:
        return None
    if status != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"the solver ended with {model.modelStatusToString(status)}")
    return _taken(case, groups, flat, model.getSolution().col_value)


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
_Group = tuple[list[int], list[Placed]]  # which tasks, and all their starts
_Flat = Sequence[tuple[int, Placed]]


class _Row(NamedTuple):
    low: float
    high: float
    columns: list[int]
    values: list[float]


def _groups(case: Case, tail: int | None) -> list[_Group]:
    """Tasks that are alike share their variables: which of them is which makes no difference."""
    found: dict[object, _Group] = {}
    none_late = tail is not None and rank(len(case.tasks)) == len(case.tasks)
    for index, (task, all_starts) in enumerate(zip(case.tasks, options(case), strict=True)):
        key = (task.release, task.due, tuple(sorted(task.ways.items(), key=lambda way: way[0])))
        starts = [one for one in all_starts if not none_late or one.response <= (tail or 0)]
        found.setdefault(key, ([], starts))[0].append(index)
    return list(found.values())


def _each_once(groups: Sequence[_Group], flat: _Flat) -> list[_Row]:
    rows: dict[int, list[int]] = {}
    for column, (group, _) in enumerate(flat):
        rows.setdefault(group, []).append(column)
    counts = {group: float(len(groups[group][0])) for group in rows}
    return [
        _Row(counts[group], counts[group], columns, [1.0] * len(columns))
        for group, columns in rows.items()
    ]


def _capacities(case: Case, groups: Sequence[_Group], flat: _Flat) -> list[_Row]:
    """Only slots in which something can start: nowhere else does the use of a target grow."""
    rows = []
    for target, most in case.capacity.items():
        mine = [
            (column, one, case.tasks[groups[group][0][0]].ways[target])
            for column, (group, one) in enumerate(flat)
            if one.target == target
        ]
        for slot in sorted({one.start for _, one, _ in mine}):
            held = [
                (column, float(way.size))
                for column, one, way in mine
                if one.start <= slot < one.start + way.hold
            ]
            columns, sizes = [column for column, _ in held], [size for _, size in held]
            rows.append(_Row(-highspy.kHighsInf, float(most), columns, sizes))
    return rows


def _late(case: Case, flat: _Flat, tail: int | None) -> list[_Row]:
    allowed = len(case.tasks) - rank(len(case.tasks))
    if tail is None or not allowed:
        return []
    columns = [column for column, (_, one) in enumerate(flat) if one.response > tail]
    return [_Row(-highspy.kHighsInf, float(allowed), columns, [1.0] * len(columns))]


def _taken(case: Case, groups: Sequence[_Group], flat: _Flat, values: Sequence[float]) -> Schedule:
    """Who of a group takes which of its starts makes no difference: in turn."""
    left = [list(members) for members, _ in groups]
    placed: dict[int, Placed] = {}
    for (group, one), value in zip(flat, values, strict=True):
        for _ in range(round(value)):
            placed[left[group].pop()] = one
    return Schedule(tuple(placed[index] for index in range(len(case.tasks))))
