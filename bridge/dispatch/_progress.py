"""The SQL of what happens to a job after it was accepted: changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

from bridge.dispatch import _lessons, _money
from bridge.dispatch._codec import dumps, path_key, tag
from bridge.dispatch._rules import ended_attempt, permits, result
from bridge.dispatch.database import Connection, upsert
from bridge.dispatch.model import Attempt, Change, Expected, JobEvent, Output
from bridge.targets import JobState

__all__ = ["change", "drop_expected"]

# Columns of a job that a change may set.
_COLUMNS: Final = (
    "state",
    "target",
    "attempt",
    "tries",
    "due",
    "handle",
    "placed",
    "submitted",
    "started",
    "ended",
    "exit_code",
    "reason",
    "report",
    "log",
    "stop",
    "owner",
    "moving",
)
_UPDATE: Final = f"UPDATE jobs SET {', '.join(f'{c} = :{c}' for c in _COLUMNS)} WHERE seq = :seq"  # noqa: S608
_READ: Final = (
    f"SELECT seq, service, {', '.join(_COLUMNS)} FROM jobs WHERE id = ? /*! FOR UPDATE */"  # noqa: S608
)
_ATTEMPT: Final = upsert(
    "attempts",
    ("seq", "number"),
    tuple(one.name for one in fields(Attempt) if one.name != "number"),
)
_DECISION: Final = upsert("decisions", ("seq", "attempt"), ("taken", "decision"))
_OUTPUT: Final = upsert("outputs", ("seq", "provider", "bucket", "key"), ("size", "etag"))
_EXPECTED: Final = upsert(
    "expected",
    ("path", "service", "etag"),
    ("producer", "provider", "bucket", "key", "size", "since"),
)


def change(connection: Connection, changes: Sequence[Change]) -> list[JobEvent | None]:
    """The work of `JobStore.change`."""
    return [_change(connection, wish) for wish in changes]


def _change(connection: Connection, wish: Change) -> JobEvent | None:
    row = connection.execute(_READ, (wish.job,)).fetchone()
    if row is None or not permits(JobState(row["state"]), row["attempt"], wish):
        return None
    if wish.within and not _money.allows(connection, row["service"], wish.cost, wish.within):
        return None
    before = dict(row)
    after = result(before, wish)
    if wish.again:
        _archive(connection, wish, before)
    if after != before:
        connection.execute(_UPDATE, after)
    if (wish.again or wish.state.final) and before["target"]:
        _lessons.enter(connection, before["seq"], before["attempt"])
    _attach(connection, wish, after)
    return _news(wish, before, after)


def _news(wish: Change, before: dict[str, Any], after: dict[str, Any]) -> JobEvent:
    return JobEvent(
        job=wish.job,
        service=before["service"],
        state=wish.state,
        previous=JobState(before["state"]),
        at=wish.at,
        target=after["target"],
        attempt=after["attempt"],
        exit_code=after["exit_code"],
        reason=after["reason"],
        previous_target=before["target"],
    )


def _archive(connection: Connection, wish: Change, before: dict[str, Any]) -> None:
    """Keep what became of the attempt that ends here."""
    ended = ended_attempt(before, wish)
    connection.execute(_ATTEMPT, (before["seq"], *ended.values()))


def _attach(connection: Connection, wish: Change, job: dict[str, Any]) -> None:
    """Write what the change brings beside the job's own row."""
    seq = job["seq"]
    if wish.decision is not None:
        taken = (seq, job["attempt"], wish.at, dumps(wish.decision))
        connection.execute(_DECISION, taken)
    if wish.cost:
        _money.promise(connection, wish, seq, job["attempt"])
    if wish.outputs:
        connection.executemany(
            _OUTPUT,
            [(seq, o.provider, o.bucket, o.key, o.size, o.etag) for o in wish.outputs],
        )
    for follow_up in wish.expected:
        _expect(connection, follow_up)


def _expect(connection: Connection, follow_up: Expected) -> None:
    """Remember a follow-up, unless its job has come already."""
    output = follow_up.output
    path, etag = path_key(output.provider, output.bucket, output.key), tag(output.etag)
    where = (path, follow_up.service)
    came = connection.execute(
        "SELECT 1 FROM jobs WHERE path <> '' AND path = ? AND service = ? AND accepted >= ?"
        " AND (etag = ? OR etag = '' OR ? = '')"
        " UNION ALL SELECT 1 FROM jobs WHERE path <> '' AND path = ? AND service = ?"
        " AND etag = ? AND etag <> ''",
        (*where, _since(connection, follow_up), etag, etag, *where, etag),
    ).fetchone()
    if came is None:
        at = (output.provider, output.bucket, output.key, output.size)
        connection.execute(_EXPECTED, (*where, etag, follow_up.producer, *at, follow_up.since))


def _since(connection: Connection, follow_up: Expected) -> float:
    """When the producer was submitted: an older job for the path is not its follow-up."""
    row = connection.execute(
        "SELECT coalesce(submitted, accepted) AS at FROM jobs WHERE id = ?", (follow_up.producer,)
    ).fetchone()
    return float(row["at"]) if row else 0.0


def drop_expected(connection: Connection, expected: Sequence[Expected]) -> None:
    """The work of `JobStore.met`."""
    connection.executemany(
        "DELETE FROM expected WHERE path = ? AND service = ? AND etag = ?",
        [(_path(e.output), e.service, tag(e.output.etag)) for e in expected],
    )


def _path(output: Output) -> str:
    return path_key(output.provider, output.bucket, output.key)
