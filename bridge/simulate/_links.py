"""A link that all transfers of a target share: each gets the same part of it at any moment."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from bridge.simulate._floor import Clock

Then = Callable[[int], None]


class SharedLink:
    """Bytes under way. `work` counts what each of them has had since the start: who began at
    `work` w with b bytes is through at w + b, whoever else comes and goes."""

    def __init__(self, clock: Clock, bandwidth: float) -> None:
        self._clock = clock
        self._bandwidth = bandwidth
        self._under_way: list[tuple[float, int, int, Then]] = []
        self._work = 0.0
        self._since = 0.0
        self._plans = 0

    def send(self, job: int, size: float, then: Then) -> None:
        """Have `then(job)` called when so many bytes have gone through."""
        self._advance()
        self._plans += 1
        heappush(self._under_way, (self._work + size, self._plans, job, then))
        self._plan()

    def _advance(self) -> None:
        now = self._clock.now
        if self._under_way:
            self._work += (now - self._since) * self._bandwidth / len(self._under_way)
        self._since = now

    def _plan(self) -> None:
        """Wake when the next one is through, if nobody comes or goes before."""
        self._plans += 1
        if self._under_way:
            left = max(self._under_way[0][0] - self._work, 0.0)
            seconds = left * len(self._under_way) / self._bandwidth
            self._clock.at(self._clock.now + seconds, self._wake, self._plans)

    def _wake(self, plan: int) -> None:
        if plan != self._plans:
            return
        self._advance()
        through, *_ = self._under_way[0]
        self._work = max(self._work, through)
        ready = []
        while self._under_way and self._under_way[0][0] <= self._work:
            _, _, job, then = heappop(self._under_way)
            ready.append((job, then))
        self._plan()
        for job, then in ready:
            then(job)
