"""Why jobs are where they are, and what another policy would have done with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from bridge.dispatch import JobDetail, JobRecord, JobStore, SqliteStore
from bridge.errors import NotFoundError
from bridge.fdl.model import Service
from bridge.scheduler import Actual, Decision, Past, Report, as_json, constraints
from bridge.targets import JobState

__all__ = [
    "MOST",
    "Explanation",
    "KeptJobs",
    "actual_of",
    "explained_job",
    "explained_now",
    "history",
    "past_of",
    "report_json",
]

MOST: Final = 10_000
"""Decisions that are looked at, the newest, where nobody says otherwise."""

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decisions about a job, the last one counts; or the one that its service would get now.

    `decisions` are what `bridge.scheduler.as_json` made of them, `constraints` what the service's
    file says (empty where the service is not known any more). `job` is "" for a service; `accepted`
    is in seconds since the epoch.
    """

    service: str
    decisions: tuple[Mapping[str, Any], ...]
    constraints: Mapping[str, Any] = field(default_factory=dict)
    job: str = ""
    state: str = ""
    accepted: float | None = None
    actual: Actual = field(default_factory=Actual)

    def as_json(self) -> dict[str, Any]:
        """As JSON values; `of` reads them."""
        return {
            "service": self.service,
            "job": self.job,
            "state": self.state,
            "accepted": self.accepted,
            "actual": dataclasses.asdict(self.actual),
            "constraints": dict(self.constraints),
            "decisions": list(self.decisions),
        }

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Explanation:
        """What `as_json` wrote; what is missing is empty."""
        known = {one.name for one in dataclasses.fields(Actual)}
        actual = {name: said for name, said in (value.get("actual") or {}).items() if name in known}
        return cls(
            str(value.get("service", "")),
            tuple(value.get("decisions") or ()),
            value.get("constraints") or {},
            str(value.get("job", "")),
            str(value.get("state", "")),
            value.get("accepted"),
            Actual(**actual),
        )


def explained_job(detail: JobDetail, service: Service | None) -> Explanation:
    """Why a job went where it did. `service` is as it is now, None when it is gone."""
    job = detail.job
    return Explanation(
        job.service,
        detail.decisions,
        {} if service is None else constraints(service),
        job.id,
        job.state.value,
        job.accepted,
        actual_of(job),
    )


def explained_now(service: Service, decision: Decision) -> Explanation:
    """Why a job of the service would go where it would."""
    return Explanation(service.name, (as_json(decision),), constraints(service))


def actual_of(job: JobRecord) -> Actual:
    """What became of a job so far."""
    phases = job.report.get("phases") or {}
    moved = [phases[name] for name in ("stage_in", "stage_out") if name in phases]
    waited = job.started is None or job.submitted is None
    return Actual(
        job.target,
        None if job.started is None else max(job.started - job.accepted, 0.0),
        None if job.ended is None else max(job.ended - job.accepted, 0.0),
        job.state.final and job.state is not JobState.SUCCEEDED,
        None if waited else max((job.started or 0.0) - (job.submitted or 0.0), 0.0),
        phases.get("script"),
        sum(moved) if moved else None,
    )


def past_of(detail: JobDetail) -> Past | None:
    """A job as history, None while nothing was decided about it."""
    if not detail.decisions:
        return None
    job = detail.job
    gone = 0.0 if job.placed is None else max(job.placed - job.accepted, 0.0)
    return Past(job.id, detail.decisions[-1], actual_of(job), gone)


def history(
    newest: Iterable[JobRecord], detail: Callable[[str], JobDetail | None], since: float, limit: int
) -> Iterator[Past]:
    """The decisions about jobs that were accepted since then, of records that come newest first."""
    count = 0
    for job in newest:
        if job.accepted < since or count >= limit:
            return
        found = detail(job.id)
        past = None if found is None else past_of(found)
        if past is not None:
            count += 1
            yield past


class KeptJobs:
    """The jobs in a folder of `up --keep`, or of BRIDGE_STATE, read beside whoever works on it.

    NotFoundError when there are none.
    """

    def __init__(self, folder: Path) -> None:
        file = folder / "jobs.sqlite"
        if not file.is_file():
            raise NotFoundError(
                f"there are no jobs in {folder}", hint="it is the folder of `up --keep`"
            )
        self._file = file

    def explained(self, job: str) -> Explanation | None:
        """See `Side.explained`; of jobs only."""
        with SqliteStore(self._file) as store:
            detail = store.detail(job)
        return None if detail is None else explained_job(detail, None)

    def past(self, service: str, since: float, limit: int) -> list[Past]:
        """The newest decisions (of a service) since then."""
        with SqliteStore(self._file) as store:
            return list(history(_newest(store, service), store.detail, since, limit))


def _newest(store: JobStore, service: str) -> Iterator[JobRecord]:
    after = ""
    while page := store.jobs(service=service, newest=True, after=after, limit=_PAGE):
        yield from page
        after = page[-1].id


def report_json(report: Report, policy: str, since: float) -> dict[str, Any]:
    """A report as JSON values. Times and costs are sums over `jobs`."""
    return {
        "policy": policy,
        "since": since,
        "jobs": report.jobs,
        "comparisons": [
            {
                **{name: _plain(getattr(one, name)) for name in _ROW},
                "moves": [
                    {"from": origin, "to": target, "jobs": count}
                    for (origin, target), count in one.moves.most_common()
                ],
            }
            for one in report.comparisons
        ],
        "ended": [
            {"policy": name, "trial": trial, **_plain(figures)}
            for (name, trial), figures in report.ended.items()
        ],
        "left_out": dict(report.left_out.most_common()),
    }


_ROW: Final = ("role", "policy", "jobs", "elsewhere", "taken", "other", "actual")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(said) for name, said in dataclasses.asdict(value).items()}
    return f"{value:f}" if isinstance(value, Decimal) else value
