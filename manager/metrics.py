"""What services were asked for and what they used, as OSCAR's dashboard shows it.

Figures come from the records of jobs and from the log of calls; what neither can know is 0, and
`sources` says so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, cast

from bridge.dispatch import Usage
from bridge.errors import UsageError
from manager.access import may_see, owns
from manager.auth import Caller
from manager.calls import exact, rfc3339
from manager.core import Manager
from manager.service import Deployed

__all__ = [
    "METRICS",
    "Grouping",
    "Window",
    "breakdown",
    "read_grouping",
    "read_window",
    "service_metric",
    "service_metrics",
    "shown_usage",
    "summary",
    "table",
]

Grouping = Literal["service", "user", "country"]
_GROUPINGS: Final = ("service", "user", "country")
_DAY: Final = 24 * 3600.0
_RUN: Final = "/run/"
_NOBODY: Final = ("", "nil")

METRICS: Final = {
    "cpu-hours": "hours",
    "gpu-hours": "hours",
    "requests-sync-per-service": "",
    "requests-async-per-service": "",
    "requests-exposed-per-service": "",
    "users-per-service": "",
}
"""What is said of one service, with its unit."""

_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "service": (
        "key",
        "requests_count_total",
        "requests_count_sync",
        "requests_count_async",
        "requests_count_exposed",
        "unique_users_count",
        "countries",
    ),
    "user": ("key", "executions_count", "countries"),
    "country": ("key", "requests_count_total"),
}


@dataclass(frozen=True, slots=True)
class Window:
    """A time, in seconds since the epoch; both ends are in it."""

    start: float
    end: float

    def as_json(self) -> dict[str, str]:
        """Its ends, as Go writes times."""
        return {"start": exact(self.start), "end": exact(self.end)}


@dataclass(slots=True)
class _Figures:
    """What is counted of a service or a user. Times in hours."""

    synchronous: int = 0
    asynchronous: int = 0
    cpu: float = 0.0
    gpu: float = 0.0
    users: set[str] = field(default_factory=set)

    @property
    def requests(self) -> int:
        return self.synchronous + self.asynchronous


def read_window(start: str, end: str, now: float) -> Window:
    """The time that a client asks for, by default the last day; UsageError for what is none."""
    until = _moment("end", end) if end else now
    since = _moment("start", start) if start else until - _DAY
    if until < since:
        raise UsageError("end is before start")
    return Window(since, until)


def _moment(name: str, text: str) -> float:
    try:
        # In a query, a plus that is not escaped comes as a blank.
        found = datetime.fromisoformat(text.replace(" ", "+"))
        if found.tzinfo is None or "T" not in text.upper():
            raise ValueError
        if (at := found.timestamp()) < _DAY:
            raise ValueError
    except (ValueError, OverflowError):
        raise UsageError(f"{name} must be a time like 2026-01-31T12:00:00Z") from None
    return at


def read_grouping(group_by: str, form: str, *, users: bool) -> Grouping:
    """What a breakdown is by; UsageError for a query that makes no sense."""
    if group_by not in _GROUPINGS:
        raise UsageError(f"group_by must be one of {', '.join(_GROUPINGS)}")
    if form not in ("", "json", "csv"):
        raise UsageError("format must be json or csv")
    if form == "csv" and users:
        raise UsageError("include_users and csv do not go together")
    return cast("Grouping", group_by)


def shown_usage(manager: Manager, caller: Caller, window: Window) -> list[Usage]:
    """The usage that the caller may see: of his services, and his own of those he shares.

    A service of the same name that was there before is another one, and perhaps another's.
    """
    jobs, fresh = manager.parts.jobs, _created_since(manager, window.start)
    every = jobs.usage(window.start, window.end)
    used = [one for one in every if one.service not in fresh]
    for name in sorted({one.service for one in every} & fresh.keys()):
        used += jobs.usage(fresh[name].created, window.end, service=name)
    return [one for one in used if _is_shown(manager, caller, one.service, one.caller)]


def _created_since(manager: Manager, at: float) -> dict[str, Deployed]:
    return {one.name: one for one in manager.services() if one.created > at}


def _is_shown(manager: Manager, caller: Caller, service: str, user: str) -> bool:
    one = manager.find(service)
    if one is None:
        return caller.admin
    return owns(caller, one) or (user == caller.uid and may_see(caller, one))


def _by_service(manager: Manager, caller: Caller, window: Window) -> dict[str, _Figures]:
    return _counted(manager, caller, window, lambda service, _: service)


def _counted(
    manager: Manager, caller: Caller, window: Window, key: Callable[[str, str], str]
) -> dict[str, _Figures]:
    """The figures by what `key` makes of a service and a user."""
    found: dict[str, _Figures] = {}
    for used in shown_usage(manager, caller, window):
        one = found.setdefault(key(used.service, used.caller), _Figures())
        one.asynchronous += used.jobs
        one.users |= {used.caller} - {*_NOBODY}
        _add_hours(one, manager.find(used.service), used.seconds / 3600)
    for service, user in _calls(manager, window):
        if _is_shown(manager, caller, service, user):
            one = found.setdefault(key(service, user), _Figures())
            one.synchronous += 1
            one.users |= {user} - {*_NOBODY}
    return found


def _add_hours(figures: _Figures, one: Deployed | None, hours: float) -> None:
    if one is not None:
        figures.cpu += hours * float(one.service.resources.cpu)
        figures.gpu += hours * one.service.resources.gpu


def _calls(manager: Manager, window: Window) -> Iterator[tuple[str, str]]:
    """Service and user of each synchronous call that came to a service."""
    for entry in manager.calls.newest():
        came = entry.path.startswith(_RUN) and entry.user != "nil"
        if came and window.start <= entry.at <= window.end:
            name = entry.path.removeprefix(_RUN)
            one = manager.find(name)
            if one is None or entry.at >= one.created:
                yield name, entry.user


def _sources(manager: Manager) -> list[dict[str, str]]:
    now = rfc3339(datetime.now(UTC).timestamp())
    since = rfc3339(manager.calls.began)
    return [
        {
            "name": "jobs",
            "status": "ok",
            "last_updated": now,
            "notes": "jobs accepted in that time; hours are those of each job's last attempt, with"
            " the cpu and gpu that its service has now, and none for a service that is deleted;"
            " uploads have no user",
        },
        {
            "name": "calls",
            "status": "ok",
            "last_updated": now,
            "notes": f"synchronous calls since {since}, when this manager began, the newest"
            f" {manager.calls.kept} at most; their hours are not known",
        },
        {
            "name": "exposed",
            "status": "missing",
            "notes": "requests to exposed services do not pass the manager: 0 is not known",
        },
        {
            "name": "countries",
            "status": "missing",
            "notes": "where requests come from is not looked up: no country is known",
        },
    ]


_OF: Final = {
    "cpu-hours": ("jobs",),
    "gpu-hours": ("jobs",),
    "requests-sync-per-service": ("calls",),
    "requests-async-per-service": ("jobs",),
    "requests-exposed-per-service": ("exposed",),
    "users-per-service": ("jobs", "calls"),
}


def _sources_of(metric: str, sources: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    return [one for one in sources if one["name"] in _OF[metric]]


def summary(manager: Manager, caller: Caller, window: Window) -> dict[str, Any]:
    """All that the caller may see, together."""
    found = _by_service(manager, caller, window)
    seen = {one.name for one in manager.services() if may_see(caller, one)}
    users = sorted(set().union(*(one.users for one in found.values())))
    totals = {
        "services_count_active": len(seen & found.keys()),
        "services_count_total": len(seen),
        "cpu_hours_total": _rounded(sum(one.cpu for one in found.values())),
        "gpu_hours_total": _rounded(sum(one.gpu for one in found.values())),
        "requests_count_total": sum(one.requests for one in found.values()),
        "requests_count_sync": sum(one.synchronous for one in found.values()),
        "requests_count_async": sum(one.asynchronous for one in found.values()),
        "requests_count_exposed": 0,
        "countries_count": 0,
        "countries": [],
        "users_count": len(users),
        "users": users,
    }
    return window.as_json() | {"totals": totals, "sources": _sources(manager)}


def breakdown(
    manager: Manager, caller: Caller, window: Window, by: Grouping, *, users: bool
) -> dict[str, Any]:
    """The same by service or by user; there is no country that is known."""
    items: list[dict[str, Any]] = []
    if by == "service":
        found = _by_service(manager, caller, window)
        items = [_service_item(key, found[key], users=users) for key in sorted(found)]
    elif by == "user":
        found = _counted(manager, caller, window, lambda _, user: user)
        items = [_user_item(key, found[key]) for key in sorted(found) if key not in _NOBODY]
    return window.as_json() | {"group_by": by, "items": items}


def _service_item(key: str, found: _Figures, *, users: bool) -> dict[str, Any]:
    item: dict[str, Any] = {
        "key": key,
        "requests_count_total": found.requests,
        "requests_count_sync": found.synchronous,
        "requests_count_async": found.asynchronous,
        "requests_count_exposed": 0,
        "unique_users_count": len(found.users),
    }
    return item | ({"users": sorted(found.users)} if users else {}) | {"countries": []}


def _user_item(key: str, found: _Figures) -> dict[str, Any]:
    return {"key": key, "executions_count": found.requests, "countries": []}


def table(found: dict[str, Any]) -> str:
    """A breakdown as CSV, its first line the names of the columns."""
    text = io.StringIO()
    columns = _COLUMNS[found["group_by"]]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for item in found["items"]:
        writer.writerow(item | {"countries": _countries(item["countries"])})
    return text.getvalue()


def _countries(found: Sequence[dict[str, Any]]) -> str:
    return "|".join(f"{one['country']}:{one['request_count']}" for one in found)


def service_metrics(
    manager: Manager, caller: Caller, one: Deployed, window: Window
) -> dict[str, Any]:
    """All metrics of one service."""
    values, sources = _values(manager, caller, one, window), _sources(manager)
    metrics = [_metric(name, values[name], sources) for name in METRICS]
    return {"service_name": one.name, **window.as_json(), "metrics": metrics}


def service_metric(
    manager: Manager, caller: Caller, one: Deployed, window: Window, metric: str
) -> dict[str, Any]:
    """One metric of one service; UsageError for a name that is none."""
    if metric not in METRICS:
        raise UsageError(f"metric must be one of {', '.join(METRICS)}")
    value = _values(manager, caller, one, window)[metric]
    rest = _metric(metric, value, _sources(manager))
    return {"service_id": one.name, "metric": rest.pop("metric"), **window.as_json(), **rest}


def _metric(name: str, value: float, sources: Iterable[dict[str, str]]) -> dict[str, Any]:
    unit = {"unit": METRICS[name]} if METRICS[name] else {}
    return {"metric": name, "value": value, **unit, "sources": _sources_of(name, sources)}


def _values(manager: Manager, caller: Caller, one: Deployed, window: Window) -> dict[str, float]:
    found = _by_service(manager, caller, window).get(one.name, _Figures())
    return {
        "cpu-hours": _rounded(found.cpu),
        "gpu-hours": _rounded(found.gpu),
        "requests-sync-per-service": found.synchronous,
        "requests-async-per-service": found.asynchronous,
        "requests-exposed-per-service": 0,
        "users-per-service": len(found.users),
    }


def _rounded(hours: float) -> float:
    return round(hours, 6)
