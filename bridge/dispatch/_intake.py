"""The SQL of accepting: jobs out of events, once each; refused and ignored events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from bridge.dispatch._codec import event_text, path_key, tag
from bridge.dispatch.database import Connection
from bridge.dispatch.model import Accepted, Ignored, NewJob, Refusal
from bridge.events import Event
from bridge.targets import JobState

__all__ = ["MAX_BODY", "accept", "ignore", "refuse"]

MAX_BODY: Final = 64 * 1024
_KEPT_REFUSED: Final = 10_000
_KEPT_IGNORED: Final = 1_000

# Jobs to a statement.
_CHUNK: Final = 128
_COLUMNS: Final = (
    "id",
    "service",
    "path",
    "etag",
    "sequencer",
    "state",
    "due",
    "accepted",
    "caller",
    "share",
    "trace",
)


class _Row(NamedTuple):
    """A job that may be new; `path` and `etag` are empty where no object is meant."""

    item: NewJob
    path: str
    etag: str

    @property
    def object(self) -> str:
        """The object, where its content is known, which a job may be of by another name."""
        return self.path if self.etag else ""


def accept(connection: Connection, items: Sequence[NewJob], at: float) -> list[Accepted]:
    """The work of `JobStore.accept`."""
    rows = [_Row(item, *_object(item.event)) for item in items]
    some = (rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK))
    return [one for few in some for one in _accept_some(connection, few, at)]


def _accept_some(connection: Connection, rows: Sequence[_Row], at: float) -> list[Accepted]:
    """What is surely new takes one statement for all: each statement waits for Python's lock."""
    fresh = _fresh(connection, rows)
    _insert(connection, fresh, at)
    new = {row.item.id for row in fresh}
    found = []
    for row in rows:
        if row.item.id in new:
            # Where the same event stands in the batch once more, that one is not new.
            new.remove(row.item.id)
            found.append(Accepted(row.item.id, row.item.service, new=True))
        else:
            found.append(_accept_one(connection, row, at))
    return found


def _accept_one(connection: Connection, row: _Row, at: float) -> Accepted:
    known = _known(connection, row)
    if known is None:
        _insert(connection, [row], at)
    return Accepted(known or row.item.id, row.item.service, new=known is None)


def _fresh(connection: Connection, rows: Sequence[_Row]) -> list[_Row]:
    """The rows whose names and objects nobody has, neither the store nor a row before them."""
    query = (
        f"WITH asked (id, path, service) AS (VALUES {_marks(3, len(rows))}) SELECT id FROM asked"  # noqa: S608
        " WHERE EXISTS (SELECT 1 FROM jobs j WHERE j.id = asked.id)"
        " OR EXISTS (SELECT 1 FROM jobs j WHERE j.path <> '' AND j.path = asked.path"
        " AND j.service = asked.service)"
    )
    asked = [value for row in rows for value in (row.item.id, row.object, row.item.service)]
    names = {found["id"] for found in connection.execute(query, asked)}
    objects: set[tuple[str, str]] = set()
    fresh = []
    for row in rows:
        place = row.object, row.item.service
        if row.item.id not in names and place not in objects:
            fresh.append(row)
        names.add(row.item.id)
        if row.object:
            objects.add(place)
    return fresh


def _marks(columns: int, rows: int) -> str:
    one = f"({', '.join('?' * columns)})"
    return ", ".join([one] * rows)


def _insert(connection: Connection, rows: Sequence[_Row], at: float) -> None:
    if not rows:
        return
    values: list[object] = []
    for item, path, etag in rows:
        # What is told again is no listing, which a later notification may be of.
        values += (item.id, item.service, path, etag, item.event.sequencer or item.event.nonce)
        values += (JobState.ACCEPTED.value, at, at)
        values += (item.caller, item.share, item.trace)
    query = f"INSERT INTO jobs ({', '.join(_COLUMNS)}) VALUES {_marks(len(_COLUMNS), len(rows))}"  # noqa: S608
    connection.execute(query, values)
    places = ", ".join(["((SELECT seq FROM jobs WHERE id = ?), ?)"] * len(rows))
    texts = [text for row in rows for text in (row.item.id, event_text(row.item.event))]
    connection.execute(f"INSERT INTO events VALUES {places}", texts)  # noqa: S608
    if connection.execute("SELECT 1 FROM expected WHERE path >= '' LIMIT 1").fetchone():
        connection.executemany(
            "DELETE FROM expected WHERE path = ? AND service = ?"
            " AND (etag = ? OR etag = '' OR ? = '')",
            [(path, item.service, etag, etag) for item, path, etag in rows if path],
        )


def _object(event: Event) -> tuple[str, str]:
    if not event.is_storage:
        return "", ""
    return path_key(event.provider, event.bucket, event.key), tag(event.etag)


def _known(connection: Connection, row: _Row) -> str | None:
    """The job that this event has already, if any."""
    item = row.item
    if connection.execute("SELECT 1 FROM jobs WHERE id = ?", (item.id,)).fetchone():
        return item.id
    # With a nonce it is the same object once more, on purpose.
    if not row.etag or item.event.nonce:
        return None
    if not item.event.sequencer:
        return _listed(connection, item.service, row.path, row.etag)
    return _notified(connection, item, row.path, row.etag)


def _listed(connection: Connection, service: str, path: str, etag: str) -> str | None:
    """A listing sees what is there: any job for this content is the one."""
    row = connection.execute(
        "SELECT id FROM jobs WHERE path <> '' AND path = ? AND service = ? AND etag = ?"
        " ORDER BY seq LIMIT 1",
        (path, service, etag),
    ).fetchone()
    return None if row is None else str(row["id"])


def _notified(connection: Connection, item: NewJob, path: str, etag: str) -> str | None:
    """A notification is the one that a listing was ahead of, unless that one came already.

    The job then takes over its sequencer, so that the next write of the same content is a new job.
    """
    row = connection.execute(
        "SELECT id, sequencer FROM jobs WHERE path <> '' AND path = ? AND service = ? AND etag = ?"
        " AND sequencer IN ('', ?) ORDER BY sequencer DESC, seq LIMIT 1",
        (path, item.service, etag, item.event.sequencer),
    ).fetchone()
    if row is None:
        return None
    if not row["sequencer"]:
        connection.execute(
            "UPDATE jobs SET sequencer = ? WHERE id = ?", (item.event.sequencer, row["id"])
        )
    return str(row["id"])


def refuse(connection: Connection, refusal: Refusal) -> None:
    """The work of `JobStore.refuse`."""
    connection.execute(
        "INSERT INTO refused (at, source, reason, size, body) VALUES (?, ?, ?, ?, ?)",
        (refusal.at, refusal.source, refusal.reason, refusal.size, refusal.body[:MAX_BODY]),
    )
    _keep(connection, "refused", _KEPT_REFUSED, 1)


def ignore(connection: Connection, events: Sequence[Ignored]) -> None:
    """The work of `JobStore.ignore`."""
    connection.executemany(
        "INSERT INTO ignored (at, source, reason, event) VALUES (?, ?, ?, ?)",
        [(e.at, e.source, e.reason, event_text(e.event)) for e in events],
    )
    _keep(connection, "ignored", _KEPT_IGNORED, len(events))


def _keep(connection: Connection, table: str, newest: int, added: int) -> None:
    """Count what was added, and delete all but the newest rows."""
    connection.execute(
        "INSERT INTO totals VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = totals.value + excluded.value",
        (table, added),
    )
    connection.execute(
        f"DELETE FROM {table} WHERE number <= (SELECT max(number) FROM {table}) - ?",  # noqa: S608
        (newest,),
    )
