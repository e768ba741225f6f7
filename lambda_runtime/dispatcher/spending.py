"""What the runs of services with a budget have cost, counted in the table with their ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from bridge.dispatch.model import Change, JobRecord
from bridge.dispatch.table import Cost, JobTable
from bridge.fdl.model import Service, TargetSpec
from bridge.scheduler import Snapshot, Spent, run_cost

__all__ = ["Spending"]

_NOTHING: Final = Decimal(0)


class Spending:
    """Safe to use from several threads. Services without a budget are neither counted nor asked
    for."""

    def __init__(self, table: JobTable, clock: Callable[[], float]) -> None:
        self._table = table
        self._clock = clock

    def told(self, snapshot: Snapshot, service: Service) -> Snapshot:
        """The snapshot with what the service has spent. TemporaryError when it cannot be known."""
        if not service.placement.budget:
            return snapshot
        day, month = self._table.spent(service.name, self._clock())
        return replace(snapshot, spent={**snapshot.spent, service.name: Spent(day, month)})

    def allows(self, service: Service, cost: Decimal | None) -> bool:
        """Whether so much, in USD, is left of each of its budgets; None costs nothing."""
        budget = service.placement.budget
        if not budget or not cost:
            return True
        day, month = self._table.spent(service.name, self._clock())
        gone = {"day": day, "month": month}
        return all(gone[period] + cost <= limit for period, limit in budget.items())

    @staticmethod
    def of(
        service: Service, specs: Mapping[str, TargetSpec], job: JobRecord, change: Change
    ) -> Cost | None:
        """What the attempt has cost that ends with this change; None for nothing to count."""
        if not service.placement.budget or not (change.again or change.state.final):
            return None
        cost = sum(
            (run_cost(service, spec, seconds) for spec, seconds in _runs(specs, job, change)),
            _NOTHING,
        )
        return Cost(service.name, cost, change.at) if cost > 0 else None


def _runs(
    specs: Mapping[str, TargetSpec], job: JobRecord, change: Change
) -> Iterator[tuple[TargetSpec, float]]:
    """Target and seconds of each run of an attempt; one that was handed over has two."""
    started = job.started if change.started is None else change.started
    ended = change.at if change.ended is None else change.ended
    own: list[Mapping[str, Any]] = [{"started": started, "ended": ended}]
    for part in (change.report or {}).get("runs") or own:
        first, last = part.get("started"), part.get("ended")
        spec = _spec(specs, part.get("place", ""), job.target)
        if spec is not None and first is not None and last is not None and last > first:
            yield spec, float(last) - float(first)


def _spec(specs: Mapping[str, TargetSpec], place: str, target: str) -> TargetSpec | None:
    """The target of a run: by the kind of place that the report names, else the job's own."""
    named = (spec for spec in specs.values() if spec.kind == place)
    return next(named, None) or specs.get(target)
