"""What our policies are measured against: rules of others, and simple ones, as deciders.

Each is our own reading of a rule, given the same news and estimates as our policies, and better
off than the original where that cannot be helped: no decision takes time here.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

from benchmarks.placement.scenarios import FUNCTIONS, HOME, PARTNER, QUEUE
from bridge.fdl.model import Service
from bridge.scheduler import TargetState, offer
from bridge.simulate import (
    Call,
    Decider,
    Maker,
    Trace,
    View,
    Waiting,
    World,
    policy_maker,
)


class Rule:
    """What the rules have in common: who can run what, by the scheduler's own filters."""

    review_every = 0.0

    def __init__(self, world: World, trace: Trace, seed: int, name: str) -> None:
        self.name = name
        self.notes: tuple[str, ...] = ()
        self.world, self.trace = world, trace
        self.draw = random.Random(seed)
        self.place = {place.spec.name: i for i, place in enumerate(world.places)}
        self.able = [
            [i for i in range(len(world.places)) if _able(w.service, world, i)]
            for w in trace.workloads
        ]

    def first(self, call: Call, *names: str) -> int:
        """The first of these targets that can run it and has not failed to; -1 when none can."""
        for name in names:
            target = self.place[name]
            if target in self.able[call.workload] and target not in call.tried:
                return target
        return -1

    def review(self, waiting: Iterable[Waiting], view: View) -> Mapping[int, int]:
        return {}


def _able(service: Service, world: World, target: int) -> bool:
    return offer(service, None, TargetState(world.places[target].spec), world.prices).feasible


class Only(Rule):
    """All to one target, again and again when that fails."""

    def __init__(self, world: World, trace: Trace, seed: int, name: str, target: str) -> None:
        super().__init__(world, trace, seed, name)
        self._target = self.place[target]

    def choose(self, call: Call, view: View) -> int:
        return self._target if self._target in self.able[call.workload] else -1


class Random(Rule):
    """Any target that can run it; after a failure any other."""

    def choose(self, call: Call, view: View) -> int:
        able = self.able[call.workload]
        return self.draw.choice([i for i in able if i not in call.tried] or able)


class LambdaBatch(Rule):
    """SCAR's `lambda-batch`: to Lambda, and what Lambda has killed, and charged for, to Batch."""

    def choose(self, call: Call, view: View) -> int:
        return self.first(call, FUNCTIONS, QUEUE)


class Skedulix(Rule):
    """Private first, shortest slack first; who would be late there goes to the public side.

    After Das et al., "Skedulix: Hybrid Cloud Scheduling for Cost-Efficient Execution of Serverless
    Applications" (2020). The private cloud is our first cluster, whose queue the rule looks through
    every five seconds. The public one is Lambda, and Batch for what Lambda cannot run or has
    killed.
    """

    review_every = 5.0

    def __init__(self, world: World, trace: Trace, seed: int, name: str) -> None:
        super().__init__(world, trace, seed, name)
        self._home = self.place[HOME]
        cores = world.places[self._home].spec.cpu
        self._cores = float(cores or 0)
        self._cpu = [float(w.service.resources.cpu) for w in trace.workloads]
        self._mean = sum(
            self._cpu[w] * trace.workloads[w].typical for w in trace.workload.tolist()
        ) / len(trace)

    def choose(self, call: Call, view: View) -> int:
        if call.tried:
            return self.first(call, FUNCTIONS, QUEUE, HOME)
        jobs = view.running[self._home] + view.queued[self._home]
        ahead = max(jobs * self._mean - self._cores * self._mean, 0.0) / self._cores
        if view.now + ahead + self._takes(call, view) <= call.deadline:
            return self._home
        public = self.first(call, FUNCTIONS, QUEUE)
        return public if public >= 0 else self._home

    def review(self, waiting: Iterable[Waiting], view: View) -> Mapping[int, int]:
        mine = [one for one in waiting if one.target == self._home]
        mine.sort(key=lambda one: one.call.deadline - self._takes(one.call, view))
        moves: dict[int, int] = {}
        busy = self._mean * view.running[self._home] / 2
        for one in mine:
            if view.now + busy / self._cores + self._takes(one.call, view) > one.call.deadline:
                public = self.first(one.call, FUNCTIONS, QUEUE)
                if public >= 0:
                    moves[one.call.number] = public
                    continue
            busy += self._cpu[one.call.workload] * self._takes(one.call, view)
        return moves

    def _takes(self, call: Call, view: View) -> float:
        return view.starts[self._home] + view.estimates[call.workload][self._home]


class HomeFirst:
    """OSCAR's order: the job stays while its cluster has room, else the policy chooses."""

    review_every = 0.0

    def __init__(self, inner: Decider, world: World, trace: Trace, name: str) -> None:
        self.name, self._inner = name, inner
        self.notes: tuple[str, ...] = ()
        self._home = next(i for i, p in enumerate(world.places) if p.spec.name == HOME)
        cpus = [float(w.service.resources.cpu) for w in trace.workloads]
        mean = sum(cpus[w] for w in trace.workload.tolist()) / len(trace)
        self._slots = float(world.places[self._home].spec.cpu or 0) / mean

    def choose(self, call: Call, view: View) -> int:
        if not view.queued[self._home] and view.running[self._home] + 1 < self._slots:
            return self._home
        return self._inner.choose(call, view)

    def review(self, waiting: Iterable[Waiting], view: View) -> Mapping[int, int]:
        return {}


def oscar(policy: str, name: str) -> Maker:
    """OSCAR as it is: its own cluster first, then among the clusters only, by that policy."""

    def make(world: World, trace: Trace, seed: int) -> Decider:
        inner = policy_maker(policy)(world, among(trace, (HOME, PARTNER)), seed)
        return HomeFirst(inner, world, trace, name)

    return make


def among(trace: Trace, targets: tuple[str, ...]) -> Trace:
    """The same trace, whose services allow only these targets."""
    return replace(
        trace,
        workloads=tuple(
            replace(
                w,
                service=replace(w.service, placement=replace(w.service.placement, targets=targets)),
            )
            for w in trace.workloads
        ),
    )


def only(target: str, name: str) -> Maker:
    return partial(Only, name=name, target=target)


def rule(kind: type[Random | LambdaBatch | Skedulix], name: str) -> Maker:
    return partial(kind, name=name)
