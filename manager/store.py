"""What the manager remembers beside the jobs: services with their tokens, buckets, its settings.

In a SQLite file that only its owner can read, or in tables beside the jobs. Services, with their
tokens and secrets, and all settings are sealed (`manager.sealing`): clients read tokens back, and
jobs need secrets, so hashes would not do.
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
from bridge.errors import BridgeError, PermanentError, UsageError
from bridge.secret import Secret
from manager.sealing import VARIABLE, Seal, digest, kept_key
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
    # `sealed` has the source and the token; the digest keeps tokens unique. What is there already
    # is sealed by `_seal_all`: SQL cannot.
    """
ALTER TABLE services RENAME COLUMN source TO sealed;
ALTER TABLE services RENAME COLUMN token TO token_sha256;
""",
)


_STEPS: Final = [(f"step {number}", script) for number, script in enumerate(_MIGRATIONS, 1)]
_SERVICE: Final = upsert(
    "services", ["name"], ["sealed", "token_sha256", "owner", "owner_name", "created"]
)
_BUCKET: Final = upsert("buckets", ["name"], ["owner", "visibility", "allowed_users", "service"])
_SETTING: Final = upsert("settings", ["name"], ["value"])
_VALUE: Final = "SELECT value FROM settings WHERE name = ?"
# The number of changes of the services, as JSON like every setting.
_VERSION: Final = "services_version"
# Which key everything is sealed with.
_MARK: Final = "state_key"
_OPEN: Final = (_VERSION, _MARK)
_KEY_FILE: Final = "state.key"
# So that what stood there before it was sealed is in no free page.
_REWRITE: Final = "VACUUM /*! FULL services, settings */"
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

    `key` is what it is sealed with, by default that in `state.key` beside the file, which is made
    with it. Thread-safe; what returns is on the disk. `shared`: whether other managers may have it
    too. Errors: TemporaryError when it cannot be written now, PermanentError when it is broken,
    newer than this program, or sealed with another key; UsageError for a database without a key.
    """

    def __init__(self, place: Path | Database, key: Secret | None = None) -> None:
        self._database = SqliteFile(place) if isinstance(place, Path) else place
        self.shared = self._database.shared
        try:
            with closing(self._database.connect(writing=True)) as connection:
                migrate(connection, _STEPS, table="manager_migrations", what="the manager's state")
                self._seal = Seal(key or _own_key(place, connection))
                if _sealed_now(connection, self._seal):
                    connection.execute(_REWRITE)
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
        rows = self._read(_VALUE, _VERSION)
        return int(rows[0]["value"]) if rows else 0

    def services(self) -> list[ServiceRow]:
        """All services, by name."""
        rows = self._read("SELECT * FROM services ORDER BY name")
        return [_service(row, self._seal) for row in rows]

    def put_service(self, row: ServiceRow) -> None:
        """Store a service; one of the same name is replaced."""
        values = (row.name, *_sealed_service(self._seal, row.name, row.source, row.token))
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
        return self._opened(name, rows[0]["value"]) if rows else default

    def put_setting(self, name: str, value: Any) -> None:
        """Store a JSON value."""
        self._execute(_SETTING, name, self._sealed(name, value))

    def kept_setting(self, name: str, value: Any) -> Any:
        """The value that is there; this one is put first when there is none."""

        def work(connection: Connection) -> Any:
            row = (name, self._sealed(name, value))
            connection.execute("INSERT INTO settings VALUES (?, ?) ON CONFLICT DO NOTHING", row)
            return self._opened(name, connection.execute(_VALUE, (name,)).fetchone()["value"])

        return self._desk.write(work)

    def change_setting(self, name: str, default: Any, change: Callable[[Any], Any]) -> None:
        """Put what is made of a value, or of the default, in turn with all who change it so; what
        `change` raises leaves it as it is."""

        def work(connection: Connection) -> None:
            # A row that is not there cannot be waited for.
            row = (name, self._sealed(name, default))
            connection.execute("INSERT INTO settings VALUES (?, ?) ON CONFLICT DO NOTHING", row)
            query = f"{_VALUE} /*! FOR UPDATE */"
            kept = self._opened(name, connection.execute(query, (name,)).fetchone()["value"])
            connection.execute(_SETTING, (name, self._sealed(name, change(kept))))

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

    def _sealed(self, name: str, value: Any) -> str:
        return self._seal.seal(json.dumps(value), _setting_place(name))

    def _opened(self, name: str, sealed: str) -> Any:
        return json.loads(self._seal.open(sealed, _setting_place(name)))


def _own_key(place: Path | Database, connection: Connection) -> Secret:
    """The key in the file beside the state, made for a state that has none yet."""
    if not isinstance(place, Path):
        raise UsageError(
            f"{VARIABLE} is not set: a state in a database needs a key that is not in it",
            hint="make one with: openssl rand -hex 32; all managers on it need the same",
        )
    sealed = connection.execute(_VALUE, (_MARK,)).fetchone() is not None
    return kept_key(place.with_name(_KEY_FILE), make=not sealed)


def _sealed_now(connection: Connection, seal: Seal) -> bool:
    """Whether there was something that had to be sealed; PermanentError for another key's state."""
    connection.begin(durable=True, alone=True)
    try:
        found = connection.execute(_VALUE, (_MARK,)).fetchone()
        if found is not None and found["value"] != seal.mark:
            raise PermanentError(
                "the manager's state is sealed with another key",
                hint=f"set {VARIABLE} to the key that it was made with, or put back the file"
                f" {_KEY_FILE} that stood beside it",
            )
        changed = found is None and _seal_all(connection, seal)
        connection.execute(_SETTING, (_MARK, seal.mark))
        connection.commit()
    finally:
        if connection.in_transaction:
            connection.rollback()
    return changed


def _seal_all(connection: Connection, seal: Seal) -> bool:
    """Seal what a version without seals has stored; whether there was any."""
    services = connection.execute("SELECT * FROM services").fetchall()
    for row in services:
        source, token = _source(row["sealed"]), Secret(row["token_sha256"])
        values = (*_sealed_service(seal, row["name"], source, token), row["name"])
        connection.execute(
            "UPDATE services SET sealed = ?, token_sha256 = ? WHERE name = ?", values
        )
    settings = connection.execute("SELECT * FROM settings").fetchall()
    for row in settings:
        if (name := row["name"]) not in _OPEN:
            sealed = seal.seal(row["value"], _setting_place(name))
            connection.execute("UPDATE settings SET value = ? WHERE name = ?", (sealed, name))
    return bool(services or settings)


def _setting_place(name: str) -> str:
    return f"setting {name}"


def _service_place(name: str) -> str:
    return f"service {name}"


def _sealed_service(seal: Seal, name: str, source: Source, token: Secret) -> tuple[str, str]:
    """What is stored of a service that nobody else may read, and its token's digest."""
    text = json.dumps({"source": source, "token": token.reveal()})
    return seal.seal(text, _service_place(name)), digest(token)


def _service(row: Row, seal: Seal) -> ServiceRow:
    """One without a source, which no service is, where it cannot be read."""
    try:
        found = json.loads(seal.open(row["sealed"], _service_place(row["name"])))
    except (PermanentError, ValueError):
        found = {"source": {}, "token": ""}
    return ServiceRow(
        name=row["name"],
        source=found["source"],
        token=Secret(found["token"]),
        owner=row["owner"],
        owner_name=row["owner_name"],
        created=row["created"],
    )


def _source(text: str) -> Source:
    """An empty one for text that is no JSON object."""
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
