"""What all targets of a simulation share: the clock, and what is known of each invocation.

Compact arrays of the standard library, because one element is read and written at a time; numpy
reads them in place at the end.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable
from heapq import heappop, heappush
from math import exp, inf, isinf, nan

import numpy as np

from bridge.scheduler.bills import Bill, bill_of
from bridge.simulate._spaces import Spaces
from bridge.simulate.model import Floats, Setting, Spread, Trace, World

Action = Callable[[int], None]


class Clock:
    """What happens next. Of two things at one time, the one that was planned first comes first.

    What is done again and again, whether anything happens or not, is kept apart.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._seq = 0
        self._heap: list[tuple[float, int, Action, int]] = []
        self._ticks: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, time: float, action: Action, about: int) -> None:
        """Have `action(about)` called at that time; one that is past comes next."""
        self._seq += 1
        heappush(self._heap, (time, self._seq, action, about))

    def tick(self, time: float, action: Callable[[], None]) -> None:
        """The same for what is no reason to go on: a measurement, a review."""
        self._seq += 1
        heappush(self._ticks, (time, self._seq, action))

    @property
    def quiet(self) -> bool:
        """Whether nothing will happen any more."""
        return not self._heap or isinf(self._heap[0][0])

    def until(self, time: float) -> None:
        """Do all that comes up to that time, which it then is."""
        heap, ticks = self._heap, self._ticks
        while (heap and heap[0][0] <= time) or (ticks and ticks[0][0] <= time):
            self.step()
        self.now = time

    def step(self) -> None:
        """Do the next thing."""
        heap, ticks = self._heap, self._ticks
        if ticks and (not heap or ticks[0][:2] < heap[0][:2]):
            time, _, tick = heappop(ticks)
            self.now = max(self.now, time)
            tick()
        else:
            time, _, action, about = heappop(heap)
            if time > self.now:  # noqa: PLR1730 - the hottest loop: a call costs more
                self.now = time
            action(about)


class Floor:
    """The invocations (jobs, by index) and what has become of each so far."""

    def __init__(self, world: World, trace: Trace, setting: Setting) -> None:
        count = len(trace)
        self.world, self.trace, self.clock = world, trace, Clock()
        self.workload = array("i", trace.workload.astype(np.int32).tobytes())
        self.run = array("d", trace.run.tobytes())
        self.size = array("d", trace.size.tobytes())
        self.arrival = array("d", [nan]) * count
        self.start = array("d", [nan]) * count
        self.end = array("d", [nan]) * count
        self.cost = array("d", [0.0]) * count
        self.due = array("d", [inf]) * count
        self.target = array("i", [-1]) * count
        self.attempts = array("i", [0]) * count
        self.cold = array("b", [0]) * count
        self.done = array("b", [0]) * count
        places = len(world.places)
        self.running = array("q", [0]) * places
        self.queued = array("q", [0]) * places
        # The same luck for every policy: it belongs to the invocation, not to the order of events.
        luck = np.random.default_rng(setting.seed)
        self._normal = array("d", luck.standard_normal(count).tobytes())
        self._uniform = array("d", luck.random(count).tobytes())
        self.more_luck = random.Random(setting.seed)  # noqa: S311 - no secret depends on it
        self.spaces = Spaces(world, trace)
        self.limits = [w.service.timeout or inf for w in trace.workloads]
        self._bills: list[Bill | None] = [None] * (len(trace.workloads) * places)

    def drawn(self, job: int, spread: Spread) -> float:
        """The time that this job meets, of those that vary so."""
        if not spread.sigma:
            return spread.median
        first = self.attempts[job] == 1
        luck = self._normal[job] if first else self.more_luck.gauss(0.0, 1.0)
        return min(spread.median * exp(spread.sigma * luck), spread.most)

    def fails(self, job: int, share: float) -> bool:
        """Whether this run of the job is one of that share that fails."""
        if not share:
            return False
        first = self.attempts[job] == 1
        return (self._uniform[job] if first else self.more_luck.random()) < share

    def bill(self, workload: int, place: int) -> Bill:
        """How a workload is charged on a target."""
        key = workload * len(self.running) + place
        found = self._bills[key]
        if found is None:
            service = self.trace.workloads[workload].service
            found = bill_of(service, self.world.places[place].spec, self.world.prices)
            self._bills[key] = found
        return found


def floats(values: array[float]) -> Floats:
    """The same numbers for numpy, in place."""
    return np.frombuffer(values, dtype=np.float64)
