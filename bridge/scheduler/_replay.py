"""What another policy would have done with jobs that were placed: history decided again.

Each decision is taken again by itself, on what was known when it was taken. What other choices
would have done to the queues after it is not in this; a simulation has that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, NamedTuple

from bridge.errors import PlacementError
from bridge.fdl.model import Service
from bridge.scheduler._constraints import in_time
from bridge.scheduler._decide import decide
from bridge.scheduler._given import cause_in, snapshot_in
from bridge.scheduler._json import from_json
from bridge.scheduler._offers import run_cost
from bridge.scheduler._policies import policy_named
from bridge.scheduler._trials import instead_of
from bridge.scheduler.model import Decision, Instead

_FREE: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Actual:
    """What became of a job: seconds from its event until it ran and until it was over, None while
    that is not known, and between the two. `failed` when it is over and has not succeeded.
    `start`, `script` and `transfer` are the parts that decisions foretell: from the submit until it
    ran, the script itself, and moving data."""

    target: str = ""
    wait: float | None = None
    seconds: float | None = None
    failed: bool = False
    start: float | None = None
    script: float | None = None
    transfer: float | None = None

    @property
    def run(self) -> float | None:
        """Seconds that it ran."""
        if self.seconds is None or self.wait is None:
            return None
        return max(self.seconds - self.wait, 0.0)


@dataclass(frozen=True, slots=True)
class Past:
    """A job's decision as it was stored, and what became of the job.

    The decision was taken `gone` seconds after the event: its deadline was that much nearer.
    """

    job: str
    decision: Mapping[str, Any]
    actual: Actual = Actual()
    gone: float = 0.0


@dataclass(slots=True)
class Figures:
    """Sums over `jobs` that found a target: seconds until they ran and were over, USD, and how many
    missed their deadline. `unplaced` found none; `failed` only counts what has happened."""

    jobs: int = 0
    wait: float = 0.0
    seconds: float = 0.0
    cost: Decimal = _FREE
    misses: int = 0
    unplaced: int = 0
    failed: int = 0


@dataclass(slots=True)
class Comparison:
    """One policy beside another over the same jobs.

    `role` is `replay` for a policy that history was decided again with, `shadow` for one that was
    asked on live jobs, `canary` for one that decided some of them: `policy` is the one on trial,
    `taken` what the decisions that counted predicted, `other` what the policy beside them did.
    `actual` is what became of the jobs, as far as it is known, and of those of `elsewhere`, which
    the other policy would have sent somewhere else, the moves by number.
    """

    role: str
    policy: str
    jobs: int = 0
    elsewhere: int = 0
    taken: Figures = field(default_factory=Figures)
    other: Figures = field(default_factory=Figures)
    actual: Figures = field(default_factory=Figures)
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass(slots=True)
class Report:
    """Comparisons, how jobs ended by the policy that decided them and whether it was on trial, and
    why decisions were left out, by number."""

    jobs: int = 0
    comparisons: list[Comparison] = field(default_factory=list)
    ended: dict[tuple[str, str], Figures] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)


class _Ended(NamedTuple):
    actual: Actual
    cost: Decimal
    late: bool


def replay(history: Iterable[Past], services: Mapping[str, Service], policy: str = "") -> Report:
    """Decide all of it again under `policy`, and compare what was on trial at the time.

    Without a policy there are only the trials. `services` are as they are now, by name: they say
    what is allowed, and the deadline. Costs are list prices of today. The seeds are those of then,
    so the policy that had decided decides the same. Decisions that say too little, and those of
    services that are not there any more, are left out and counted. PlacementError for a policy
    that does not exist.
    """
    if policy:
        policy_named(policy)
    report = Report()
    rows: dict[tuple[str, str], Comparison] = {}
    for past in history:
        try:
            decision = from_json(past.decision)
            service = services.get(decision.service)
            if service is None:
                raise PlacementError(f"the service {decision.service} is not there any more")
            then = in_time(service, past.gone)
            again = _again(then, decision, past.decision, policy) if policy else None
        except PlacementError as error:
            report.left_out[error.message] += 1
            continue
        report.jobs += 1
        late = past.actual.seconds is not None and _misses(service, past.actual.seconds)
        actual = _Ended(past.actual, _paid(decision, service, past.actual), late)
        _add_actual(report.ended.setdefault((decision.policy, decision.trial), Figures()), actual)
        found = [("replay", policy, instead_of(again, "shadow"))] if again is not None else []
        found += [_trial(decision, one) for one in decision.instead]
        for role, name, other in found:
            row = rows.setdefault((role, name), Comparison(role, name))
            _compare(row, instead_of(decision, "primary"), other, then, actual)
    report.comparisons = list(rows.values())
    return report


def _again(
    service: Service, decision: Decision, stored: Mapping[str, Any], policy: str
) -> Decision:
    snapshot, cause = snapshot_in(stored), cause_in(stored)
    return decide(service, cause, snapshot, policy=policy, seed=decision.seed)


def _trial(decision: Decision, other: Instead) -> tuple[str, str, Instead]:
    if other.role == "primary":
        return "canary", decision.policy, other
    return "shadow", other.policy, other


def _compare(
    row: Comparison, taken: Instead, other: Instead, service: Service, actual: _Ended
) -> None:
    row.jobs += 1
    _add(row.taken, taken, service)
    _add(row.other, other, service)
    _add_actual(row.actual, actual)
    if taken.target != other.target:
        row.elsewhere += 1
        row.moves[taken.target, other.target] += 1


def _add(figures: Figures, said: Instead, service: Service) -> None:
    if not said.target:
        figures.unplaced += 1
        return
    figures.jobs += 1
    figures.wait += said.wait
    figures.seconds += said.finish
    figures.cost += said.cost
    figures.misses += _misses(service, said.finish)


def _add_actual(figures: Figures, ended: _Ended) -> None:
    """A job that is not over, or never ran, has no time that could be compared."""
    actual = ended.actual
    figures.failed += actual.failed
    if actual.seconds is None or actual.wait is None:
        return
    figures.jobs += 1
    figures.wait += actual.wait
    figures.seconds += actual.seconds
    figures.cost += ended.cost
    figures.misses += ended.late


def _paid(decision: Decision, service: Service, actual: Actual) -> Decimal:
    """What a job that ran for so long costs at list prices, with its data as it was foreseen."""
    states = decision.snapshot.targets if decision.snapshot else ()
    state = next((one for one in states if one.spec.name == actual.target), None)
    if state is None or actual.run is None:
        return _FREE
    offers = (one.offer for one in decision.candidates)
    data = sum((one.egress for one in offers if one.target == actual.target), _FREE)
    return run_cost(service, state.spec, actual.run) + data


def _misses(service: Service, seconds: float) -> bool:
    deadline = service.placement.deadline
    return deadline is not None and seconds > deadline
