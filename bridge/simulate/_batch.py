"""AWS Batch at work: submits one after the other, a long start, machines that may be taken away."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf

from bridge.simulate._floor import Floor
from bridge.simulate._machine import Ended, Machine
from bridge.simulate.model import BatchModel

_EXACT = 1e-9  # vCPUs: a sum of fractions is not exact


class BatchMachine(Machine):
    """A BatchModel at work."""

    def __init__(self, floor: Floor, index: int, ended: Ended, model: BatchModel) -> None:
        super().__init__(floor, index, ended)
        self._model = model
        self._gate = 0.0
        self._starting: dict[int, int] = {}  # by a number of its own: a job may come twice
        self._submits = 0
        self._line: deque[int] = deque()
        self._most = inf if model.vcpus is None else model.vcpus
        self._busy = 0.0
        self._cpus = [float(w.service.resources.cpu) for w in floor.trace.workloads]

    def _cpu(self, job: int) -> float:
        return self._cpus[self.floor.workload[job]]

    def never(self, job: int) -> bool:
        return self._cpu(job) > self._most

    def enter(self, job: int) -> None:
        submitted = max(self.clock.now, self._gate)
        self._gate = submitted + 1.0 / self._model.submit_rate
        self._submits += 1
        self._starting[self._submits] = job
        start = self.floor.drawn(job, self._model.start)
        self.clock.at(submitted + start, self._ready, self._submits)

    def _ready(self, number: int) -> None:
        job = self._starting.pop(number, None)
        if job is not None:  # it may have been withdrawn
            self._line.append(job)
            self.wake()

    def wake(self) -> None:
        while self._line and not self.down:
            cpu = self._cpu(self._line[0])
            if self._busy + cpu > self._most + _EXACT:
                return
            self._busy += cpu
            self.let_in(self._line.popleft(), 0.0, paid_start=self._model.billed_start)

    def leave(self, job: int) -> None:
        self._busy -= self._cpu(job)
        self.wake()

    def waiting(self) -> Iterable[int]:
        yield from self._starting.values()
        yield from self._line

    def forget(self, job: int) -> None:
        if job in self._line:
            self._line.remove(job)
        else:
            del self._starting[next(n for n, each in self._starting.items() if each == job)]

    def cut(self, seconds: float) -> float:
        if not self._model.interruptions:
            return inf
        return self.floor.more_luck.expovariate(self._model.interruptions / 3600)
