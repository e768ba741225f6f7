"""Small worlds and traces, and deciders that need no scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

import numpy as np

from bridge.fdl.model import Placement, Resources, Service, TargetKind, TargetSpec
from bridge.simulate import (
    Call,
    ClusterModel,
    Maker,
    Place,
    Spread,
    TargetModel,
    Trace,
    View,
    Waiting,
    Workload,
    World,
)

GIB = 2**30
AT_ONCE = Spread(0.0)


def service(
    name: str = "s", cpu: str = "1", memory: int = GIB, deadline: float | None = None
) -> Service:
    needs = Resources(Decimal(cpu), memory)
    return Service(name, "bridge", "tool:1", needs, placement=Placement(deadline=deadline))


def trace(
    arrival: Sequence[float],
    run: Sequence[float] | float = 1.0,
    *,
    services: Sequence[Service] = (),
    workload: Sequence[int] | None = None,
    parent: Sequence[int] | None = None,
    size: float = 0.0,
) -> Trace:
    count = len(arrival)
    runs = np.broadcast_to(np.asarray(run, dtype=np.float64), (count,)).copy()
    return Trace(
        tuple(Workload(s, float(runs.mean()), s.name) for s in services or [service()]),
        np.asarray(workload if workload is not None else [0] * count, dtype=np.int32),
        np.asarray(arrival, dtype=np.float64),
        runs,
        np.full(count, size),
        np.asarray(parent if parent is not None else [-1] * count, dtype=np.int32),
    )


def place(name: str, kind: TargetKind, model: TargetModel, **more: object) -> Place:
    spec = TargetSpec(name, kind, cost_per_hour=Decimal(str(more.pop("per_hour", 0))))
    return Place(spec, model, **more)  # type: ignore[arg-type]


def cluster(nodes: int = 1, cpu: float = 1.0, **more: object) -> Place:
    model = ClusterModel(nodes, cpu, 64.0 * GIB, start=AT_ONCE, **more)  # type: ignore[arg-type]
    return place("c", "kubernetes", model)


def always(*targets: int) -> Maker:
    """The n-th attempt of everything goes to the n-th of these targets, then to the last."""
    return by(lambda call, _: targets[min(call.attempt, len(targets)) - 1])


def by(rule: Callable[[Call, View], int], moves: Mapping[int, int] | None = None) -> Maker:
    """Who decides by this rule; moves are made once, at the first look after ten seconds."""

    class Rule:
        name = "rule"
        review_every = 10.0 if moves else 0.0

        def choose(self, call: Call, view: View) -> int:
            return rule(call, view)

        def review(self, waiting: Iterable[Waiting], view: View) -> Mapping[int, int]:
            there = {one.call.number for one in waiting}
            return {i: t for i, t in (moves or {}).items() if i in there}

    return lambda world, trace, seed: Rule()


def world(*places: Place) -> World:
    return World(places)
