"""A search for the small case on which we are worst, as PISA does it: change, keep what is worse.

Coleman and Krishnamachari's PISA anneals over problem instances to find where one scheduler is
much worse than another; here `balanced` is set against the best of the baselines, in joint cost and
95th percentile, in worlds where nothing varies (see `small`).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp
from typing import Final

import numpy as np

from benchmarks.placement.contestants import Contestant
from benchmarks.placement.metrics import percentile, ratio, together
from benchmarks.placement.optimum import TAIL
from benchmarks.placement.scenarios import trace_of
from benchmarks.placement.small import KINDS, SLOT, still_world, without_deadlines
from bridge.simulate import Setting, Trace

_LAST: Final = 40  # the slot in which a job may come at the latest


@dataclass(frozen=True, slots=True)
class Instance:
    """Jobs by slot of arrival and kind, in the order of arrival, and the cluster's cores."""

    jobs: tuple[tuple[int, int], ...]
    cores: int

    def trace(self) -> Trace:
        slots = np.array([slot for slot, _ in self.jobs], np.float64)
        which = np.array([kind for _, kind in self.jobs], np.int32)
        runs = np.array([KINDS[kind].typical for kind in which.tolist()])
        drawn = without_deadlines(trace_of(KINDS, slots * SLOT, 0, "found by the search"))
        return replace(drawn, workload=which, run=runs)

    def __str__(self) -> str:
        counts = Counter(KINDS[kind].name for _, kind in self.jobs)
        jobs = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        span = (self.jobs[-1][0] - self.jobs[0][0]) * SLOT
        return f"{jobs} within {span:g} s, {self.cores} cores at home"


@dataclass(frozen=True, slots=True)
class Worst:
    """The worst instance that was found: we are `factor` times as bad as `rival`."""

    instance: Instance
    factor: float
    rival: str
    tried: int


def search(us: Contestant, them: Sequence[Contestant], steps: int, seed: int) -> Worst:
    """Anneal from a random instance for so many steps; the worst of all that were seen."""
    draw = random.Random(seed)
    jobs = tuple(sorted((draw.randrange(_LAST), draw.randrange(len(KINDS))) for _ in range(10)))
    here = judged(Instance(jobs, 2), us, them)
    worst = here
    for step in range(steps):
        there = judged(_changed(here.instance, draw), us, them)
        heat = 0.2 * (1 - step / steps) + 1e-3
        if there.factor > here.factor or draw.random() < exp((there.factor - here.factor) / heat):
            here = there
        if here.factor > worst.factor:
            worst = here
    return replace(worst, tried=steps + 1)


def judged(instance: Instance, us: Contestant, them: Sequence[Contestant]) -> Worst:
    """How we stand on an instance beside the best of the others."""
    scores = {who.name: _joint(instance, who) for who in (us, *them)}
    rival = min((who.name for who in them), key=lambda name: scores[name])
    return Worst(instance, ratio(scores[us.name], scores[rival]), rival, 1)


def _joint(instance: Instance, who: Contestant) -> float:
    result = who.play(still_world(instance.cores), instance.trace(), Setting())
    if not result.done.all():
        return float("inf")
    tail = percentile((result.end - result.arrival).tolist(), TAIL)
    return together((float(result.cost.sum()), tail))


def _changed(instance: Instance, draw: random.Random) -> Instance:
    """One job more, less, earlier, later or of another kind; or another size of the cluster."""
    jobs = list(instance.jobs)
    what = draw.randrange(5)
    place = draw.randrange(len(jobs))
    slot, kind = jobs[place]
    if what == 0 and len(jobs) < 16:
        jobs.append((draw.randrange(_LAST), draw.randrange(len(KINDS))))
    elif what == 1 and len(jobs) > 4:
        del jobs[place]
    elif what == 2:
        jobs[place] = (slot, draw.randrange(len(KINDS)))
    elif what == 3:
        return replace(instance, cores=draw.choice((2, 3, 4, 6, 8)))
    else:
        jobs[place] = (min(max(slot + draw.randint(-5, 5), 0), _LAST), kind)
    return replace(instance, jobs=tuple(sorted(jobs)))
