"""What the manager remembers beside the jobs: services with their tokens, buckets, its settings.

In a SQLite file that only its owner can read, or in tables beside the jobs. A service's token and
the secrets that its users sent are in it as they are: clients read the token back, and jobs need
the secrets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from bridge.dispatch.database import (
    Connection,
    Database,
    Desk,
    Row,
    SqliteFile,
    migrate,
    upsert,
)
from bridge.errors import BridgeError
from bridge.secret import Secret
from manager.service import Source

__all__ = ["BucketRow", "ServiceRow", "ServiceStore"]

# Only ever appended to: a released step is never edited. The first files had no record of steps.
_MIGRATIONS: Final = (
    """
CREATE TABLE IF NOT EXISTS services (
    name TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    token TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    owner_name TEXT NOT NULL,
    created REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    visibility TEXT NOT NULL,
    allowed_users TEXT NOT NULL,
    service TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
""",
)


_STEPS: Final = [(f"step {number}", script) for number, script in enumerate(_MIGRATIONS, 1)]
_SERVICE: Final = upsert(
    "services", ["name"], ["source", "token", "owner", "owner_name", "created"]
)
_BUCKET: Final = upsert("buckets", ["name"], ["owner", "visibility", "allowed_users", "service"])
_VALUE: Final = "SELECT value FROM settings WHERE name = ?"
# The number of changes of the services, as JSON like every setting.
_VERSION: Final = "services_version"
_NEXT: Final = (
    "INSERT INTO settings VALUES (?, '1') ON CONFLICT (name)"
    " DO UPDATE SET value = CAST(CAST(settings.value AS INTEGER) + 1 AS TEXT)"
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
    """The tables in a database, or in the file at a path; made when they are not there.

    Thread-safe; what returns is on the disk. `shared`: whether other managers may have it too.
    Errors: TemporaryError when it cannot be written now, PermanentError when it is broken or newer
    than this program.
    """

    def __init__(self, place: Path | Database) -> None:
        self._database = SqliteFile(place) if isinstance(place, Path) else place
        self.shared = self._database.shared
        try:
            with closing(self._database.connect(writing=True)) as connection:
                migrate(connection, _STEPS, table="manager_migrations", what="the manager's state")
            self._desk = Desk(self._database, writing=True)
        except BridgeError:
            raise
        except Exception as error:
            raise self._database.unusable(error, "the state") from error

    def exclusive(self) -> AbstractContextManager[None]:
        """Keeps other managers from changing services (`Database.exclusive`)."""
        return self._database.exclusive()

    def version(self) -> int:
        """A number that is another after each change of the services."""
        found: int = self.setting(_VERSION, 0)
        return found

    def services(self) -> list[ServiceRow]:
        """All services, by name."""
        rows = self._read("SELECT * FROM services ORDER BY name")
        return [_service(row) for row in rows]

    def put_service(self, row: ServiceRow) -> None:
        """Store a service; one of the same name is replaced."""
        values = (row.name, json.dumps(row.source), row.token.reveal())
        whose = (row.owner, row.owner_name, row.created)
        self._execute(_SERVICE, *values, *whose, changed=True)

    def remove_service(self, name: str) -> None:
        """Forget a service; no error when there is none."""
        self._execute("DELETE FROM services WHERE name = ?", name, changed=True)

    def bucket(self, name: str) -> BucketRow | None:
        """One bucket, None when nothing is known of it."""
        rows = self._read("SELECT * FROM buckets WHERE name = ?", name)
        return _bucket(rows[0]) if rows else None

    def buckets(self) -> dict[str, BucketRow]:
        """All that is known, by name."""
        rows = self._read("SELECT * FROM buckets")
        return {row["name"]: _bucket(row) for row in rows}

    def put_bucket(self, row: BucketRow) -> None:
        """Store what is known of a bucket."""
        self._execute(_BUCKET, *_bucket_values(row))

    def claim_bucket(self, row: BucketRow, most: int | None) -> BucketRow | None:
        """Store what is known of a bucket unless something is known of it; what is known then.

        None when its owner would have more than `most`. Whoever asks for it anywhere waits for
        whoever was first.
        """

        def work(connection: Connection) -> BucketRow | None:
            query = "SELECT * FROM buckets WHERE name = ?"
            known = connection.execute(query, (row.name,)).fetchone()
            if known is not None:
                return _bucket(known)
            query = "SELECT count(*) AS buckets FROM buckets WHERE owner = ?"
            have = connection.execute(query, (row.owner,)).fetchone()["buckets"]
            if most is not None and have >= most:
                return None
            connection.execute(_BUCKET, _bucket_values(row))
            return row

        return self._desk.write(work, alone=True)

    def remove_bucket(self, name: str) -> None:
        """Forget a bucket."""
        self._execute("DELETE FROM buckets WHERE name = ?", name)

    def setting(self, name: str, default: Any) -> Any:
        """A value that was put, or the default."""
        rows = self._read(_VALUE, name)
        return json.loads(rows[0]["value"]) if rows else default

    def put_setting(self, name: str, value: Any) -> None:
        """Store a JSON value."""
        self._execute(upsert("settings", ["name"], ["value"]), name, json.dumps(value))

    def kept_setting(self, name: str, value: Any) -> Any:
        """The value that is there; this one is put first when there is none."""

        def work(connection: Connection) -> Any:
            row = (name, json.dumps(value))
            connection.execute("INSERT INTO settings VALUES (?, ?) ON CONFLICT DO NOTHING", row)
            return json.loads(connection.execute(_VALUE, (name,)).fetchone()["value"])

        return self._desk.write(work)

    def change_setting(self, name: str, default: Any, change: Callable[[Any], Any]) -> None:
        """Put what is made of a value, or of the default, in turn with all who change it so; what
        `change` raises leaves it as it is."""

        def work(connection: Connection) -> None:
            # A row that is not there cannot be waited for.
            row = (name, json.dumps(default))
            connection.execute("INSERT INTO settings VALUES (?, ?) ON CONFLICT DO NOTHING", row)
            query = f"{_VALUE} /*! FOR UPDATE */"
            kept = json.loads(connection.execute(query, (name,)).fetchone()["value"])
            made = json.dumps(change(kept))
            connection.execute("UPDATE settings SET value = ? WHERE name = ?", (made, name))

        self._desk.write(work)

    def settings(self, prefix: str) -> list[str]:
        """Names of the values that were put under names that begin so."""
        query = "SELECT name FROM settings WHERE substr(name, 1, ?) = ? ORDER BY name"
        rows = self._read(query, len(prefix), prefix)
        return [row["name"] for row in rows]

    def remove_setting(self, name: str) -> None:
        """Forget a value; no error when there is none."""
        self._execute("DELETE FROM settings WHERE name = ?", name)

    def close(self) -> None:
        """Let go of the database; nothing works after it."""
        self._desk.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _execute(self, query: str, *values: object, changed: bool = False) -> None:
        def work(connection: Connection) -> None:
            connection.execute(query, values)
            if changed:
                connection.execute(_NEXT, (_VERSION,))

        self._desk.write(work)

    def _read(self, query: str, *values: object) -> list[Row]:
        return self._desk.read(lambda c: c.execute(query, values).fetchall())


def _service(row: Row) -> ServiceRow:
    return ServiceRow(
        name=row["name"],
        source=_source(row["source"]),
        token=Secret(row["token"]),
        owner=row["owner"],
        owner_name=row["owner_name"],
        created=row["created"],
    )


def _source(text: str) -> Source:
    """An empty one, which no service is, for text that is no JSON object."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def _bucket_values(row: BucketRow) -> tuple[str, ...]:
    users = json.dumps(row.allowed_users)
    return row.name, row.owner, row.visibility, users, row.service


def _bucket(row: Row) -> BucketRow:
    users: Sequence[str] = json.loads(row["allowed_users"])
    return BucketRow(row["name"], row["owner"], row["visibility"], tuple(users), row["service"])
