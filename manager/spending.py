"""What the runs of services have cost at list prices, by owner."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from bridge.dispatch import JobStore, Usage
from bridge.fdl.model import TargetSpec
from bridge.scheduler import Estimate, TargetState, offer
from manager.service import Deployed

__all__ = ["Spending", "cost_of"]

# Seconds that a sum serves: it looks through all jobs of the month.
_FRESH: Final = 30.0


def cost_of(one: Deployed, spec: TargetSpec, used: Usage) -> Decimal:
    """Runs of a service on a target in USD, each as one of their mean length."""
    runs = {one.name: Estimate(used.seconds / used.runs, 1.0)}
    said = offer(replace(one.service, pin=spec.name), None, TargetState(spec, runs=runs))
    return said.cost * used.runs


class Spending:
    """What each owner's runs have cost this day and this month of UTC. Thread-safe.

    Runs that are over count, by when their jobs were accepted, as of half a minute ago; those of a
    service that was deleted do not.
    """

    def __init__(
        self,
        jobs: JobStore,
        services: Callable[[], Mapping[str, Deployed]],
        specs: Callable[[], Iterable[TargetSpec]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._jobs = jobs
        self._services = services
        self._specs = specs
        self._clock = clock
        self._lock = threading.Lock()
        self._summed = -_FRESH
        self._sums: tuple[Mapping[str, Decimal], Mapping[str, Decimal]] = {}, {}

    def of(self, uid: str) -> tuple[Decimal, Decimal]:
        """What the user's runs have cost today and this month."""
        with self._lock:
            if (now := self._clock()) - self._summed >= _FRESH:
                begin = datetime.fromtimestamp(now, UTC)
                today = begin.replace(hour=0, minute=0, second=0, microsecond=0)
                self._sums = self._since(today, now), self._since(today.replace(day=1), now)
                self._summed = now
            day, month = self._sums
        return day.get(uid, Decimal(0)), month.get(uid, Decimal(0))

    def _since(self, begin: datetime, now: float) -> Mapping[str, Decimal]:
        found: defaultdict[str, Decimal] = defaultdict(Decimal)
        services, specs = self._services(), {spec.name: spec for spec in self._specs()}
        for used in self._jobs.usage(begin.timestamp(), now):
            one, spec = services.get(used.service), specs.get(used.target)
            if used.runs and one is not None and spec is not None:
                found[one.owner] += cost_of(one, spec, used)
        return found
