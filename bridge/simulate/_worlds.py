"""Worlds: one that is made up, and one of the targets that a file names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from bridge.errors import PlacementError
from bridge.fdl.model import TargetKind, TargetSpec
from bridge.scheduler import list_prices
from bridge.simulate._data import table
from bridge.simulate.model import (
    BatchModel,
    ClusterModel,
    FunctionsModel,
    Place,
    TargetModel,
    World,
)

_GIB = 2**30


def standard_world(targets: int = 50) -> World:
    """So many made-up targets: of ten, four clusters, three Lambda and three Batch, in the regions
    that prices are known of."""
    if targets < 1:
        raise PlacementError("a world has at least one target")
    prices = list_prices()
    kinds: tuple[TargetKind, ...] = ("kubernetes", "lambda", "batch") * 3 + ("kubernetes",)
    functions, tasks = sorted(prices.functions), sorted(prices.fargate)
    places = []
    for n in range(targets):
        kind = kinds[n % len(kinds)]
        regions = {"lambda": functions, "batch": tasks}.get(kind, [""])
        spec = TargetSpec(f"{kind}-{n:02}", kind, region=regions[n % len(regions)])
        places.append(Place(spec, model_of(spec)))
    return World(tuple(places), prices)


def world_of(specs: Iterable[TargetSpec]) -> World:
    """The targets of a file; each behaves as is usual for its kind (`data/targets.toml`).

    A cluster that says how many cores and how much memory it has is one machine of that size.
    """
    return World(tuple(Place(spec, model_of(spec)) for spec in specs))


def model_of(spec: TargetSpec) -> TargetModel:
    """How a target of this kind usually behaves."""
    return _MODELS.get(spec.kind, _cluster)(spec)


def _cluster(spec: TargetSpec) -> ClusterModel:
    data: Mapping[str, Any] = table("targets")["cluster"]
    nodes = int(data["nodes"])
    cpu, memory = float(data["cpu"]), float(data["memory_gib"] * _GIB)
    if spec.cpu is not None:
        nodes, cpu = 1, float(spec.cpu)
        memory *= data["nodes"]
    if spec.memory is not None:
        memory = float(spec.memory)
        cpu *= nodes if spec.cpu is None else 1
        nodes = 1
    return ClusterModel(nodes, cpu, memory)


_MODELS: Final[Mapping[TargetKind, Callable[[TargetSpec], TargetModel]]] = MappingProxyType(
    {"lambda": lambda _: FunctionsModel(), "batch": lambda _: BatchModel()}
)
