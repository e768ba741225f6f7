"""The queue's state in tables of a database: what is accepted here, happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from bridge.dispatch import _intake, _lessons, _lines, _money, _past, _progress, _rows
from bridge.dispatch._schema import MIGRATIONS
from bridge.dispatch._turns import Turns, next_due
from bridge.dispatch._writer import Writer
from bridge.dispatch.database import Connection, Database, Desk, SqliteFile, migrate, upsert
from bridge.dispatch.model import (
    Accepted,
    Change,
    Expected,
    Ignored,
    JobDetail,
    JobEvent,
    JobRecord,
    Lesson,
    NewJob,
    Promised,
    Refusal,
    Usage,
    Waiting,
)
from bridge.errors import BridgeError
from bridge.targets import JobState

__all__ = ["SqlStore", "SqliteStore"]

T = TypeVar("T")


class SqlStore:
    """A JobStore in the tables of a database, made when they are not there.

    Callers at the same time share a transaction. Accepts, refusals and cancels
    are on the disk when they return; other changes survive the death of the process, and after a
    loss of power the last of them may have to be learned again from the targets.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reporting = threading.Lock()
        self._watchers: list[Callable[[Sequence[JobEvent]], None]] = []
        # Claims are made one at a time.
        self._turns = Turns()
        try:
            writing = database.connect(writing=True)
            migrate(writing, MIGRATIONS, table="migrations", what="the job store")
            self._reading = Desk(database, writing=False)
        except BridgeError:
            raise
        except Exception as error:
            raise database.unusable(error, "the job store") from error
        self._writer = Writer(database, writing)

    def accept(self, items: Sequence[NewJob], at: float) -> list[Accepted]:
        """See JobStore."""

        def tell(answers: Sequence[Accepted]) -> None:
            self._tell(
                [JobEvent(a.job, a.service, JobState.ACCEPTED, None, at) for a in answers if a.new]
            )

        return self._writer.run(
            lambda c: _intake.accept(c, items, at), durable=True, alone=True, after=tell
        )

    def refuse(self, refusal: Refusal) -> None:
        """See JobStore."""
        self._writer.run(lambda c: _intake.refuse(c, refusal), durable=True, alone=True)

    def ignore(self, events: Sequence[Ignored]) -> None:
        """See JobStore. The newest 1,000 are kept."""
        self._writer.run(lambda c: _intake.ignore(c, events), alone=True)

    def lease(self, owner: str, until: float) -> None:
        """See JobStore."""
        self._execute(upsert("owners", ["id"], ["until"]), owner, until)

    def release(self, owner: str) -> None:
        """See JobStore."""
        self._execute("DELETE FROM owners WHERE id = ?", owner)

    def owners(self) -> Mapping[str, float]:
        """See JobStore."""
        rows = self._read(lambda c: c.execute("SELECT id, until FROM owners").fetchall())
        return {row["id"]: row["until"] for row in rows}

    def claim(
        self,
        owner: str,
        state: JobState,
        now: float,
        limit: int,
        target: str = "",
    ) -> list[JobRecord]:
        """See JobStore."""
        rows = self._writer.run(
            lambda c: self._turns.claim(c, owner, state=state, target=target, now=now, limit=limit)
        )
        return [_rows.job(row) for row in rows]

    def take(self, owner: str, job: JobRecord, now: float) -> bool:
        """See JobStore."""
        return self._writer.run(lambda c: _lines.take(c, owner, job, now))

    def waiting(
        self, owner: str, services: Sequence[str], before: float, now: float, limit: int
    ) -> list[Waiting]:
        """See JobStore."""
        rows = self._read(
            lambda c: _lines.waiting(
                c, owner, services=services, before=before, now=now, limit=limit
            )
        )
        return [_rows.waiting(row) for row in rows]

    def change(self, changes: Sequence[Change]) -> list[JobEvent | None]:
        """See JobStore."""
        # Of a bundle, who is in it must be known before it is launched.
        durable = any(
            wish.state is JobState.CANCELLED or (wish.state is JobState.PLACED and wish.handle)
            for wish in changes
        )
        # Whether a follow-up has come already must stay so until it is expected, and what is left
        # of a budget until it is promised.
        alone = any(wish.expected or wish.within for wish in changes)

        def tell(answers: Sequence[JobEvent | None]) -> None:
            self._tell([a for a in answers if a is not None and _has_moved(a)])

        return self._writer.run(
            lambda c: _progress.change(c, changes), durable=durable, alone=alone, after=tell
        )

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
        return self._read(lambda c: next_due(c, state, target, now))

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
        return int(self._read(lambda c: c.execute(query, values).fetchone()["jobs"]))

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
        return self._grouped(
            "SELECT service AS name, state, count(*) AS jobs FROM jobs GROUP BY 1, 2"
        )

    def usage(self, since: float, until: float, *, service: str = "") -> list[Usage]:
        """See JobStore. Looks through all jobs of the service, or all: on a connection of its own,
        as the queue must not wait for it, and one at a time."""
        query, values = _rows.usage_query(service)
        with self._reporting:
            desk = Desk(self._database, writing=False)
            try:
                rows = desk.read(lambda c: c.execute(query, (since, until, *values)).fetchall())
            finally:
                desk.close()
        return [_rows.usage(row) for row in rows]

    def loads(
        self, heard: Callable[[Mapping[tuple[str, JobState], int]], None] | None = None
    ) -> Mapping[tuple[str, JobState], int]:
        """See JobStore."""
        query = (
            "SELECT target AS name, state, count(*) AS jobs FROM jobs"  # noqa: S608
            f" WHERE {_rows.IS_OPEN} GROUP BY 1, 2"
        )
        if heard is None:
            return self._grouped(query)
        return self._writer.run(lambda c: _groups(c, query), after=heard)

    def _grouped(self, query: str) -> dict[tuple[str, JobState], int]:
        return self._read(lambda c: _groups(c, query))

    def expected(self, before: float | None = None) -> list[Expected]:
        """See JobStore."""
        query = "SELECT * FROM expected WHERE since < ? ORDER BY since"
        limit = float("inf") if before is None else before
        rows = self._read(lambda c: c.execute(query, (limit,)).fetchall())
        return [_rows.expected(row) for row in rows]

    def quiet(self) -> bool:
        """See JobStore."""
        query = (
            f"SELECT EXISTS (SELECT 1 FROM jobs WHERE {_rows.IS_OPEN})"  # noqa: S608
            " OR EXISTS (SELECT 1 FROM expected) AS busy"
        )
        return not self._read(lambda c: c.execute(query).fetchone()["busy"])

    def refusals(self, limit: int = 100) -> list[Refusal]:
        """See JobStore. The newest 10,000 are kept."""
        query = "SELECT * FROM refused ORDER BY number DESC LIMIT ?"
        rows = self._read(lambda c: c.execute(query, (limit,)).fetchall())
        return [_rows.refusal(row) for row in rows]

    def ignored(self, limit: int = 100) -> list[Ignored]:
        """See JobStore."""
        query = "SELECT * FROM ignored ORDER BY number DESC LIMIT ?"
        rows = self._read(lambda c: c.execute(query, (limit,)).fetchall())
        return [_rows.ignored(row) for row in rows]

    def totals(self) -> Mapping[str, int]:
        """See JobStore."""
        rows = self._read(lambda c: c.execute("SELECT name, value FROM totals").fetchall())
        return {"refused": 0, "ignored": 0} | {row["name"]: row["value"] for row in rows}

    def lessons(self, limit: int) -> list[Lesson]:
        """See JobStore."""
        return self._read(lambda c: _lessons.lessons(c, limit))

    def kept(self, since: int = 0) -> tuple[int, Mapping[str, str]]:
        """See JobStore."""
        return self._read(lambda c: _lessons.kept(c, since))

    def learned(self, version: int, changes: Mapping[str, str], of: Sequence[Lesson]) -> bool:
        """See JobStore."""
        return self._writer.run(lambda c: _lessons.learned(c, version, changes, of), alone=True)

    def tidy(self, before: float, limit: int) -> int:
        """See JobStore."""
        return self._writer.run(lambda c: _past.tidy(c, before, limit))

    def promised(self, service: str, share: str) -> Promised:
        """See JobStore."""
        return self._read(lambda c: _money.promised(c, service, share))

    def relearn(self, mark: tuple[str, str]) -> None:
        """See JobStore."""
        self._writer.run(lambda c: _lessons.relearn(c, mark), alone=True)

    def _execute(self, query: str, *values: object) -> None:
        self._writer.run(lambda c: c.execute(query, values))

    def _read(self, work: Callable[[Connection], T]) -> T:
        return self._reading.read(work)

    def close(self) -> None:
        """See JobStore."""
        self._reading.close()
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


class SqliteStore(SqlStore):
    """The store in the file at `path`; see SqliteFile."""

    def __init__(self, path: Path, *, busy_timeout: float = 5.0) -> None:
        self.path = path
        super().__init__(SqliteFile(path, busy_timeout=busy_timeout))


def _has_moved(event: JobEvent) -> bool:
    return event.state is not event.previous or event.target != event.previous_target


def _one(connection: Connection, job: str) -> JobRecord | None:
    row = connection.execute(f"{_rows.JOB} WHERE j.id = ?", (job,)).fetchone()
    return None if row is None else _rows.job(row)


def _groups(connection: Connection, query: str) -> dict[tuple[str, JobState], int]:
    rows = connection.execute(query).fetchall()
    return {(row["name"], JobState(row["state"])): row["jobs"] for row in rows}
