"""Traces that are made up, from published fits where there are any (`data/traces.toml`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import log
from typing import Any, NamedTuple

import numpy as np

from bridge.errors import PlacementError
from bridge.fdl.model import Placement, ProviderRef, Resources, Service, StoragePath
from bridge.simulate._data import table
from bridge.simulate.model import Floats, Ints, Trace, Workload

_MIB = 2**20


class _Rows(NamedTuple):
    """Invocations before they are put in order; `parent` counts from the first of these rows."""

    workload: Ints
    arrival: Floats
    run: Floats
    size: Floats
    parent: Ints


def synthetic(
    invocations: int,
    *,
    seed: int = 0,
    services: int = 1000,
    given: Sequence[Service] = (),
    pipelines: bool = True,
) -> Trace:
    """A day of so many invocations of made-up services: the same for the same arguments.

    A few services get most invocations, runs are log-normal, arrivals follow the day and come in
    bursts, and a share of them are pipelines. With `given` services there are no others and no
    pipelines. PlacementError for numbers that make no trace.
    """
    if invocations < 1 or services < 1:
        raise PlacementError("a trace has at least one invocation of at least one service")
    luck, data = np.random.default_rng(seed), table("traces")
    singles = _given(given, luck, data) if given else _services(services, luck, data)
    names = len(singles)
    staged: list[Workload] = []
    flows: list[_Rows] = []
    if pipelines and not given:
        staged, flows = _pipelines(invocations, names, luck, data)
    rest = invocations - sum(len(flow.workload) for flow in flows)
    parts = [_singles(rest, singles, luck, data), *flows]
    source = f"synthetic, seed {seed}, parameters of {data['dated']}"
    return _ordered(parts, (*singles, *staged), source)


def _lognormal(luck: np.random.Generator, mean: Any, sigma: float, count: int) -> Floats:
    """Around a mean, which the spread of the logarithms would make higher."""
    made: Floats = np.exp(luck.normal(np.log(mean) - sigma**2 / 2, sigma, count))
    return made


def _services(count: int, luck: np.random.Generator, data: Mapping[str, Any]) -> list[Workload]:
    duration, limits, owners = data["duration"], data["deadlines"], data["owners"]["count"]
    means = np.minimum(
        np.exp(luck.normal(duration["mu"], duration["sigma"], count)), duration["most"]
    )
    shapes = data["shapes"]
    shares = np.array([shape["share"] for shape in shapes], dtype=np.float64)
    picked = luck.choice(len(shapes), count, p=shares / shares.sum())
    has_deadline = luck.random(count) < limits["share"]
    made = []
    for i in range(count):
        mean, shape = float(means[i]), shapes[int(picked[i])]
        deadline = limits["seconds"] + limits["runs"] * mean if has_deadline[i] else None
        service = _service(f"s{i:04}", shape["cpu"], shape["memory"], deadline)
        made.append(Workload(service, mean, f"owner{i % owners:02}"))
    return made


def _service(name: str, cpu: float, memory: int, deadline: float | None) -> Service:
    here = (StoragePath(ProviderRef("s3"), f"{name}/in"),)
    there = (StoragePath(ProviderRef("s3"), f"{name}/out"),)
    return Service(
        name,
        "bridge",
        "registry.example/made-up:1",
        Resources(Decimal(str(cpu)), memory * _MIB),
        inputs=here,
        outputs=there,
        placement=Placement(deadline=deadline),
    )


def _given(
    services: Sequence[Service], luck: np.random.Generator, data: Mapping[str, Any]
) -> list[Workload]:
    duration = data["duration"]
    drawn = np.exp(luck.normal(duration["mu"], duration["sigma"], len(services)))
    longest = [min(s.timeout or duration["most"], duration["most"]) / 2 for s in services]
    return [
        Workload(service, min(float(mean), most))
        for service, mean, most in zip(services, drawn, longest, strict=True)
    ]


def _singles(
    count: int, workloads: Sequence[Workload], luck: np.random.Generator, data: Mapping[str, Any]
) -> _Rows:
    weights = np.arange(1, len(workloads) + 1) ** -float(data["popularity"]["zipf"])
    which = luck.choice(len(workloads), count, p=weights / weights.sum()).astype(np.int32)
    arrival = _of_day(luck.random(count), data["day"])
    _gather(which, arrival, luck, data["bursts"])
    means = np.array([workload.typical for workload in workloads])
    size = data["size"]
    drawn = luck.normal(log(size["median"]), size["sigma"], len(workloads))
    sizes: Floats = np.round(np.exp(drawn)).astype(np.float64)
    run = _lognormal(luck, means[which], data["duration"]["each_sigma"], count)
    return _Rows(which, arrival, run, sizes[which], np.full(count, -1, np.int32))


def _of_day(uniform: Floats, day: Mapping[str, Any]) -> Floats:
    """Times of a day that is busier at noon: the inverse of the share that has come by then."""
    peak = float(day["peak"])
    depth = (peak - 1) / (peak + 1)
    hours = np.linspace(0.0, 1.0, 1441)
    come = hours - depth * np.sin(2 * np.pi * hours) / (2 * np.pi)
    times: Floats = np.interp(uniform, come, hours) * day["seconds"]
    return times


def _gather(
    which: Ints, arrival: Floats, luck: np.random.Generator, bursts: Mapping[str, Any]
) -> None:
    """Make a share of the invocations come in bursts of one service each."""
    left = int(len(which) * bursts["share"])
    sizes: list[int] = []
    while left > 0:
        sizes.append(min(left, int(luck.geometric(1 / bursts["mean"]))))
        left -= sizes[-1]
    at = 0
    for size in sizes:
        which[at : at + size] = which[at]
        arrival[at : at + size] = arrival[at] + luck.exponential(bursts["spread"], size)
        at += size


def _pipelines(
    invocations: int, first: int, luck: np.random.Generator, data: Mapping[str, Any]
) -> tuple[list[Workload], list[_Rows]]:
    """The stages of all shapes, and as many runs of each shape as its part of the share allows."""
    kinds = data["pipelines"]["shapes"]
    part = int(invocations * data["pipelines"]["share"]) // len(kinds)
    staged: list[Workload] = []
    flows = []
    for kind in kinds:
        each, width = 0, 1
        for stage in kind["stages"]:
            width *= stage["times"]
            each += width
        if part >= each:
            flows.append(_flow(kind["stages"], part // each, first + len(staged), luck, data))
        for stage in kind["stages"]:
            name = f"{kind['name']}-{stage['name']}"
            service = _service(name, stage["cpu"], stage["memory"], None)
            staged.append(Workload(service, float(stage["run"]), kind["name"]))
    return staged, flows


def _flow(
    stages: Sequence[Mapping[str, Any]],
    runs: int,
    first: int,
    luck: np.random.Generator,
    data: Mapping[str, Any],
) -> _Rows:
    """`runs` runs of one pipeline, stage after stage."""
    parts: list[_Rows] = []
    before, start = runs, 0
    for number, stage in enumerate(stages):
        count = before * stage["times"]
        if number:
            parent = start + np.repeat(np.arange(before), stage["times"])
            arrival, start = np.zeros(count), start + before
        else:
            parent, arrival = np.full(count, -1), _of_day(luck.random(count), data["day"])
        run = _lognormal(luck, float(stage["run"]), data["duration"]["each_sigma"], count)
        which = np.full(count, first + number, np.int32)
        size = np.full(count, float(stage["size"]))
        parts.append(_Rows(which, arrival, run, size, parent.astype(np.int32)))
        before = count
    return _Rows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _ordered(parts: Sequence[_Rows], workloads: Sequence[Workload], source: str) -> Trace:
    """One trace: what comes by itself by its time, and after it what follows from it."""
    shift = np.cumsum([0, *(len(part.workload) for part in parts)])
    parent = np.concatenate(
        [np.where(p.parent < 0, -1, p.parent + s) for p, s in zip(parts, shift, strict=False)]
    )
    arrival = np.concatenate([part.arrival for part in parts])
    follows = parent >= 0
    order = np.lexsort((np.where(follows, np.arange(len(parent)), arrival), follows))
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    moved = np.where(parent < 0, -1, place[parent])[order].astype(np.int32)
    return Trace(
        tuple(workloads),
        np.concatenate([part.workload for part in parts])[order].astype(np.int32),
        arrival[order],
        np.concatenate([part.run for part in parts])[order],
        np.concatenate([part.size for part in parts])[order],
        moved,
        source,
    )
