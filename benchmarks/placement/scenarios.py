"""The worlds and traces of the comparison: two clusters, Lambda and Batch, and who calls them how.

Everything is drawn from one seed. Rates are chosen against the clusters' cores, so that each trace
puts the question that its name says. Run times are log-normal around what a service typically
takes; a service's data are at home (MinIO) or in S3. What is not said here is as the simulator's
models have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

import numpy as np

from bridge.fdl.model import (
    Placement,
    ProviderRef,
    ProviderType,
    Resources,
    Service,
    StoragePath,
    TargetSpec,
)
from bridge.simulate.model import (
    BatchModel,
    ClusterModel,
    Floats,
    FunctionsModel,
    Place,
    Trace,
    Workload,
    World,
)

GIB: Final = 2**30
HOME, PARTNER, FUNCTIONS, QUEUE = "home", "partner", "aws-lambda", "aws-batch"
CORES: Final = 48  # of both clusters together


@dataclass(frozen=True, slots=True)
class Scenario:
    """A trace in a world, under a name."""

    name: str
    about: str
    world: World
    trace: Trace


@dataclass(frozen=True, slots=True)
class Kind:
    """A service of the mix. `share` of the calls are its; `spread` is the sigma of its run times;
    `deadline` in seconds from its event; `size` the median bytes of its inputs."""

    name: str
    share: float
    typical: float
    cpu: int
    deadline: float
    owner: str
    spread: float = 0.4
    size: float = 1e6
    store: ProviderType = "minio"

    @property
    def core_seconds(self) -> float:
        """What a call of it takes on average."""
        return self.cpu * self.typical * float(np.exp(self.spread**2 / 2))


MIX: Final = (
    Kind("thumbnail", 0.45, 2.0, 1, 60.0, "imaging"),
    Kind("detect", 0.33, 15.0, 1, 120.0, "imaging"),
    Kind("segment", 0.16, 80.0, 2, 900.0, "radiology", store="s3"),
    Kind("train", 0.06, 500.0, 4, 7200.0, "plants"),
)


def hybrid(home: int = 8, partner: int = 4) -> World:
    """Clusters of so many nodes of 4 cores; the partner's are slower, and cheaper."""

    def cluster(name: str, nodes: int, price: str, slowness: float = 1.0) -> Place:
        spec = TargetSpec(
            name,
            "oscar",
            cpu=Decimal(4 * nodes),
            memory=16 * GIB * nodes,
            cost_per_hour=Decimal(price),
        )
        return Place(spec, ClusterModel(nodes, 4.0, 16.0 * GIB), slowness)

    return World(
        (
            cluster(HOME, home, "0.012"),
            cluster(PARTNER, partner, "0.010", 1.4),
            Place(TargetSpec(FUNCTIONS, "lambda", region="us-east-1"), FunctionsModel()),
            Place(TargetSpec(QUEUE, "batch", region="us-east-1"), BatchModel()),
        )
    )


def workload(kind: Kind) -> Workload:
    """The service of a kind: 2 GiB for each core, outputs where its inputs are."""
    where = StoragePath(ProviderRef(kind.store), f"{kind.name}/in")
    service = Service(
        kind.name,
        "bridge",
        f"{kind.name}:1",
        Resources(Decimal(kind.cpu), 2 * GIB * kind.cpu),
        inputs=(where,),
        outputs=(replace(where, path=f"{kind.name}/out"),),
        placement=Placement(deadline=kind.deadline),
    )
    mean = kind.typical * float(np.exp(kind.spread**2 / 2))
    return Workload(service, mean, kind.owner)


def trace_of(kinds: Sequence[Kind], arrival: Floats, seed: int, source: str) -> Trace:
    """Calls at these times, each of a kind by its share."""
    draw = np.random.default_rng((seed, 1))
    count = len(arrival)
    shares = np.array([kind.share for kind in kinds])
    which = draw.choice(len(kinds), count, p=shares / shares.sum()).astype(np.int32)

    def around(median: Callable[[Kind], float], spread: Callable[[Kind], float]) -> Floats:
        middles = np.array([median(kind) for kind in kinds])[which]
        spreads = np.array([spread(kind) for kind in kinds])[which]
        return np.asarray(middles * np.exp(spreads * draw.standard_normal(count)), np.float64)

    return Trace(
        tuple(workload(kind) for kind in kinds),
        which,
        np.sort(arrival),
        np.maximum(around(lambda k: k.typical, lambda k: k.spread), 0.05),
        np.floor(around(lambda k: k.size, lambda _: 0.7)),
        np.full(count, -1, np.int32),
        source,
    )


def rate_for(kinds: Sequence[Kind], load: float) -> float:
    """Calls a second that keep this share of the clusters' cores busy."""
    shares = sum(kind.share for kind in kinds)
    mean = sum(kind.share * kind.core_seconds for kind in kinds) / shares
    return load * CORES / mean


