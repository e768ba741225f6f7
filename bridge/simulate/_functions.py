"""Lambda at work: environments that are made, kept warm and given up."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from bridge.simulate._floor import Floor
from bridge.simulate._machine import Ended, Machine
from bridge.simulate.model import FunctionsModel


class FunctionsMachine(Machine):
    """A FunctionsModel at work."""

    def __init__(self, floor: Floor, index: int, ended: Ended, model: FunctionsModel) -> None:
        super().__init__(floor, index, ended)
        self._model = model
        self._busy = 0
        self._line: deque[int] = deque()
        self._warm: dict[int, list[float]] = {}  # by function: when each was left, newest last
        # By function: environments that it may still add, and when that was so.
        self._allowed: dict[int, tuple[float, float]] = {}
        self.limits = [min(limit, model.timeout) for limit in floor.limits]

    def enter(self, job: int) -> None:
        if self._busy >= self._model.concurrency:
            self._line.append(job)
        else:
            self._invoke(job)

    def _invoke(self, job: int) -> None:
        """The job has its part of the concurrency; it takes a warm environment or adds one."""
        self._busy += 1
        function = self.floor.workload[job]
        warm = self._warm.get(function)
        if warm:
            left = warm.pop()
            if left + self._model.keep_alive > self.clock.now:
                self.let_in(job, self.floor.drawn(job, self._model.warm))
                return
            warm.clear()  # whoever was left before is cold as well
        wait = self._wait(function)
        if wait:
            self.clock.at(self.clock.now + wait, self._add, job)
        else:
            self._add(job)

    def _wait(self, function: int) -> float:
        """Seconds until the function may add one more environment, which is then taken."""
        model, now = self._model, self.clock.now
        rate = model.growth / model.growth_every
        before, since = self._allowed.get(function, (float(model.growth), now))
        allowed = min(before + (now - since) * rate, float(model.growth)) - 1.0
        self._allowed[function] = (allowed, now)
        return max(-allowed / rate, 0.0)

    def _add(self, job: int) -> None:
        if self.down:
            self._busy -= 1
            self._line.append(job)
            return
        start = self.floor.drawn(job, self._model.cold)
        self.let_in(job, start, cold=True, paid_start=start if self._model.cold_billed else 0.0)

    def leave(self, job: int) -> None:
        self._busy -= 1
        if not self.down:
            self._warm.setdefault(self.floor.workload[job], []).append(self.clock.now)
            self.wake()
        else:
            self._warm.clear()

    def wake(self) -> None:
        while self._line and self._busy < self._model.concurrency:
            self._invoke(self._line.popleft())

    def waiting(self) -> Iterable[int]:
        return iter(self._line)

    def forget(self, job: int) -> None:
        self._line.remove(job)
