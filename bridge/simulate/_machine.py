"""A target at work: what every kind of target does with the jobs it is given.

A job is handed in, waits until the kind of target lets it in, and holds its room until it has
ended: start, input, script, outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from math import inf
from typing import NamedTuple

from bridge.scheduler.bills import Bill
from bridge.simulate._floor import Floor
from bridge.simulate._links import SharedLink

Ended = Callable[[int, bool], None]


class _Run(NamedTuple):
    """A job that was let in: when it is up, the seconds of its start that it pays, its bill."""

    job: int
    up: float
    paid_start: float
    bill: Bill


class Machine(ABC):
    """One target. `ended(job, well)` is called once for each job that was handed in and not
    withdrawn."""

    def __init__(self, floor: Floor, index: int, ended: Ended) -> None:
        self.floor, self.clock, self.index = floor, floor.clock, index
        self.place = floor.world.places[index]
        self.down = False
        self.limits = floor.limits
        """Seconds, by workload, after which the input and the script of a job are killed."""
        self._ended = ended
        self._runs: dict[int, _Run] = {}  # by a number of its own: a job may come twice
        self._count = 0
        self._link = self.place.link
        self._shared: SharedLink | None = None
        if self._link is not None and self._link.shared:
            self._shared = SharedLink(self.clock, self._link.bandwidth)
        for begin, end in self.place.down:
            self.clock.at(begin, self._goes_down, index)
            self.clock.at(end, self._comes_up, index)

    @abstractmethod
    def enter(self, job: int) -> None:
        """Take a job that may have to wait; `let_in` when it need not any more."""

    @abstractmethod
    def leave(self, job: int) -> None:
        """The job's room is free."""

    @abstractmethod
    def wake(self) -> None:
        """Let in who can be."""

    @abstractmethod
    def waiting(self) -> Iterable[int]:
        """The jobs that wait and can be withdrawn."""

    @abstractmethod
    def forget(self, job: int) -> None:
        """Drop a waiting job."""

    def never(self, job: int) -> bool:
        """Whether the job is larger than anything here will be."""
        return False

    def cut(self, seconds: float) -> float:
        """When a run of so many seconds is broken off by the target; infinite when it is not."""
        return inf

    def submit(self, job: int) -> None:
        """Take a job. It has failed when it cannot run here, or the target is down."""
        bill = self.floor.bill(self.floor.workload[job], self.index)
        if self.down or bill.reasons or self.never(job):
            self._ended(job, False)
            return
        self.floor.queued[self.index] += 1
        self.enter(job)

    def withdraw(self, job: int) -> None:
        """Give up a job that waits: it goes to another target."""
        self.floor.queued[self.index] -= 1
        self.forget(job)

    def let_in(
        self, job: int, start: float, *, cold: bool = False, paid_start: float = 0.0
    ) -> None:
        """The job has room: it is up after `start` seconds, and pays for `paid_start` of them."""
        floor = self.floor
        floor.queued[self.index] -= 1
        floor.running[self.index] += 1
        floor.cold[job] = cold
        self._count += 1
        up = self.clock.now + start
        bill = floor.bill(floor.workload[job], self.index)
        run = self._runs[self._count] = _Run(job, up, paid_start, bill)
        if self._shared is not None:
            self.clock.at(up, self._fetch, self._count)
        else:
            self._go(self._count, run)

    def _go(self, number: int, run: _Run) -> None:
        """All of the run at once: nothing that happens elsewhere changes it."""
        job, up, _, bill = run
        floor, place, link = self.floor, self.place, self._link
        size = floor.size[job]
        inward = size * bill.inward if link is None else size / link.bandwidth
        floor.start[job] = up + inward
        seconds = inward + floor.run[job] * place.slowness
        well, limit = True, self.limits[floor.workload[job]]
        if seconds > limit:
            well, seconds = False, limit
        elif bill.outward:
            seconds += size * bill.outward if link is None else size / link.bandwidth
        broken = self.cut(seconds)
        if broken < seconds:
            well, seconds = False, broken
        well = well and not floor.fails(job, place.failures)
        self.clock.at(up + seconds, self._well if well else self._failed, number)

    def _fetch(self, number: int) -> None:
        if number in self._runs and self._shared is not None:
            self._shared.send(number, self.floor.size[self._runs[number].job], self._script)

    def _script(self, number: int) -> None:
        run, floor, clock = self._runs.get(number), self.floor, self.clock
        if run is None:
            return
        floor.start[run.job] = clock.now
        seconds = floor.run[run.job] * self.place.slowness
        limit = self.limits[floor.workload[run.job]]
        left = max(limit - (clock.now - run.up), 0.0)
        ends = min(left, self.cut(seconds))
        if ends < seconds:
            clock.at(clock.now + ends, self._failed, number)
        elif floor.fails(run.job, self.place.failures):
            clock.at(clock.now + seconds, self._failed, number)
        else:
            clock.at(clock.now + seconds, self._store, number)

    def _store(self, number: int) -> None:
        run = self._runs.get(number)
        if run is None:
            return
        if self._shared is not None and run.bill.outward:
            self._shared.send(number, self.floor.size[run.job], self._well)
        else:
            self._well(number)

    def _well(self, number: int) -> None:
        self._over(number, well=True)

    def _failed(self, number: int) -> None:
        self._over(number, well=False)

    def _over(self, number: int, *, well: bool) -> None:
        run = self._runs.pop(number, None)
        if run is None:
            return
        floor, (job, up, paid_start, bill) = self.floor, run
        seconds = max(self.clock.now - up, 0.0) + paid_start
        moved = bill.byte_in + bill.byte_out if well else bill.byte_in
        floor.cost[job] += bill.cost(seconds) + floor.size[job] * moved
        floor.running[self.index] -= 1
        self.leave(job)
        self._ended(job, well)

    def _goes_down(self, _: int) -> None:
        self.down = True
        for number in tuple(self._runs):
            self._failed(number)

    def _comes_up(self, _: int) -> None:
        self.down = False
        self.wake()
