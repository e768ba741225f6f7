"""Small cases that are solved exactly, and how far from the best each policy is on them.

In these worlds nothing varies: starts always take as long, Lambda is never cold, and all times are
whole slots. What a job takes and pays on a target is not computed here: the simulator says it, of
the job alone. So the solver and the policies are told of the same world, and a policy that beat
the optimum would be a mistake (an AssertionError).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import nan
from typing import Final

import numpy as np

from benchmarks.placement.baselines import only
from benchmarks.placement.contestants import Contestant
from benchmarks.placement.metrics import percentile, ratio
from benchmarks.placement.optimum import TAIL, Case, Schedule, Task, Way, front, least_cost
from benchmarks.placement.scenarios import Kind, hybrid, trace_of
from bridge.simulate import (
    BatchModel,
    ClusterModel,
    FunctionsModel,
    Setting,
    Spread,
    Trace,
    Workload,
    World,
    simulate,
)
from bridge.simulate.model import Floats

SLOT: Final = 10.0  # seconds
_EXACT: Final = 1e-6
_ENDLESS: Final = 1e9  # seconds
AIM_COST: Final = 1.10
AIM_TAIL: Final = 1.15


@dataclass(frozen=True, slots=True)
class Small:
    """A small case as the simulator runs it and as the solver reads it, and what is best there.

    In `trace` nothing has a deadline; `best` are the schedules there that no other beats. `pressed`
    is the same with deadlines, `in_time` the cheapest schedule that meets them (None: none does).
    """

    name: str
    world: World
    trace: Trace
    best: tuple[Schedule, ...]
    pressed: Trace
    in_time: Schedule | None


@dataclass(frozen=True, slots=True)
class Gap:
    """How far a policy is from the best there is.

    `cost` is its cost by the least of any schedule, `tail` its 95th percentile by the shortest of
    any. `both` is the least factor for which one schedule of the solver's has at least its cost and
    its percentile when both are multiplied by it: 1 is as good as it gets. `near` says whether some
    schedule is not more than 10 % cheaper and not more than 15 % faster. With deadlines, `timely`
    is the cost by that of the cheapest schedule that meets all, `late` how many it does not meet.
    """

    cost: float
    tail: float
    both: float
    near: bool
    timely: float
    late: int


KINDS: Final = (
    Kind("quick", 0.5, 10.0, 1, 60.0, "", spread=0.0, size=0.0),
    Kind("middle", 0.3, 40.0, 1, 150.0, "", spread=0.0, size=0.0),
    Kind("wide", 0.2, 90.0, 2, 400.0, "", spread=0.0, size=0.0),
)


def still_world(cores: int) -> World:
    """One cluster of one node, Lambda and Batch; nothing is left to chance."""
    home, _, functions, queue = hybrid().places
    spec = replace(home.spec, cpu=Decimal(cores), memory=10**12)
    nodes = ClusterModel(1, float(cores), 1e12, start=Spread(SLOT))
    never_cold = FunctionsModel(cold=Spread(0.0), warm=Spread(0.0), cold_billed=False)
    return World(
        (
            replace(home, spec=spec, model=nodes),
            replace(functions, model=never_cold),
            replace(queue, model=BatchModel(submit_rate=1e9, start=Spread(6 * SLOT))),
        )
    )


def arrivals(count: int, span: float, seed: int) -> Floats:
    """So many arrivals in whole slots of a span; 0: all at once."""
    draw = np.random.default_rng((seed, 7))
    return np.sort(np.floor(draw.random(count) * span / SLOT) * SLOT)


def small(name: str, cores: int, count: int, span: float, seed: int) -> Small:
    """A case, solved."""
    world = still_world(cores)
    return solved(name, world, trace_of(KINDS, arrivals(count, span, seed), seed, name))


def solved(name: str, world: World, pressed: Trace) -> Small:
    """The solver's answers for a world where nothing varies, with the deadlines and without."""
    trace = without_deadlines(pressed)
    best = tuple(front(case_of(world, trace)))
    return Small(name, world, trace, best, pressed, least_cost(case_of(world, pressed)))


def without_deadlines(trace: Trace) -> Trace:
    """The same calls with all the time in the world, which the policy `deadline` can still read."""

    def eased(w: Workload) -> Workload:
        placement = replace(w.service.placement, deadline=_ENDLESS)
        return replace(w, service=replace(w.service, placement=placement))

    return replace(trace, workloads=tuple(eased(w) for w in trace.workloads))


def case_of(world: World, trace: Trace) -> Case:
    """The same for the solver. ValueError when something is not in whole slots."""
    alone = [
        {
            place.spec.name: way
            for place in world.places
            if (way := _alone(world, trace, workload, place.spec.name)) is not None
        }
        for workload in range(len(trace.workloads))
    ]
    tasks = []
    for job, which in enumerate(trace.workload.tolist()):
        due = trace.workloads[which].service.placement.deadline
        release = _slots(float(trace.arrival[job]))
        tasks.append(Task(release, alone[which], None if due is None else int(due / SLOT)))
    bounded = {p.spec.name: p for p in world.places if isinstance(p.model, ClusterModel)}
    return Case(tuple(tasks), {name: int(p.spec.cpu or 0) for name, p in bounded.items()})


def _alone(world: World, trace: Trace, workload: int, target: str) -> Way | None:
    """One job of a workload, with nobody else in the world."""
    one = replace(
        trace,
        workload=np.array([workload], np.int32),
        arrival=np.zeros(1),
        run=trace.run[trace.workload == workload][:1],
        size=np.zeros(1),
        parent=np.array([-1], np.int32),
    )
    if not len(one.run):
        return None
    result = simulate(world, one, only(target, target))
    if not result.done[0]:
        return None
    duration = _slots(float(result.end[0]))
    cores = int(trace.workloads[workload].service.resources.cpu)
    return Way(duration, duration, float(result.cost[0]), cores)


def _slots(seconds: float) -> int:
    slots = round(seconds / SLOT)
    if abs(slots * SLOT - seconds) > 1e-3:
        raise ValueError(f"{seconds} s are not whole slots of {SLOT} s")
    return slots


def gap(case: Small, who: Contestant) -> Gap:
    """How far a contestant is from the best of a case. ValueError when it loses a job."""
    easy, pressed = (who.play(case.world, t, Setting()) for t in (case.trace, case.pressed))
    if not (easy.done.all() and pressed.done.all()):
        raise ValueError(f"{who.name} lost a job of {case.name}")
    cost = float(easy.cost.sum())
    tail = percentile((easy.end - easy.arrival).tolist(), TAIL) / SLOT
    pairs = [(ratio(cost, one.cost), tail / one.tail) for one in case.best]
    both = min(max(pair) for pair in pairs)
    assert both > 1 - _EXACT, f"{who.name} is better than the optimum of {case.name}"
    return Gap(
        cost=pairs[0][0],
        tail=pairs[-1][1],
        both=both,
        near=any(dear <= AIM_COST + _EXACT and slow <= AIM_TAIL + _EXACT for dear, slow in pairs),
        timely=ratio(float(pressed.cost.sum()), case.in_time.cost) if case.in_time else nan,
        late=int((~pressed.met).sum()),
    )


def smalls(count: int, seeds: Sequence[int]) -> list[Small]:
    """The cases of the comparison: a batch at once, a rush, and a stream, on 2 and 4 cores."""
    shapes = {"at once": 0.0, "rush": 6 * SLOT, "stream": 24 * SLOT}
    return [
        small(f"{name}, {cores} cores, #{seed}", cores, count, span, seed)
        for name, span in shapes.items()
        for cores in (2, 4)
        for seed in seeds
    ]
