"""The SQL of what is learned from attempts that are over, and of what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bridge.dispatch import _money, _rows
from bridge.dispatch.database import Connection, Row, upsert
from bridge.dispatch.model import Lesson

__all__ = ["enter", "kept", "learned", "lessons", "relearn"]

# Decisions are long: of many attempts that end together, these are compared with what was foretold.
_COMPARED: Final = 64
# Jobs that are looked at again when nothing is kept, or nothing that can be read.
_HISTORY: Final = 100_000

_LESSONS: Final = (
    "SELECT l.seq, l.number AS lesson, j.attempt AS number, j.service, j.target, j.state, j.handle,"
    " j.placed, j.submitted, j.started, j.ended, j.exit_code, j.reason, j.log, j.report, j.share"
    " FROM lessons l JOIN jobs j ON j.seq = l.seq ORDER BY l.seq, l.number LIMIT ?"
)
_VERSION: Final = "SELECT coalesce(max(version), 0) AS version FROM estimates"
_KEEP: Final = upsert("estimates", ["name"], ["version", "text"])
_AGAIN: Final = (
    "INSERT INTO lessons (seq, number) SELECT seq, attempt FROM jobs"
    " WHERE ended IS NOT NULL AND target <> '' ORDER BY seq DESC LIMIT ? ON CONFLICT DO NOTHING"
)


def enter(connection: Connection, seq: int, number: int) -> None:
    """An attempt is over: there is something to learn from it."""
    connection.execute("INSERT INTO lessons (seq, number) VALUES (?, ?)", (seq, number))


def lessons(connection: Connection, limit: int) -> list[Lesson]:
    """The work of `JobStore.lessons`."""
    rows = connection.execute(_LESSONS, (limit,)).fetchall()
    step = max(1, len(rows) // _COMPARED)
    return [
        _lesson(connection, row, compared=number % step == 0) for number, row in enumerate(rows)
    ]


def _lesson(connection: Connection, row: Row, *, compared: bool) -> Lesson:
    key = row["seq"], row["lesson"]
    last = row["number"] == row["lesson"]
    attempt = _rows.attempt(row) if last else _rows.attempt(_archived(connection, key))
    report: Mapping[str, Any] = json.loads(row["report"]) if last else {}
    decision = _decision(connection, key) if compared else None
    return Lesson(key[0], row["service"], attempt, last, report, decision, row["share"])


def _archived(connection: Connection, key: tuple[int, int]) -> Row:
    query = "SELECT * FROM attempts WHERE seq = ? AND number = ?"
    found: Row = connection.execute(query, key).fetchone()
    return found


def _decision(connection: Connection, key: tuple[int, int]) -> Mapping[str, Any] | None:
    query = "SELECT decision FROM decisions WHERE seq = ? AND attempt = ?"
    row = connection.execute(query, key).fetchone()
    found: Mapping[str, Any] | None = None if row is None else json.loads(row["decision"])
    return found


def kept(connection: Connection, since: int) -> tuple[int, dict[str, str]]:
    """The work of `JobStore.kept`."""
    query = "SELECT name, version, text FROM estimates WHERE version > ?"
    rows = connection.execute(query, (since,)).fetchall()
    version = max((row["version"] for row in rows), default=since)
    return version, {row["name"]: row["text"] for row in rows}


def learned(
    connection: Connection, version: int, changes: Mapping[str, str], of: Sequence[Lesson]
) -> bool:
    """The work of `JobStore.learned`; the caller is alone."""
    if connection.execute(_VERSION).fetchone()["version"] != version:
        return False
    kept = [(name, version + 1, text) for name, text in changes.items() if text]
    connection.executemany(_KEEP, kept)
    gone = [(name,) for name, text in changes.items() if not text]
    connection.executemany("DELETE FROM estimates WHERE name = ?", gone)
    _money.kept(connection, of)
    connection.executemany(
        "DELETE FROM lessons WHERE seq = ? AND number = ?", [(o.seq, o.attempt.number) for o in of]
    )
    return True


def relearn(connection: Connection, mark: tuple[str, str]) -> None:
    """The work of `JobStore.relearn`; the caller is alone."""
    name, text = mark
    row = connection.execute("SELECT text FROM estimates WHERE name = ?", (name,)).fetchone()
    if row is not None and row["text"] == text:
        return
    version = connection.execute(_VERSION).fetchone()["version"] + 1
    connection.execute("DELETE FROM estimates", ())
    connection.execute(_AGAIN, (_HISTORY,))
    connection.execute(_KEEP, (name, version, text))
