"""The SQL of jobs that wait in line on their targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.dispatch._rows import COLUMNS, IS_OPEN
from bridge.dispatch.database import Connection, Row
from bridge.dispatch.model import JobRecord

__all__ = ["take", "waiting"]

_FREE: Final = "owner NOT IN (SELECT id FROM owners WHERE until > ?)"
# The last of each service in each line: who is behind all others has the longest to wait.
_WAITING: Final = (
    # Narrow rows: all that wait are sorted.
    "WITH line AS (SELECT seq, target, service, state, owner, moving, placed,"  # noqa: S608
    " owner = '' AND tries = 0 AND reason = '' AND handle = '' AS untouched,"
    " row_number() OVER (PARTITION BY target ORDER BY due, seq) - 1 AS ahead"
    f" FROM jobs WHERE {IS_OPEN} AND state IN ('placed', 'submitted')),"
    " late AS (SELECT seq, ahead, untouched,"
    " row_number() OVER (PARTITION BY target, service ORDER BY ahead DESC) AS back"
    " FROM line WHERE moving = 0 AND placed <= ? AND service IN ({services})"
    f" AND (state = 'submitted' AND owner = ? OR state = 'placed' AND {_FREE}))"
    f" SELECT {COLUMNS}, late.ahead, late.untouched FROM late JOIN jobs j ON j.seq = late.seq"
    " JOIN events e ON e.seq = j.seq WHERE late.back <= ? ORDER BY j.target, j.service, late.back"
)
_TAKE: Final = (
    "UPDATE jobs SET owner = ? WHERE id = ? AND state = ? AND attempt = ? AND tries = ?"  # noqa: S608
    " AND due = ? AND reason = ? AND handle = ?"
    f" AND {_FREE} RETURNING seq"
)


def waiting(
    connection: Connection,
    owner: str,
    *,
    services: Sequence[str],
    before: float,
    now: float,
    limit: int,
) -> list[Row]:
    """The work of `JobStore.waiting`."""
    query = _WAITING.format(services=", ".join("?" * len(services)))
    return connection.execute(query, (before, *services, owner, now, limit)).fetchall()


def take(connection: Connection, owner: str, job: JobRecord, now: float) -> bool:
    """The work of `JobStore.take`."""
    # Whoever was refused meanwhile is due later, for a reason.
    seen = (job.state.value, job.attempt, job.tries, job.due, job.reason, job.handle)
    values = (owner, job.id, *seen, now)
    return connection.execute(_TAKE, values).fetchone() is not None