def poisson(count: int, rate: float, seed: int) -> Floats:
    """Arrivals that know nothing of each other."""
    return np.cumsum(np.random.default_rng((seed, 0)).exponential(1 / rate, count))


def warped(count: int, rate: Callable[[Floats], Floats], span: float, seed: int) -> Floats:
    """So many arrivals in `span` seconds, as dense as `rate` says at each moment."""
    draw = np.random.default_rng((seed, 0))
    grid = np.linspace(0.0, span, 20_001)
    mass = np.concatenate(([0.0], np.cumsum(rate((grid[1:] + grid[:-1]) / 2))))
    return np.sort(np.interp(draw.random(count) * mass[-1], mass, grid))


def bursts(count: int, kinds: Sequence[Kind], load: float, factor: float, seed: int) -> Floats:
    """A low stream, with four windows in which it is `factor` times as dense.

    The windows are as short as it takes to hold half of the calls, however dense they are.
    """
    base = rate_for(kinds, load)
    span = count / base / 2 if factor > 1 else count / base
    width = span / (factor - 1) / 4 if factor > 2 else span / 4 / 4

    def rate(at: Floats) -> Floats:
        return np.where(at % (span / 4) < width, factor, 1.0)

    return warped(count, rate, span, seed)


def steady(count: int, seed: int) -> Trace:
    arrival = poisson(count, rate_for(MIX, 0.6), seed)
    return trace_of(MIX, arrival, seed, "Poisson, 60 % of the clusters' cores")


def bursting(count: int, seed: int, factor: float = 100.0) -> Trace:
    arrival = bursts(count, MIX, 0.25, factor, seed)
    return trace_of(MIX, arrival, seed, f"25 % of the cores, four bursts of x{factor:.0f}")


def diurnal(count: int, seed: int) -> Trace:
    span = count / rate_for(MIX, 0.75)

    def rate(at: Floats) -> Floats:
        return 1.0 + 0.9 * np.sin(2 * np.pi * at / span * 2)

    arrival = warped(count, rate, span, seed)
    return trace_of(
        MIX, arrival, seed, "two waves, 75 % of the cores on average, up to 190 % of that"
    )


def long_tailed(count: int, seed: int) -> Trace:
    kinds = tuple(replace(kind, spread=1.5) for kind in MIX)
    arrival = poisson(count, rate_for(kinds, 0.6), seed)
    return trace_of(kinds, arrival, seed, "run times with a sigma of 1.5: some outlast Lambda")


def data_heavy(count: int, seed: int) -> Trace:
    sizes = {"thumbnail": 2e7, "detect": 2e8, "segment": 1e9, "train": 2e9}
    kinds = tuple(replace(kind, size=sizes[kind.name]) for kind in MIX)
    arrival = poisson(count, rate_for(kinds, 0.8), seed)
    return trace_of(kinds, arrival, seed, "inputs of 20 MB to 2 GB, at home and in S3")


def pipelines(count: int, seed: int) -> Trace:
    """Batches of pipelines of three stages, each stage with a deadline of its own."""
    stages = (
        Kind("frames", 1.0, 8.0, 1, 90.0, "video"),
        Kind("infer", 1.0, 40.0, 2, 240.0, "video"),
        Kind("report", 1.0, 4.0, 1, 60.0, "video"),
    )
    whole = count // 3
    width, rate = 60, rate_for(stages, 0.7) / 3
    starts = np.repeat(np.arange(-(-whole // width)) * (width / rate), width)[:whole]
    flat = trace_of(stages, np.zeros(3 * whole), seed, "")
    order = np.arange(3 * whole)
    stage = (order // whole).astype(np.int32)
    draw = np.random.default_rng((seed, 2))
    runs = np.array([kind.typical for kind in stages])[stage]
    return replace(
        flat,
        workload=stage,
        arrival=np.concatenate((starts, np.zeros(2 * whole))),
        run=runs * np.exp(0.4 * draw.standard_normal(3 * whole)),
        parent=np.where(stage == 0, -1, order - whole).astype(np.int32),
        source=f"batches of {width} pipelines of three stages, 70 % of the cores",
    )


TRACES: Final[Mapping[str, Callable[[int, int], Trace]]] = {
    "steady": steady,
    "bursts": bursting,
    "diurnal": diurnal,
    "long tail": long_tailed,
    "data-heavy": data_heavy,
    "pipelines": pipelines,
}


def scenarios(count: int, seed: int) -> list[Scenario]:
    """All of them, with about so many calls each."""
    world = hybrid()
    made = {name: make(count, seed) for name, make in TRACES.items()}
    return [Scenario(name, trace.source, world, trace) for name, trace in made.items()]
