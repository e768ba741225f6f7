"""The values that a simulation is made of: a world, a trace, who decides, and what came of it.

Times are seconds from the start of the trace, sizes bytes, money USD. Arrays are numpy's: one entry
for each invocation, in the order of the trace. A target is its place in `World.places`, a workload
its place in `Trace.workloads`; -1 is none.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bridge.fdl.model import Service, TargetSpec
from bridge.scheduler import Prices, list_prices
from bridge.scheduler.routing import Space
from bridge.simulate._data import table

_TARGETS = table("targets")
_CLUSTER, _LAMBDA, _BATCH = _TARGETS["cluster"], _TARGETS["lambda"], _TARGETS["batch"]
_COLD = _LAMBDA["cold"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Spread:
    """A time that varies: log-normal with this median and sigma, never above `most`."""

    median: float
    sigma: float = 0.0
    most: float = float("inf")


@dataclass(frozen=True, slots=True)
class ClusterModel:
    """Machines of one size. Jobs that ask for the same wait in line; one that asks for less may
    pass one that asks for more, as pods do.

    `cpu` in cores and `memory` in bytes are one node's. The autoscaler goes from `nodes` up to
    `most_nodes`: what jobs that wait would fill comes `node_delay` seconds later, and goes after
    `node_idle` seconds in which it was empty. `order` is whom a line lets go first. A job holds its
    room from the start to the end of its outputs.
    """

    nodes: int
    cpu: float
    memory: float
    most_nodes: int = 0
    node_delay: float = float(_CLUSTER["node_delay"])
    node_idle: float = float(_CLUSTER["node_idle"])
    start: Spread = Spread(float(_CLUSTER["start"]), float(_CLUSTER["start_sigma"]))
    order: Literal["arrival", "deadline"] = "arrival"


@dataclass(frozen=True, slots=True)
class FunctionsModel:
    """Lambda: an environment for each invocation that runs, kept warm for `keep_alive` seconds.

    All functions of the target share `concurrency`; each function may add `growth` environments
    every `growth_every` seconds. What is above either waits. A run longer than `timeout` is killed
    there, and paid. A cold start is paid for when `cold_billed`.
    """

    concurrency: int = int(_LAMBDA["concurrency"])
    growth: int = int(_LAMBDA["growth"])
    growth_every: float = float(_LAMBDA["growth_every"])
    keep_alive: float = float(_LAMBDA["keep_alive"])
    cold: Spread = Spread(exp(_COLD["mu"]), float(_COLD["sigma"]), float(_COLD["most"]))
    warm: Spread = Spread(float(_LAMBDA["warm"]))
    timeout: float = float(_LAMBDA["timeout"])
    cold_billed: bool = bool(_LAMBDA["cold_billed"])


@dataclass(frozen=True, slots=True)
class BatchModel:
    """Batch: submits go through one by one, each job then starts after `start` seconds.

    `submit_rate` is submits a second, `vcpus` what may run at once (None: no bound).
    `interruptions` are those of a spot machine, per hour: the run has failed, and what it took is
    paid. `billed_start` is the part of the start that is paid for. Until its start is over a job
    counts as queued.
    """

    submit_rate: float = float(_BATCH["submit_rate"])
    start: Spread = Spread(float(_BATCH["start"]), float(_BATCH["start_sigma"]))
    billed_start: float = float(_BATCH["billed_start"])
    vcpus: float | None = None
    interruptions: float = 0.0


TargetModel = ClusterModel | FunctionsModel | BatchModel


@dataclass(frozen=True, slots=True)
class Link:
    """What joins a target to the stores: bytes a second for one transfer, or for all that are
    under way at once (`shared`)."""

    bandwidth: float
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """One target of the world: how the scheduler knows it, and how it behaves.

    A run takes `slowness` times as long as the trace says. `link` is None where the bandwidths that
    the scheduler assumes are the true ones. From the first to before the second time of each pair
    in `down` what is handed in fails at once, what ran there has failed, and what waits there goes
    on waiting. `failures` is the share of runs that fail at their end, by chance.
    """

    spec: TargetSpec
    model: TargetModel
    slowness: float = 1.0
    link: Link | None = None
    down: tuple[tuple[float, float], ...] = ()
    failures: float = 0.0


@dataclass(frozen=True, slots=True)
class World:
    """The targets, and what they ask for it."""

    places: tuple[Place, ...]
    prices: Prices = field(default_factory=list_prices)


@dataclass(frozen=True, slots=True)
class Workload:
    """A service as the trace invokes it. `owner` is whose it is; `typical` the seconds of a run
    that whoever estimates well would expect."""

    service: Service
    typical: float
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """What happens. Roots are in the order of their arrival.

    `workload` is whose invocation it is; `run` the seconds that it takes where `slowness` is 1;
    `size` the bytes of its input. An invocation with a `parent` (the place of an earlier one in
    these arrays, -1: none) comes when that has ended well, `arrival` seconds later; others come at
    `arrival`. `source` says in words where this is from.
    """

    workloads: tuple[Workload, ...]
    workload: Ints
    arrival: Floats
    run: Floats
    size: Floats
    parent: Ints
    source: str = ""

    def __len__(self) -> int:
        return len(self.workload)


@dataclass(frozen=True, slots=True)
class Information:
    """What whoever decides knows of the world.

    Targets are measured every `every` seconds (0: always), and `lag` seconds pass until that is
    known. `own` says that decisions taken since count as queued. An estimate of a run is `bias`
    times the truth, times a factor from 1/`spread` to `spread` that is drawn once for each workload
    and target.
    """

    every: float = 0.0
    lag: float = 0.0
    own: bool = True
    bias: float = 1.0
    spread: float = 1.0


class Call(NamedTuple):
    """One invocation that must be placed now.

    `deadline` is the time by which it shall have ended (infinite: none), `attempt` counts from 1,
    `tried` are the targets where it failed or ran out of time.
    """

    number: int
    workload: int
    size: float
    arrival: float
    deadline: float
    attempt: int = 1
    tried: tuple[int, ...] = ()


@dataclass(slots=True)
class View:
    """What is known when a decision is taken. It is one object that changes with time: whoever
    wants to remember copies.

    `running`, `queued`, `failures`, `means` and `cores` (mean seconds and cores of the jobs that
    run and wait there, NaN when there are none) are by target, as `Information` lets them be seen:
    `age` seconds old, with the own decisions since. `estimates[workload][target]` are seconds of a
    run, wrong as `Information` says; `starts[target]` the seconds of a typical start.
    `space(workload)` is the room for jobs of its size on clusters; who keeps it sees it change.
    """

    now: float
    age: float
    running: array[int]
    queued: array[int]
    failures: array[float]
    means: array[float]
    cores: array[float]
    estimates: Sequence[Sequence[float]]
    starts: Sequence[float]
    space: Callable[[int], Space]


@dataclass(frozen=True, slots=True)
class Waiting:
    """An invocation that waits on a target and has not begun to start."""

    call: Call
    target: int
    since: float


class Decider(Protocol):
    """Who places invocations: a policy of the scheduler, or anything to compare it with."""

    @property
    def name(self) -> str:
        """What the table calls it."""

    @property
    def review_every(self) -> float:
        """Seconds between two calls of `review`; 0 when there shall be none."""

    def choose(self, call: Call, view: View) -> int:
        """The target for an invocation that has come, or that failed and is tried again; -1 gives
        it up."""

    def review(self, waiting: Iterable[Waiting], view: View) -> Mapping[int, int]:
        """Moves of waiting invocations: index to new target. Others stay."""


class Maker(Protocol):
    """Makes a decider for a run. Everything may be asked of it but the trace's future, unless it
    wants to know that: an optimum does."""

    def __call__(self, world: World, trace: Trace, seed: int, /) -> Decider: ...


@dataclass(frozen=True, slots=True)
class Setting:
    """How a run is made: seeded chance, what is known, and `attempts` tries for each invocation,
    the n-th of them `retry_delay * 2 ** (n - 2)` seconds after the one before has failed."""

    seed: int = 0
    attempts: int = 3
    retry_delay: float = 0.5
    information: Information = Information()


@dataclass(frozen=True, slots=True)
class Result:
    """What came of each invocation.

    `target` is where it last was (-1: nowhere). `arrival` is when it came, `start` when its last
    run began (the script, after transfer), `end` when its outputs were there or it was given up.
    All are NaN for one whose parent failed, as it never came, and `end` for one that still waited
    when nothing could happen any more. `cost` is all it has paid, failed runs too.
    `cold` says that its last run began in a new environment of a function, `done` that it ended
    well, `met` that it did so by its deadline, which it has if `due` is finite.
    """

    decider: str
    target: Ints
    arrival: Floats
    start: Floats
    end: Floats
    cost: Floats
    due: Floats
    attempts: Ints
    cold: Bools
    done: Bools
    met: Bools
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers of a result that are compared.

    Responses are seconds from arrival to end, of those that ended well. `missed` is the share of
    invocations with a deadline that did not meet it, `cold` of all that ran, `fairness` Jain's
    index (1: the same for all) of the owners' mean slowdowns.
    """

    decider: str
    invocations: int
    done: int
    p50: float
    p95: float
    p99: float
    mean: float
    makespan: float
    cost: float
    missed: float
    cold: float
    fairness: float
    by_target: Mapping[str, int]
    notes: tuple[str, ...] = ()
