"""What the manager remembers beside the jobs: services with their tokens, buckets, its settings.

One SQLite file that only its owner can read. A service's token and the secrets that its users sent
are in it as they are: clients read the token back, and jobs need the secrets.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from bridge.errors import PermanentError, TemporaryError
from bridge.secret import Secret
from manager.service import Source

__all__ = ["BucketRow", "ServiceRow", "ServiceStore"]

T = TypeVar("T")

# Only ever appended to: a released step is never edited.
_MIGRATIONS: Final = (
    """
CREATE TABLE services (
    name TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    token TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    owner_name TEXT NOT NULL,
    created REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE buckets (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    visibility TEXT NOT NULL,
    allowed_users TEXT NOT NULL,
    service TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
""",
)


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """A service as it is stored. `created` is in seconds since the epoch."""

    name: str
    source: Source = field(repr=False)
    token: Secret
    owner: str
    owner_name: str
    created: float


@dataclass(frozen=True, slots=True)
class BucketRow:
    """What is known of a bucket beside its objects. `service` is the one that it was made for."""

    name: str
    owner: str
    visibility: str = "private"
    allowed_users: tuple[str, ...] = ()
    service: str = ""


class ServiceStore:
    """The file at `path`, made when it is not there. Thread-safe; what returns is on the disk.

    Errors: TemporaryError when the file cannot be written now, PermanentError when it is broken or
    newer than this program.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            with self._transaction() as connection:
                _migrate(connection)
        except (sqlite3.Error, OSError) as error:
            hint = "name a writable folder on a local disk"
            raise PermanentError(f"cannot open the state {path}: {error}", hint=hint) from error

    def services(self) -> list[ServiceRow]:
        """All services, by name."""
        rows = self._run(lambda c: c.execute("SELECT * FROM services ORDER BY name").fetchall())
        return [_service(row) for row in rows]

    def put_service(self, row: ServiceRow) -> None:
        """Store a service; one of the same name is replaced."""
        values = (row.name, json.dumps(row.source), row.token.reveal())
        self._execute(
            "INSERT OR REPLACE INTO services VALUES (?, ?, ?, ?, ?, ?)",
            *values,
            row.owner,
            row.owner_name,
            row.created,
        )

    def remove_service(self, name: str) -> None:
        """Forget a service; no error when there is none."""
        self._execute("DELETE FROM services WHERE name = ?", name)

    def bucket(self, name: str) -> BucketRow | None:
        """One bucket, None when nothing is known of it."""
        rows = self._run(
            lambda c: c.execute("SELECT * FROM buckets WHERE name = ?", (name,)).fetchall()
        )
        return _bucket(rows[0]) if rows else None

    def buckets(self) -> dict[str, BucketRow]:
        """All that is known, by name."""
        rows = self._run(lambda c: c.execute("SELECT * FROM buckets").fetchall())
        return {row["name"]: _bucket(row) for row in rows}

    def put_bucket(self, row: BucketRow) -> None:
        """Store what is known of a bucket."""
        users = json.dumps(row.allowed_users)
        values = (row.name, row.owner, row.visibility, users, row.service)
        self._execute("INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?, ?)", *values)

    def remove_bucket(self, name: str) -> None:
        """Forget a bucket."""
        self._execute("DELETE FROM buckets WHERE name = ?", name)

    def setting(self, name: str, default: Any) -> Any:
        """A value that was put, or the default."""
        query = "SELECT value FROM settings WHERE name = ?"
        rows = self._run(lambda c: c.execute(query, (name,)).fetchall())
        return json.loads(rows[0]["value"]) if rows else default

    def put_setting(self, name: str, value: Any) -> None:
        """Store a JSON value."""
        self._execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", name, json.dumps(value))

    def settings(self, prefix: str) -> list[str]:
        """Names of the values that were put under names that begin so."""
        query = "SELECT name FROM settings WHERE substr(name, 1, ?) = ? ORDER BY name"
        rows = self._run(lambda c: c.execute(query, (len(prefix), prefix)).fetchall())
        return [row["name"] for row in rows]

    def remove_setting(self, name: str) -> None:
        """Forget a value; no error when there is none."""
        self._execute("DELETE FROM settings WHERE name = ?", name)

    def close(self) -> None:
        """Close the file; nothing works after it."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _execute(self, query: str, *values: object) -> None:
        self._run(lambda c: c.execute(query, values))

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with self._transaction() as connection:
                return work(connection)
        except sqlite3.Error as error:
            raise TemporaryError(f"the manager's state cannot be used now: {error}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")


def _migrate(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(_MIGRATIONS):
        raise PermanentError(
            f"the manager's state has version {version}, this program knows {len(_MIGRATIONS)}",
            hint="use the newer oscar-bridge that wrote it, or another folder",
        )
    for script in _MIGRATIONS[version:]:
        # Not executescript: it would commit the transaction that makes this all or nothing.
        for statement in filter(str.strip, script.split(";")):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")


def _service(row: sqlite3.Row) -> ServiceRow:
    return ServiceRow(
        name=row["name"],
        source=json.loads(row["source"]),
        token=Secret(row["token"]),
        owner=row["owner"],
        owner_name=row["owner_name"],
        created=row["created"],
    )


def _bucket(row: sqlite3.Row) -> BucketRow:
    users: Sequence[str] = json.loads(row["allowed_users"])
    return BucketRow(row["name"], row["owner"], row["visibility"], tuple(users), row["service"])
