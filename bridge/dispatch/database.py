"""Where a store keeps its tables: what is asked of a database, and SQLite as one.

The stores' SQL is written once, in what SQLite and PostgreSQL have in common: values are `?` or
`:name`, types are SQLite's, and words in `/*! … */` are for PostgreSQL alone
(`bridge.dispatch.postgres`), as a SQLite transaction that writes is alone anyway.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from bridge.errors import BridgeError, PermanentError, TemporaryError

__all__ = ["Connection", "Cursor", "Database", "Desk", "Row", "SqliteFile", "migrate", "upsert"]

T = TypeVar("T")
Values = Sequence[Any] | Mapping[str, Any]

_WAL_LIMIT: Final = 64 * 1024 * 1024


class Row(Protocol):
    """A row whose columns have names."""

    def __getitem__(self, name: str, /) -> Any: ...

    def keys(self) -> Iterable[str]: ...


class Cursor(Protocol):
    """The rows of an answer."""

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A connection on which each statement is committed at once, but between begin and commit.

    Errors are the database's own (`Database.translate`).
    """

    def execute(self, sql: str, values: Values = ..., /) -> Cursor:
        """Carry out one statement."""
        ...

    def executemany(self, sql: str, values: Iterable[Values], /) -> object:
        """Carry out a statement with each of these values."""
        ...

    def begin(self, *, durable: bool, alone: bool) -> None:
        """Begin a transaction; with `alone` no other such transaction is under way meanwhile.

        `durable`: a commit that survives the loss of power, where the database has another kind.
        """
        ...

    def commit(self) -> None:
        """Keep what was done since `begin`."""
        ...

    def rollback(self) -> None:
        """Undo what was done since `begin`."""
        ...

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction was begun and has not ended."""
        ...

    @property
    def lost(self) -> bool:
        """Whether the server has gone away; the next statement outside a transaction looks for it
        again."""
        ...

    def settle(self, patient: Callable[[], bool]) -> bool:
        """After `commit` has raised: whether it was carried out all the same.

        Waits for the server's answer as long as `patient()`; False when that ends first.
        """
        ...

    def close(self) -> None:
        """Give the connection up."""
        ...


class Database(Protocol):
    """A place for tables. Thread-safe, its connections are not."""

    shared: bool
    """Whether programs on other machines may use it too."""

    def connect(self, *, writing: bool) -> Connection:
        """A new connection; raises what `unusable` understands."""
        ...

    def translate(self, error: Exception) -> Exception:
        """The database's error as ours; others as they are."""
        ...

    def unusable(self, error: Exception, what: str) -> BridgeError:
        """The error with which `what` could not be opened, as ours."""
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """Keeps out whoever else asks for it in another process, for as long as the block takes.

        TemporaryError when another has it for too long.
        """
        ...


class SqliteConnection(sqlite3.Connection):
    """A connection to a file. All transactions are alone."""

    lost = False
    _synchronous = ""

    def begin(self, *, durable: bool, alone: bool) -> None:
        """See Connection."""
        del alone
        wanted = "FULL" if durable else "NORMAL"
        if wanted != self._synchronous:
            self.execute(f"PRAGMA synchronous = {wanted}")
            self._synchronous = wanted
        self.execute("BEGIN IMMEDIATE")

    def settle(self, patient: Callable[[], bool]) -> bool:
        """See Connection; SQLite says at once what has become of a commit."""
        del patient
        return False


