"""Rows of the job store as values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from bridge.dispatch._codec import event_from
from bridge.dispatch.database import Connection, Row
from bridge.dispatch.model import (
    Attempt,
    Expected,
    Ignored,
    JobDetail,
    JobRecord,
    Output,
    Refusal,
    Usage,
    Waiting,
)
from bridge.targets import JobState

__all__ = [
    "COLUMNS",
    "IS_OPEN",
    "JOB",
    "count_query",
    "detail",
    "expected",
    "ignored",
    "job",
    "jobs_query",
    "refusal",
    "usage",
    "usage_query",
    "waiting",
]

COLUMNS: Final = (
    "j.seq, j.id, j.service, e.event, j.state, j.target, j.attempt, j.tries, j.due,"
    " j.handle, j.accepted, j.placed, j.submitted, j.started, j.ended, j.exit_code, j.reason,"
    " j.report, j.log, j.stop, j.moving, j.hidden, j.caller, j.trace, j.owner"
)
JOB: Final = f"SELECT {COLUMNS} FROM jobs j JOIN events e ON e.seq = j.seq"  # noqa: S608
# The very words of the partial index, so that SQLite uses it.
IS_OPEN: Final = "state IN ('accepted', 'placed', 'submitted', 'running')"

_USAGE: Final = (
    "SELECT service, target, caller, count(*) AS jobs,"
    " count(CASE WHEN ended IS NOT NULL THEN started END) AS runs,"
    " coalesce(sum(CASE WHEN ended > started THEN ended - started END), 0) AS seconds"
    " FROM jobs WHERE accepted >= ? AND accepted <= ?"
)

_BEHIND: Final = {
    False: "j.seq > (SELECT seq FROM jobs WHERE id = ?)",
    True: "j.seq < (SELECT seq FROM jobs WHERE id = ?)",
}


def job(row: Row) -> JobRecord:
    """A row of JOB."""
    return JobRecord(
        id=row["id"],
        service=row["service"],
        event=event_from(row["event"]),
        state=JobState(row["state"]),
        target=row["target"],
        attempt=row["attempt"],
        tries=row["tries"],
        due=row["due"],
        handle=row["handle"],
        accepted=row["accepted"],
        placed=row["placed"],
        submitted=row["submitted"],
        started=row["started"],
        ended=row["ended"],
        exit_code=row["exit_code"],
        reason=row["reason"],
        report=json.loads(row["report"]),
        log=row["log"],
        stop=bool(row["stop"]),
        moving=bool(row["moving"]),
        hidden=bool(row["hidden"]),
        caller=row["caller"],
        trace=row["trace"],
    )


def waiting(row: Row) -> Waiting:
    """A row of `JobStore.waiting`."""
    return Waiting(job(row), row["ahead"], bool(row["untouched"]))


def attempt(row: Row) -> Attempt:
    """A row of `attempts`."""
    return Attempt(
        number=row["number"],
        target=row["target"],
        state=JobState(row["state"]),
        handle=row["handle"],
        placed=row["placed"],
        submitted=row["submitted"],
        started=row["started"],
        ended=row["ended"],
        exit_code=row["exit_code"],
        reason=row["reason"],
        log=row["log"],
    )


def current_attempt(record: JobRecord) -> Attempt:
    """The attempt that a job is in; earlier ones are rows of their own."""
    return Attempt(
        number=record.attempt,
        target=record.target,
        state=record.state,
        handle=record.handle,
        placed=record.placed,
        submitted=record.submitted,
        started=record.started,
        ended=record.ended,
        exit_code=record.exit_code,
        reason=record.reason,
        log=record.log,
    )


def output(row: Row) -> Output:
    """A row of `outputs` or `expected`."""
    return Output(row["provider"], row["bucket"], row["key"], row["size"], row["etag"])


def expected(row: Row) -> Expected:
    """A row of `expected`."""
    return Expected(row["service"], row["producer"], output(row), row["since"])


def refusal(row: Row) -> Refusal:
    """A row of `refused`."""
    return Refusal(
        row["at"], row["source"], row["reason"], row["size"], bytes(row["body"]), row["number"]
    )


def ignored(row: Row) -> Ignored:
    """A row of `ignored`."""
    return Ignored(row["at"], row["source"], row["reason"], event_from(row["event"]))


def usage(row: Row) -> Usage:
    """A row of `usage_query`."""
    seconds = float(row["seconds"])
    return Usage(row["service"], row["target"], row["caller"], row["jobs"], row["runs"], seconds)


def detail(connection: Connection, name: str) -> JobDetail | None:
    """All that the tables say of a job."""
    row = connection.execute(f"{JOB} WHERE j.id = ?", (name,)).fetchone()
    if row is None:
        return None
    record, key = job(row), (row["seq"],)
    old = connection.execute("SELECT * FROM attempts WHERE seq = ? ORDER BY number", key)
    taken = connection.execute("SELECT decision FROM decisions WHERE seq = ? ORDER BY attempt", key)
    wrote = connection.execute("SELECT * FROM outputs WHERE seq = ?", key)
    return JobDetail(
        job=record,
        attempts=(*map(attempt, old.fetchall()), current_attempt(record)),
        decisions=tuple(json.loads(row["decision"]) for row in taken.fetchall()),
        outputs=tuple(map(output, wrote.fetchall())),
    )


def usage_query(service: str) -> tuple[str, list[str]]:
    """The query of `JobStore.usage` and its values, but for the time."""
    of = " AND service = ?" if service else ""
    return f"{_USAGE}{of} GROUP BY service, target, caller", [service] if service else []


def jobs_query(
    states: Sequence[JobState],
    equal: Mapping[str, str],
    *,
    owned: Sequence[str],
    stop: bool,
    shown: bool,
    newest: bool,
    after: str,
) -> tuple[str, list[str]]:
    """The query of `JobStore.jobs` and its values, but for the limit."""
    where, values = _where(
        states, equal, owned=owned, stop=stop, shown=shown, newest=newest, after=after
    )
    return f"{JOB}{where} ORDER BY j.seq {'DESC' if newest else 'ASC'} LIMIT ?", values


def count_query(equal: Mapping[str, str], after: str) -> tuple[str, list[str]]:
    """The query of `JobStore.left` and its values."""
    where, values = _where((), equal, owned=(), stop=False, shown=True, newest=False, after=after)
    return f"SELECT count(*) AS jobs FROM jobs j{where}", values  # noqa: S608


def _where(
    states: Sequence[JobState],
    equal: Mapping[str, str],
    *,
    owned: Sequence[str],
    stop: bool,
    shown: bool,
    newest: bool,
    after: str,
) -> tuple[str, list[str]]:
    terms: list[str] = []
    values: list[str] = []
    for name, value in equal.items():
        if value and name == "caller" and owned:
            terms.append(f"(j.caller = ? OR j.service IN ({', '.join('?' * len(owned))}))")
            values += [value, *owned]
        elif value:
            terms.append(f"j.{name} = ?")
            values.append(value)
    if states:
        terms.append(f"j.state IN ({', '.join('?' * len(states))})")
        values += [state.value for state in states]
        if not any(state.final for state in states):
            terms.append(f"j.{IS_OPEN}")
    if stop:
        terms.append("j.stop = 1")
    if shown:
        terms.append("j.hidden = 0")
    if after:
        terms.append(_BEHIND[newest])
        values.append(after)
    return (f" WHERE {' AND '.join(terms)}" if terms else ""), values
