"""The SQL of what is kept of jobs that are long over: their record, so that no event of theirs is
new, and nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Final

from bridge.dispatch._codec import event_from, event_text
from bridge.dispatch.database import Connection, Row, upsert

__all__ = ["tidy"]

# Every job up to this one has been looked at.
_MARK: Final = "tidied"
_NEXT: Final = (
    "SELECT j.seq, j.accepted, j.ended, e.event FROM jobs j JOIN events e ON e.seq = j.seq"
    " WHERE j.seq > coalesce((SELECT seq FROM marks WHERE name = ?), 0) ORDER BY j.seq LIMIT ?"
)
_KEEP: Final = upsert("marks", ["name"], ["seq"])
_DETAILS: Final = ("attempts", "decisions", "outputs")


def tidy(connection: Connection, before: float, limit: int) -> int:
    """The work of `JobStore.tidy`."""
    rows = connection.execute(_NEXT, (_MARK, limit)).fetchall()
    old = list(takewhile(lambda row: row["accepted"] < before, rows))
    if not old:
        return 0
    _forget(connection, [row for row in old if row["ended"] is not None and row["ended"] < before])
    connection.execute(_KEEP, (_MARK, old[-1]["seq"]))
    return len(old)


def _forget(connection: Connection, rows: Sequence[Row]) -> None:
    keys = [(row["seq"],) for row in rows]
    for table in _DETAILS:
        connection.executemany(f"DELETE FROM {table} WHERE seq = ?", keys)  # noqa: S608
    connection.executemany("UPDATE jobs SET report = '{}' WHERE seq = ?", keys)
    events = [(_slim(row["event"]), row["seq"]) for row in rows]
    connection.executemany("UPDATE events SET event = ? WHERE seq = ?", events)


def _slim(text: str) -> str:
    """An event without what the caller sent."""
    return event_text(replace(event_from(text), body=None, record=None))
