"""A cluster at work: nodes, lines of pods that wait for room, an autoscaler that takes its time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from math import ceil

from bridge.simulate._floor import Floor
from bridge.simulate._machine import Ended, Machine
from bridge.simulate._spaces import EXACT, Shape, fit
from bridge.simulate.model import ClusterModel


class _Node:
    """One machine, what is free on it, and how many jobs of each shape that would take."""

    __slots__ = ("cpu", "emptied", "fits", "jobs", "memory")

    def __init__(self, model: ClusterModel, now: float, shapes: Sequence[Shape]) -> None:
        self.cpu, self.memory = model.cpu, model.memory
        self.jobs, self.emptied = 0, now
        self.fits = [0] * len(shapes)


class ClusterMachine(Machine):
    """A ClusterModel at work."""

    def __init__(self, floor: Floor, index: int, ended: Ended, model: ClusterModel) -> None:
        super().__init__(floor, index, ended)
        self._model = model
        self._most = max(model.nodes, model.most_nodes)
        self._spaces = floor.spaces
        self._nodes: list[_Node] = []
        self._add(model.nodes)
        self._on: dict[int, _Node] = {}
        self._lines: dict[Shape, list[tuple[float, int]]] = {}
        self._coming = 0

    def _add(self, count: int) -> None:
        shapes = self._spaces.shapes
        nodes = [_Node(self._model, self.clock.now, shapes) for _ in range(count)]
        self._nodes += nodes
        for node in nodes:
            self._refit(node)
        self._spaces.machines(self.index, self._model, len(self._nodes))

    def _refit(self, node: _Node) -> None:
        """Say how many jobs of each shape have room now that the node is as it is."""
        spaces, fits, at = self._spaces, node.fits, self.index
        for i, shape in enumerate(spaces.shapes):
            new = fit(node.cpu, node.memory, shape)
            if new != fits[i]:
                spaces.now[at] += new - fits[i]
                fits[i] = new
            at += spaces.targets

    def _shape(self, job: int) -> Shape:
        return self._spaces.shapes[self._spaces.shape_of[self.floor.workload[job]]]

    def never(self, job: int) -> bool:
        cpu, memory = self._shape(job)
        return not self._most or cpu > self._model.cpu + EXACT or memory > self._model.memory

    def enter(self, job: int) -> None:
        shape = self._shape(job)
        if not self._lines.get(shape) and self._seated(job, shape):
            return
        heappush(self._lines.setdefault(shape, []), (self._turn(job), job))
        self._grow()

    def _turn(self, job: int) -> float:
        if self._model.order == "deadline":
            return self.floor.due[job]
        return self.clock.now

    def _seated(self, job: int, shape: Shape) -> bool:
        """Whether a node took it: the first that has room."""
        cpu, memory = shape
        for node in self._nodes:
            if node.cpu + EXACT >= cpu and node.memory >= memory:
                node.cpu -= cpu
                node.memory -= memory
                node.jobs += 1
                self._on[job] = node
                self._refit(node)
                self.let_in(job, self.floor.drawn(job, self._model.start))
                return True
        return False

    def leave(self, job: int) -> None:
        node, (cpu, memory) = self._on.pop(job), self._shape(job)
        node.cpu += cpu
        node.memory += memory
        node.jobs -= 1
        if not node.jobs:
            node.cpu, node.memory = self._model.cpu, self._model.memory
            node.emptied = self.clock.now
            if len(self._nodes) > self._model.nodes:
                self.clock.at(self.clock.now + self._model.node_idle, self._shrink, 0)
        self._refit(node)
        self.wake()

    def wake(self) -> None:
        if self.down or not self.floor.queued[self.index]:
            return
        stuck: set[Shape] = set()
        while True:
            heads = [(line[0], s) for s, line in self._lines.items() if line and s not in stuck]
            if not heads:
                return
            (_, job), shape = min(heads)
            if self._seated(job, shape):
                heappop(self._lines[shape])
            else:
                stuck.add(shape)

    def waiting(self) -> Iterable[int]:
        return (job for line in self._lines.values() for _, job in line)

    def forget(self, job: int) -> None:
        line = self._lines[self._shape(job)]
        line[:] = [each for each in line if each[1] != job]
        heapify(line)

    def _grow(self) -> None:
        """Ask for the machines that those who wait would fill, beside those that are coming."""
        room = self._most - len(self._nodes)
        if room <= self._coming:
            return
        wanted = sum(len(line) * shape[0] for shape, line in self._lines.items())
        more = min(room, max(1, ceil(wanted / self._model.cpu - EXACT))) - self._coming
        if more > 0:
            self._coming += more
            self.clock.at(self.clock.now + self._model.node_delay, self._grown, more)

    def _grown(self, count: int) -> None:
        self._add(count)
        self._coming -= count
        self.clock.at(self.clock.now + self._model.node_idle, self._shrink, 0)
        self.wake()

    def _shrink(self, _: int) -> None:
        """Give back machines that were empty for long enough, from the last."""
        since = self.clock.now - self._model.node_idle + EXACT
        for node in reversed(self._nodes):
            if len(self._nodes) <= self._model.nodes:
                return
            if not node.jobs and node.emptied <= since:
                self._nodes.remove(node)
                node.cpu = node.memory = -1.0
                self._refit(node)
                self._spaces.machines(self.index, self._model, len(self._nodes))