class SqliteFile:
    """A SQLite file, made for its owner only when it is not there. Not for network file systems.

    `busy_timeout` is in seconds: how long another program may hold the file before TemporaryError.
    """

    shared = False

    def __init__(self, path: Path, *, busy_timeout: float = 5.0) -> None:
        self.path = path
        self._busy_timeout = busy_timeout

    def connect(self, *, writing: bool) -> SqliteConnection:
        """See Database."""
        if writing:
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(
            self.path,
            timeout=self._busy_timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
            factory=SqliteConnection,
        )
        connection.row_factory = sqlite3.Row
        try:
            if writing:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
        except BaseException:
            connection.close()
            raise
        return connection

    def translate(self, error: Exception) -> Exception:
        """See Database: what may pass (locked, full, cut off) is temporary."""
        if not isinstance(error, sqlite3.Error):
            return error
        if isinstance(error, sqlite3.OperationalError):
            return TemporaryError(
                f"{self.path} cannot do this now: {error}",
                hint="free disk space, or end the program that holds the file",
            )
        return PermanentError(f"{self.path} is damaged: {error}")

    def unusable(self, error: Exception, what: str) -> BridgeError:
        """See Database."""
        message = f"cannot open {what} {self.path}: {error}"
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            return TemporaryError(message, hint="another program holds it")
        return PermanentError(message, hint="name a writable folder on a local disk")

    def exclusive(self) -> AbstractContextManager[None]:
        """See Database: one program at a time has the file."""
        return nullcontext()


class Desk:
    """One connection that threads share, a piece of work at a time. Errors are ours."""

    def __init__(self, database: Database, *, writing: bool) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._connection: Connection | None = database.connect(writing=writing)

    @property
    def connection(self) -> Connection:
        """The connection; TemporaryError when it is closed."""
        if self._connection is None:
            raise TemporaryError("the store is closed")
        return self._connection

    def read(self, work: Callable[[Connection], T]) -> T:
        """The answer of work that changes nothing: where the server was lost, it is asked again."""
        with self._lock:
            connection = self.connection
            try:
                return work(connection)
            except Exception as error:
                if not connection.lost:
                    raise self._database.translate(error) from error
            return self._tried(lambda: work(connection))

    def write(self, work: Callable[[Connection], T], *, alone: bool = False) -> T:
        """The answer of work that is one durable transaction: all of it, or nothing.

        With `alone` no other such transaction is under way meanwhile (`Connection.begin`).
        """
        with self._lock:
            connection = self.connection
            return self._tried(lambda: _transaction(connection, work, alone=alone))

    def _tried(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except Exception as error:
            raise self._database.translate(error) from error

    def close(self) -> None:
        """Give the connection up; nothing works after it."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def _transaction(connection: Connection, work: Callable[[Connection], T], *, alone: bool) -> T:
    connection.begin(durable=True, alone=alone)
    try:
        answer = work(connection)
        connection.commit()
    finally:
        if connection.in_transaction:
            connection.rollback()
    return answer


def upsert(table: str, keys: Sequence[str], others: Sequence[str]) -> str:
    """The statement that inserts a row of these columns, or changes the one that has the keys."""
    columns = (*keys, *others)
    return (
        f"INSERT INTO {table} ({', '.join(columns)})"  # noqa: S608  names of our own
        f" VALUES ({', '.join('?' * len(columns))}) ON CONFLICT ({', '.join(keys)})"
        f" DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in others)}"
    )


def migrate(
    connection: Connection, steps: Sequence[tuple[str, str]], *, table: str, what: str
) -> None:
    """Carry out the (name, statements) that `table` does not have on record, all or none.

    PermanentError when a newer program has left more steps there than these.
    """
    connection.begin(durable=True, alone=True)
    try:
        _apply(connection, steps, table, what)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _apply(connection: Connection, steps: Sequence[tuple[str, str]], table: str, what: str) -> None:
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {table}"
        " (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied REAL NOT NULL)"
    )
    row = connection.execute(f"SELECT coalesce(max(version), 0) AS version FROM {table}").fetchone()  # noqa: S608
    version = int(row["version"])
    if version > len(steps):
        raise PermanentError(
            f"{what} has version {version}, this program knows {len(steps)}",
            hint="use the newer oscar-bridge that wrote it, or another place for the state",
        )
    for number, (name, script) in enumerate(steps[version:], version + 1):
        # Not executescript: it would commit the transaction that makes this all or nothing.
        for statement in filter(str.strip, script.split(";")):
            connection.execute(statement)
        connection.execute(
            f"INSERT INTO {table} VALUES (?, ?, ?)",  # noqa: S608
            (number, name, time.time()),
        )
