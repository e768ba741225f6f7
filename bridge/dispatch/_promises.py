"""What jobs under way will cost, so that a burst does not spend a budget many times over."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from bridge.dispatch.model import JobEvent
from bridge.scheduler import Spent

__all__ = ["Promises"]

# What a job has cost is learned some time after its end: until then its promise stands.
_STANDS: Final = 5.0
_NOTHING: Final = Decimal(0)


class Promises:
    """USD by service and by who pays, of the jobs that this process has placed.

    Any thread may call `heard`, one at a time the others.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[str, str, Decimal]] = {}
        self._services: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._owners: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._ended: deque[tuple[float, str]] = deque()

    def make(self, job: str, service: str, owner: str, cost: Decimal) -> None:
        """The job was placed where it costs so much."""
        self._drop(job)
        if cost:
            self._jobs[job] = service, owner, cost
            self._services[service] += cost
            self._owners[owner] += cost

    def heard(self, news: Sequence[JobEvent], now: float) -> None:
        """Jobs are over: what they promised stands for a while."""
        if self._jobs:
            self._ended.extend((now, event.job) for event in news if event.state.final)

    def added(self, spent: Spent, service: str, owner: str, now: float) -> Spent:
        """What was spent, with what is promised."""
        self.settle(now)
        own = self._services.get(service, _NOTHING)
        all_ = self._owners.get(owner, _NOTHING) if owner else _NOTHING
        if not own and not all_:
            return spent
        return replace(
            spent,
            day=spent.day + own,
            month=spent.month + own,
            owner_day=spent.owner_day + all_,
            owner_month=spent.owner_month + all_,
        )

    def settle(self, now: float) -> None:
        """Forget the promises of jobs that have been over for long enough."""
        while self._ended and not 0 <= now - self._ended[0][0] < _STANDS:
            self._drop(self._ended.popleft()[1])

    def _drop(self, job: str) -> None:
        if (made := self._jobs.pop(job, None)) is not None:
            service, owner, cost = made
            self._services[service] -= cost
            self._owners[owner] -= cost
