"""The SQL of claims: each share of the queue has as many turns as any other, however long it is.

Shares are found by jumping from one to the next in the index, so that jobs which wait cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.dispatch._rows import IS_OPEN, JOB
from bridge.dispatch.database import Connection, Row
from bridge.targets import JobState

__all__ = ["Turns", "next_due"]

_FREE: Final = "owner NOT IN (SELECT id FROM owners WHERE until > :now)"
_OPEN: Final = f"{IS_OPEN} AND state = :state AND target = :target"


def _shares(name: str, above: str = "", most: str = "") -> str:
    """The common table expression of the shares that have jobs in this state, within bounds."""
    first = f"SELECT min(share) AS share FROM jobs WHERE {_OPEN}{most}"  # noqa: S608  our own words
    # One lower bound in each step: SQLite looks through all that is between two.
    after = f"SELECT ({first} AND jobs.share > {name}.share) FROM {name}"  # noqa: S608
    return f"{name} (share) AS ({first}{above} UNION ALL {after} WHERE {name}.share IS NOT NULL)"


def _due(name: str) -> str:
    """When the first free job of a share is due."""
    return f"(SELECT min(due) FROM jobs WHERE {_OPEN} AND jobs.share = {name}.share AND {_FREE})"  # noqa: S608


_BEHIND: Final = _shares("behind", above=" AND share > :last")
_BEFORE: Final = _shares("before", most=" AND share <= :last")
_FEW: Final = (
    f"WITH RECURSIVE {_shares('shares')} SELECT share FROM shares WHERE share IS NOT NULL LIMIT 2"  # noqa: S608
)
_ITS_DUE: Final = f"SELECT min(due) AS due FROM jobs WHERE {_OPEN} AND share = :share AND {_FREE}"  # noqa: S608
_DUE_NOW: Final = (
    f"WITH RECURSIVE {_BEHIND}, {_BEFORE}"  # noqa: S608
    f" SELECT share FROM behind WHERE {_due('behind')} <= :now"
    f" UNION ALL SELECT share FROM before WHERE {_due('before')} <= :now LIMIT :most"
)
_NEXT_DUE: Final = (
    f"WITH RECURSIVE {_shares('shares')} SELECT min({_due('shares')}) AS due FROM shares"  # noqa: S608
)
_CLAIM: Final = (
    f"{JOB} WHERE j.{IS_OPEN} AND j.state = :state AND j.target = :target AND j.share = :share"
    f" AND j.due <= :now AND j.{_FREE} ORDER BY j.due LIMIT :most"
    " /*! FOR UPDATE OF j SKIP LOCKED */"
)


class Turns:
    """Claims of one process, which remembers whose turn was the last. Not thread-safe.

    What several processes claim is fair, as what each of them claims is.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[JobState, str], str] = {}

    def claim(
        self,
        connection: Connection,
        owner: str,
        *,
        state: JobState,
        target: str,
        now: float,
        limit: int,
    ) -> list[Row]:
        """The work of `JobStore.claim`; the caller makes values of the rows, in its own time.

        It may be fewer than there are, but none only if there is none.
        """
        asked = {"state": state.value, "target": target, "now": now}
        found: list[Row] = []
        # Most often there is one, and nothing to be fair about.
        shares = _few(connection, asked)
        if len(shares) > 1:
            first = {"last": self._last.get((state, target), ""), "most": limit}
            shares = [row["share"] for row in connection.execute(_DUE_NOW, {**asked, **first})]
        for number, share in enumerate(shares):
            # What a share leaves is divided among those behind it.
            most = -(-(limit - len(found)) // (len(shares) - number))
            rows = connection.execute(_CLAIM, {**asked, "share": share, "most": most}).fetchall()
            found += rows
            if rows:
                self._last[state, target] = share
        found = _unowned(connection, found, now)
        taken = [(owner, row["seq"]) for row in found]
        connection.executemany("UPDATE jobs SET owner = ? WHERE seq = ?", taken)
        return found


def _unowned(connection: Connection, rows: list[Row], now: float) -> list[Row]:
    """Those of the rows, which we hold now, whose owner is dead, or nobody.

    Who took his first lease and claimed a row while our statement was under way is not known to it:
    PostgreSQL then looks at the row anew, but not at the owners.
    """
    if not any(row["owner"] for row in rows):
        return rows
    alive = connection.execute("SELECT id FROM owners WHERE until > ?", (now,)).fetchall()
    names = {row["id"] for row in alive}
    return [row for row in rows if row["owner"] not in names]


def next_due(connection: Connection, state: JobState, target: str, now: float) -> float | None:
    """The work of `JobStore.next_due`."""
    asked = {"state": state.value, "target": target, "now": now}
    shares = _few(connection, asked)
    if not shares:
        return None
    if len(shares) == 1:
        due = connection.execute(_ITS_DUE, {**asked, "share": shares[0]}).fetchone()["due"]
    elif connection.execute(_DUE_NOW, {**asked, "last": "", "most": 1}).fetchone():
        return now
    else:
        due = connection.execute(_NEXT_DUE, asked).fetchone()["due"]
    return None if due is None else float(due)


def _few(connection: Connection, asked: Mapping[str, object]) -> list[str]:
    """The share that has jobs, or two of several."""
    return [row["share"] for row in connection.execute(_FEW, asked)]
