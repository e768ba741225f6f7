"""The SQL of what jobs under way are expected to cost: it stands until their attempt is learned.

So a budget holds over restarts and among several dispatchers: what an attempt has cost is counted
in the same transaction that ends its promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Final

from bridge.dispatch.database import Connection, upsert
from bridge.dispatch.model import Change, Lesson, Promised, Within

__all__ = ["allows", "kept", "promise", "promised"]

_NANO: Final = Decimal(1_000_000_000)
_SUM: Final = "(SELECT coalesce(sum(nano), 0) FROM promises WHERE {} = ?)"
_VERSION: Final = "(SELECT coalesce(max(version), 0) FROM estimates)"
_PROMISED: Final = (
    f"SELECT {_VERSION} AS version, {_SUM.format('service')} AS service,"
    f" {_SUM.format('share')} AS share"
)
_ALLOWS: Final = f"SELECT {_VERSION} AS version, {_SUM.format('service')} AS service"
_PROMISE: Final = upsert("promises", ("seq", "number"), ("service", "share", "nano"))
_KEPT: Final = "DELETE FROM promises WHERE seq = ? AND number = ?"


def promised(connection: Connection, service: str, share: str) -> Promised:
    """The work of `JobStore.promised`."""
    row = connection.execute(_PROMISED, (service, share)).fetchone()
    return Promised(row["version"], _usd(row["service"]), _usd(row["share"]) if share else _usd(0))


def allows(connection: Connection, service: str, cost: Decimal | None, within: Within) -> bool:
    """Whether a service may promise so much more; the caller is alone."""
    row = connection.execute(_ALLOWS, (service,)).fetchone()
    return row["version"] == within.version and _usd(row["service"]) + (cost or 0) <= within.usd


def promise(connection: Connection, wish: Change, seq: int, number: int) -> None:
    """An attempt is placed, where it is expected to cost something."""
    row = connection.execute("SELECT service, share FROM jobs WHERE seq = ?", (seq,)).fetchone()
    nano = int((wish.cost * _NANO).to_integral_value(ROUND_CEILING)) if wish.cost else 0
    connection.execute(_PROMISE, (seq, number, row["service"], row["share"], nano))


def kept(connection: Connection, of: Sequence[Lesson]) -> None:
    """What these attempts have cost is known."""
    if connection.execute("SELECT 1 FROM promises LIMIT 1").fetchone():
        connection.executemany(_KEPT, [(one.seq, one.attempt.number) for one in of])


def _usd(nano: int) -> Decimal:
    return Decimal(int(nano)) / _NANO
