"""What a deployed service costs: estimated from list prices, and for the runs that it had."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import fmean, median
from typing import Final

from bridge.dispatch import JobRecord
from bridge.fdl.model import Document, Service, TargetSpec
from bridge.operate.deployed import Deployed
from bridge.scheduler import Estimate, Offer, TargetState, list_prices, offer
from bridge.targets.aws.definitions import batch_side

__all__ = ["CostReport", "RunCost", "TargetCost", "cost_of"]

_AWS: Final = ("lambda", "batch")
_BOTH: Final = "lambda-batch"
_HANDED: Final = "runs"
ASSUMPTIONS: Final = (
    "on-demand list prices of the first tier; no free tier, savings plan, spot or other discount",
    "not counted: requests and storage of S3, logs, queues, the dispatcher, NAT and idle machines",
    "a run on Batch is priced as Fargate of its size, with the usual billed start",
)


@dataclass(frozen=True, slots=True)
class TargetCost:
    """One job on one target, in USD. `seconds` it runs; `runs` is how many were measured.

    `notes` say what the numbers rest on.
    """

    target: str
    kind: str
    feasible: bool
    seconds: float
    cost: Decimal
    runs: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunCost:
    """One run that was measured. `seconds` are those of the supervisor; the cost is in USD."""

    job: str
    target: str
    seconds: float
    cost: Decimal
    ended: float


@dataclass(frozen=True, slots=True)
class CostReport:
    """Estimates by target, and the last measured runs, newest first.

    `dated` is the day of the prices, `age` the days since.
    """

    service: str
    region: str
    dated: str
    age: int
    targets: tuple[TargetCost, ...]
    runs: tuple[RunCost, ...]
    assumptions: tuple[str, ...] = ASSUMPTIONS

    @property
    def total(self) -> Decimal:
        """What the measured runs cost together."""
        return sum((run.cost for run in self.runs), Decimal(0))

    @property
    def median_seconds(self) -> float | None:
        """The middle one of the measured runs; None without any."""
        return median(run.seconds for run in self.runs) if self.runs else None


def cost_of(
    deployed: Deployed,
    document: Document,
    jobs: Iterable[JobRecord],
    *,
    region: str,
    today: datetime.date,
) -> CostReport:
    """The report of a deployed service, from its FDL and its jobs, newest first.

    Targets of AWS are priced in `region`, where the service is deployed. Pure.
    """
    service = document.service(deployed.service)
    specs = {
        spec.name: replace(spec, region=region)
        for spec in document.targets.values()
        if spec.kind in _AWS
    }
    ended = [job for job in jobs if job.state.final]
    runs = [run for job in ended for run in _runs(service, job, specs)]
    return CostReport(
        service.name,
        region,
        list_prices().dated,
        (today - datetime.date.fromisoformat(list_prices().dated)).days,
        tuple(
            _estimate(service, spec, [r.seconds for r in runs if r.target == spec.name])
            for spec in specs.values()
            if spec.name in deployed.targets or service.execution_mode == _BOTH
        ),
        tuple(runs),
    )


def _estimate(service: Service, spec: TargetSpec, measured: Sequence[float]) -> TargetCost:
    said = _offer(service, spec, fmean(measured) if measured else None)
    reasons = tuple(reason.sentence for reason in said.reasons)
    return TargetCost(
        spec.name,
        spec.kind,
        said.feasible,
        said.run,
        said.cost,
        len(measured),
        (*reasons, *said.notes),
    )


def _offer(service: Service, spec: TargetSpec, seconds: float | None) -> Offer:
    """What the target asks for a job, whether or not the service would be placed there now."""
    side = batch_side(service) if spec.kind == "batch" else service
    runs = {} if seconds is None else {service.name: Estimate(seconds, 1.0)}
    return offer(replace(side, pin=spec.name), None, TargetState(spec, runs=runs))


def _runs(service: Service, job: JobRecord, specs: Mapping[str, TargetSpec]) -> Iterable[RunCost]:
    """What a job's runs cost; a job that went from Lambda to Batch has two."""
    parts = job.report.get(_HANDED)
    if not isinstance(parts, list | tuple):
        parts = [{"started": job.started, "ended": job.ended}]
    for part in parts:
        spec = _spec_of(part.get("place", ""), job.target, specs)
        started, ended = part.get("started"), part.get("ended")
        if spec is None or started is None or ended is None or ended < started:
            continue
        seconds = float(ended) - float(started)
        cost = _offer(service, spec, seconds).cost
        yield RunCost(job.id, spec.name, seconds, cost, float(ended))


def _spec_of(place: str, target: str, specs: Mapping[str, TargetSpec]) -> TargetSpec | None:
    """The target of a run: by the kind of place that the report names, else the job's own."""
    own = specs.get(target)
    if not place or (own is not None and own.kind == place):
        return own
    return next((spec for spec in specs.values() if spec.kind == place), own)
