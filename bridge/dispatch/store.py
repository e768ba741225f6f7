"""The queue's state in one SQLite file: what is accepted here, happens."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from bridge.dispatch import _intake, _progress, _rows
from bridge.dispatch._schema import migrate
from bridge.dispatch._writer import Writer, translate
from bridge.dispatch.model import (
    Accepted,
    Change,
    Expected,
    Ignored,
    JobDetail,
    JobEvent,
    JobRecord,
    NewJob,
    Refusal,
    Usage,
)
from bridge.errors import PermanentError, TemporaryError
from bridge.targets import JobState

__all__ = ["SqliteStore"]

T = TypeVar("T")

_WAL_LIMIT: Final = 64 * 1024 * 1024


class SqliteStore:
    """A JobStore in the file at `path`, which is made (for its owner only) when it is not there.

    One thread writes; callers at the same time share a transaction. Accepts, refusals and cancels
    are on the disk when they return; other changes survive the death of the process, and after a
    loss of power the last of them may have to be learned again from the targets.
    `busy_timeout` is in seconds: how long another program may hold the file before TemporaryError.
    Not for network file systems.
    """

    def __init__(self, path: Path, *, busy_timeout: float = 5.0) -> None:
        self.path = path
        self._busy_timeout = busy_timeout
        self._guard = threading.Lock()
        self._reporting = threading.Lock()
        self._watchers: list[Callable[[Sequence[JobEvent]], None]] = []
        try:
            writing = self._open()
            self._reading: sqlite3.Connection | None = self._connect()
        except (sqlite3.Error, OSError) as error:
            raise _cannot_open(path, error) from error
        self._writer = Writer(writing)

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = self._connect()
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
            connection.execute("PRAGMA synchronous = FULL")
            migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=self._busy_timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        connection.row_factory = sqlite3.Row
        return connection

    def accept(self, items: Sequence[NewJob], at: float) -> list[Accepted]:
        """See JobStore."""

        def tell(answers: Sequence[Accepted]) -> None:
            self._tell(
                [JobEvent(a.job, a.service, JobState.ACCEPTED, None, at) for a in answers if a.new]
            )

        return self._writer.run(lambda c: _intake.accept(c, items, at), durable=True, after=tell)

    def refuse(self, refusal: Refusal) -> None:
        """See JobStore."""
        self._writer.run(lambda c: _intake.refuse(c, refusal), durable=True)

    def ignore(self, events: Sequence[Ignored]) -> None:
        """See JobStore. The newest 1,000 are kept."""
        self._writer.run(lambda c: _intake.ignore(c, events))

    def lease(self, owner: str, until: float) -> None:
        """See JobStore."""
        query = (
            "INSERT INTO owners VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET until = excluded.until"
        )
        self._execute(query, owner, until)

    def release(self, owner: str) -> None:
        """See JobStore."""
        self._execute("DELETE FROM owners WHERE id = ?", owner)

    def owners(self) -> Mapping[str, float]:
        """See JobStore."""
        rows = self._read(lambda c: c.execute("SELECT id, until FROM owners").fetchall())
        return {row["id"]: row["until"] for row in rows}

    def claim(
        self, owner: str, state: JobState, now: float, limit: int, target: str = ""
    ) -> list[JobRecord]:
        """See JobStore."""
        rows = self._writer.run(
            lambda c: _progress.claim(c, owner, state=state, target=target, now=now, limit=limit)
        )
        return [_rows.job(row) for row in rows]

    def change(self, changes: Sequence[Change]) -> list[JobEvent | None]:
        """See JobStore."""
        durable = any(wish.state is JobState.CANCELLED for wish in changes)

        def tell(answers: Sequence[JobEvent | None]) -> None:
            self._tell([a for a in answers if a is not None and _has_moved(a)])

        return self._writer.run(lambda c: _progress.change(c, changes), durable=durable, after=tell)

    def watch(self, callback: Callable[[Sequence[JobEvent]], None]) -> Callable[[], None]:
        """See JobStore."""
        self._watchers = [*self._watchers, callback]

        def unwatch() -> None:
            self._watchers = [w for w in self._watchers if w != callback]

        return unwatch

    def _tell(self, news: Sequence[JobEvent]) -> None:
        if news:
            for callback in self._watchers:
                callback(news)

    def stopped(self, job: str, *, done: bool = True) -> None:
        """See JobStore."""
        self._execute("UPDATE jobs SET stop = ? WHERE id = ?", int(not done), job)

    def met(self, expected: Sequence[Expected]) -> None:
        """See JobStore."""
        self._writer.run(lambda c: _progress.drop_expected(c, expected))

    def next_due(self, state: JobState, now: float, target: str = "") -> float | None:
        """See JobStore."""
        query = (
            f"SELECT min(due) FROM jobs WHERE {_rows.IS_OPEN} AND state = ? AND target = ?"  # noqa: S608
            f" AND {_progress.FREE}"
        )
        row = self._read(lambda c: c.execute(query, (state.value, target, now)).fetchone())
        return None if row[0] is None else float(row[0])

    def job(self, job: str) -> JobRecord | None:
        """See JobStore."""
        return self._read(lambda c: _one(c, job))

    def detail(self, job: str) -> JobDetail | None:
        """See JobStore."""
        return self._read(lambda c: _rows.detail(c, job))

    def jobs(
        self,
        *,
        states: Sequence[JobState] = (),
        service: str = "",
        target: str = "",
        caller: str = "",
        owned: Sequence[str] = (),
        stop: bool = False,
        shown: bool = False,
        newest: bool = False,
        after: str = "",
        limit: int = 1000,
    ) -> list[JobRecord]:
        """See JobStore."""
        equal = {"service": service, "target": target, "caller": caller}
        query, values = _rows.jobs_query(
            states, equal, owned=owned, stop=stop, shown=shown, newest=newest, after=after
        )
        rows = self._read(lambda c: c.execute(query, (*values, limit)).fetchall())
        return [_rows.job(row) for row in rows]

    def left(self, service: str, after: str = "", *, caller: str = "") -> int:
        """See JobStore."""
        query, values = _rows.count_query({"service": service, "caller": caller}, after)
        return int(self._read(lambda c: c.execute(query, values).fetchone()[0]))

    def hide(self, service: str, *, job: str = "", states: Sequence[JobState] = ()) -> None:
        """See JobStore."""
        terms, values = ["service = ?"], [service]
        if job:
            terms.append("id = ?")
            values.append(job)
        if states:
            terms.append(f"state IN ({', '.join('?' * len(states))})")
            values += [state.value for state in states]
        self._execute(f"UPDATE jobs SET hidden = 1 WHERE {' AND '.join(terms)}", *values)  # noqa: S608

    def counts(self) -> Mapping[tuple[str, JobState], int]:
        """See JobStore."""
        return self._grouped("SELECT service, state, count(*) FROM jobs GROUP BY 1, 2")

    def usage(self, since: float, until: float, *, service: str = "") -> list[Usage]:
        """See JobStore. Looks through all jobs of the service, or all: on a connection of its own,
        as the queue must not wait for it, and one at a time."""
        query, values = _rows.usage_query(service)
        with self._reporting:
            try:
                with closing(self._connect()) as connection:
                    rows = connection.execute(query, (since, until, *values)).fetchall()
            except sqlite3.Error as error:
                raise translate(error) from error
        return [_rows.usage(row) for row in rows]

    def loads(self) -> Mapping[tuple[str, JobState], int]:
        """See JobStore."""
        return self._grouped(
            f"SELECT target, state, count(*) FROM jobs WHERE {_rows.IS_OPEN} GROUP BY 1, 2"  # noqa: S608
        )

    def _grouped(self, query: str) -> dict[tuple[str, JobState], int]:
        rows = self._read(lambda c: c.execute(query).fetchall())
        return {(row[0], JobState(row[1])): row[2] for row in rows}

    def expected(self, before: float | None = None) -> list[Expected]:
        """See JobStore."""
        query = "SELECT * FROM expected WHERE since < ? ORDER BY since"
        limit = float("inf") if before is None else before
        return self._read(lambda c: [_rows.expected(r) for r in c.execute(query, (limit,))])

    def quiet(self) -> bool:
        """See JobStore."""
        query = (
            f"SELECT EXISTS (SELECT 1 FROM jobs WHERE {_rows.IS_OPEN})"  # noqa: S608
            " OR EXISTS (SELECT 1 FROM expected)"
        )
        return not self._read(lambda c: c.execute(query).fetchone()[0])

    def refusals(self, limit: int = 100) -> list[Refusal]:
        """See JobStore. The newest 10,000 are kept."""
        query = "SELECT * FROM refused ORDER BY number DESC LIMIT ?"
        return self._read(lambda c: [_rows.refusal(r) for r in c.execute(query, (limit,))])

    def ignored(self, limit: int = 100) -> list[Ignored]:
        """See JobStore."""
        query = "SELECT * FROM ignored ORDER BY number DESC LIMIT ?"
        return self._read(lambda c: [_rows.ignored(r) for r in c.execute(query, (limit,))])

    def totals(self) -> Mapping[str, int]:
        """See JobStore."""
        rows = self._read(lambda c: c.execute("SELECT name, value FROM totals").fetchall())
        return {"refused": 0, "ignored": 0} | {row["name"]: row["value"] for row in rows}

    def _execute(self, query: str, *values: object) -> None:
        self._writer.run(lambda c: c.execute(query, values).rowcount)

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._guard:
            if self._reading is None:
                raise TemporaryError("the job store is closed")
            try:
                return work(self._reading)
            except sqlite3.Error as error:
                raise translate(error) from error

    def close(self) -> None:
        """See JobStore."""
        with self._guard:
            if self._reading is not None:
                self._reading.close()
                self._reading = None
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _has_moved(event: JobEvent) -> bool:
    return event.state is not event.previous or event.target != event.previous_target


def _one(connection: sqlite3.Connection, job: str) -> JobRecord | None:
    row = connection.execute(f"{_rows.JOB} WHERE j.id = ?", (job,)).fetchone()
    return None if row is None else _rows.job(row)


def _cannot_open(path: Path, error: Exception) -> PermanentError | TemporaryError:
    message = f"cannot open the job store {path}: {error}"
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return TemporaryError(message, hint="another program holds it")
    return PermanentError(message, hint="name a writable folder on a local disk")
