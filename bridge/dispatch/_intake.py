"""The SQL of accepting: jobs out of events, once each; refused and ignored events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.dispatch._codec import event_text, path_key, tag
from bridge.dispatch.database import Connection
from bridge.dispatch.model import Accepted, Ignored, NewJob, Refusal
from bridge.events import Event

__all__ = ["MAX_BODY", "accept", "ignore", "refuse"]

MAX_BODY: Final = 64 * 1024
_KEPT_REFUSED: Final = 10_000
_KEPT_IGNORED: Final = 1_000

_INSERT: Final = (
    "INSERT INTO jobs (id, service, path, etag, sequencer, state, due, accepted, caller)"
    " VALUES (?, ?, ?, ?, ?, 'accepted', ?, ?, ?)"
)

_INSERT_EVENT: Final = "INSERT INTO events VALUES ((SELECT seq FROM jobs WHERE id = ?), ?)"


def accept(connection: Connection, items: Sequence[NewJob], at: float) -> list[Accepted]:
    """The work of `JobStore.accept`."""
    return [_accept(connection, item, at) for item in items]


def _accept(connection: Connection, item: NewJob, at: float) -> Accepted:
    known = _known(connection, item)
    if known is not None:
        return Accepted(known, item.service, new=False)
    event = item.event
    path, etag = _object(event)
    row = (item.id, item.service, path, etag, event.sequencer, at, at, item.caller)
    connection.execute(_INSERT, row)
    connection.execute(_INSERT_EVENT, (item.id, event_text(event)))
    if path:
        connection.execute(
            "DELETE FROM expected WHERE path = ? AND service = ?"
            " AND (etag = ? OR etag = '' OR ? = '')",
            (path, item.service, etag, etag),
        )
    return Accepted(item.id, item.service, new=True)


def _object(event: Event) -> tuple[str, str]:
    if not event.is_storage:
        return "", ""
    return path_key(event.provider, event.bucket, event.key), tag(event.etag)


def _known(connection: Connection, item: NewJob) -> str | None:
    """The job that this event has already, if any."""
    if connection.execute("SELECT 1 FROM jobs WHERE id = ?", (item.id,)).fetchone():
        return item.id
    path, etag = _object(item.event)
    if not path or not etag:
        return None
    if not item.event.sequencer:
        return _listed(connection, item.service, path, etag)
    return _notified(connection, item, path, etag)


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
