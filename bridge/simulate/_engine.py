"""The run: invocations come, are placed, end, and start those that follow them."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from bridge.errors import PlacementError
from bridge.simulate._batch import BatchMachine
from bridge.simulate._cluster import ClusterMachine
from bridge.simulate._floor import Floor, floats
from bridge.simulate._functions import FunctionsMachine
from bridge.simulate._machine import Ended, Machine
from bridge.simulate._news import News
from bridge.simulate.model import (
    BatchModel,
    Call,
    ClusterModel,
    Decider,
    Maker,
    Result,
    Setting,
    Trace,
    Waiting,
    World,
)


def simulate(world: World, trace: Trace, maker: Maker, setting: Setting | None = None) -> Result:
    """What becomes of every invocation of the trace when the maker's decider places them.

    A pure function of its arguments, if the decider is. PlacementError when the trace or the
    setting makes no sense, or the decider names a target that does not exist.
    """
    setting = setting or Setting()
    _check(trace)
    return _Engine(world, trace, maker(world, trace, setting.seed), setting).run()


def _check(trace: Trace) -> None:
    roots = trace.arrival[trace.parent < 0]
    times = np.concatenate([trace.arrival, trace.run, trace.size])
    if not np.isfinite(times).all() or (times < 0).any():
        raise PlacementError("the trace has a time or a size that is negative or not a number")
    if (np.diff(roots) < 0).any():
        raise PlacementError("the invocations of the trace are not in the order of their arrival")
    if (trace.parent >= np.arange(len(trace))).any():
        raise PlacementError("an invocation of the trace comes before the one that starts it")


def _machine(floor: Floor, index: int, ended: Ended) -> Machine:
    model = floor.world.places[index].model
    if isinstance(model, ClusterModel):
        return ClusterMachine(floor, index, ended, model)
    if isinstance(model, BatchModel):
        return BatchMachine(floor, index, ended, model)
    return FunctionsMachine(floor, index, ended, model)


class _Engine:
    """One run. Jobs are named by their index in the trace."""

    def __init__(self, world: World, trace: Trace, decider: Decider, setting: Setting) -> None:
        self._decider, self._setting, self._trace = decider, setting, trace
        self._floor = floor = Floor(world, trace, setting)
        self._clock = floor.clock
        self._machines = [_machine(floor, i, self._ended) for i in range(len(world.places))]
        self._news = News(floor, setting)
        self._tried: dict[int, tuple[int, ...]] = {}
        self._deadlines = [w.service.placement.deadline for w in trace.workloads]
        self._next: dict[int, list[int]] = defaultdict(list)
        for job in np.flatnonzero(trace.parent >= 0).tolist():
            self._next[int(trace.parent[job])].append(job)
        self._open = len(trace)

    def run(self) -> Result:
        """Until nothing more can happen."""
        if self._decider.review_every > 0:
            self._clock.tick(self._decider.review_every, self._review)
        clock, arrive = self._clock, self._arrive
        roots = np.flatnonzero(self._trace.parent < 0)
        times = array("d", self._trace.arrival[roots].tobytes())
        for job, time in zip(array("q", roots.tobytes()), times, strict=True):
            clock.until(time)
            arrive(job)
        while self._open and not clock.quiet:
            clock.step()
        return self._result()

    def _arrive(self, job: int) -> None:
        now, floor = self._clock.now, self._floor
        floor.arrival[job] = now
        deadline = self._deadlines[floor.workload[job]]
        if deadline is not None:
            floor.due[job] = now + deadline
        self._place(job)

    def _call(self, job: int) -> Call:
        floor = self._floor
        return Call(
            job,
            floor.workload[job],
            floor.size[job],
            floor.arrival[job],
            floor.due[job],
            floor.attempts[job],
            self._tried.get(job, ()),
        )

    def _place(self, job: int) -> None:
        self._floor.attempts[job] += 1
        target = self._decider.choose(self._call(job), self._news.view())
        if target < 0:
            self._close(job)
        else:
            self._send(job, target)

    def _send(self, job: int, target: int) -> None:
        if target >= len(self._machines):
            raise PlacementError(f"{self._decider.name} chose target {target}, which is not there")
        self._floor.target[job] = target
        self._news.placed(job, target)
        self._machines[target].submit(job)

    def _ended(self, job: int, well: bool) -> None:
        floor, setting = self._floor, self._setting
        self._news.ended(job, floor.target[job], well)
        if well:
            floor.done[job] = 1
            self._close(job)
            for follower in self._next.get(job, ()):
                pause = float(self._trace.arrival[follower])
                self._clock.at(self._clock.now + pause, self._arrive, follower)
            return
        self._tried[job] = (*self._tried.get(job, ()), floor.target[job])
        if floor.attempts[job] >= setting.attempts:
            self._close(job)
            return
        delay = setting.retry_delay * 2 ** (floor.attempts[job] - 1)
        self._clock.at(self._clock.now + delay, self._place, job)

    def _close(self, job: int) -> None:
        self._floor.end[job] = self._clock.now
        self._open -= 1
        if not self._floor.done[job]:
            self._open -= self._lost(job)

    def _lost(self, job: int) -> int:
        """How many will never come, because this one has failed."""
        return sum(1 + self._lost(follower) for follower in self._next.get(job, ()))

    def _review(self) -> None:
        self._clock.tick(self._clock.now + self._decider.review_every, self._review)
        if not any(self._floor.queued):
            return
        since = self._floor.arrival
        waiting = (
            Waiting(self._call(job), target, since[job])
            for target, machine in enumerate(self._machines)
            for job in machine.waiting()
        )
        moves = self._decider.review(waiting, self._news.view())
        for job, target in moves.items():
            origin = self._floor.target[job]
            if target != origin and 0 <= target < len(self._machines):
                self._machines[origin].withdraw(job)
                self._news.withdrawn(job, origin)
                self._send(job, target)

    def _result(self) -> Result:
        floor = self._floor
        end, due = floats(floor.end), floats(floor.due)
        done = np.frombuffer(floor.done, dtype=np.int8).astype(np.bool_)
        notes: Sequence[str] = getattr(self._decider, "notes", ())
        return Result(
            decider=self._decider.name,
            target=np.frombuffer(floor.target, dtype=np.int32),
            arrival=floats(floor.arrival),
            start=floats(floor.start),
            end=end,
            cost=floats(floor.cost),
            due=due,
            attempts=np.frombuffer(floor.attempts, dtype=np.int32),
            cold=np.frombuffer(floor.cold, dtype=np.int8).astype(np.bool_),
            done=done,
            met=done & (end <= due),
            notes=tuple(notes),
        )
