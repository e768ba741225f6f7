"""Where the manager keeps what it must not forget: a folder, or a database for several managers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

from bridge.dispatch import JobStore, SqliteStore, SqlStore
from bridge.dispatch.database import Database
from bridge.errors import MissingToolError
from bridge.secret import Secret
from manager.sealing import VARIABLE
from manager.settings import state_folder
from manager.store import ServiceStore

__all__ = ["open_stores"]

_URL: Final = "BRIDGE_DATABASE_URL"


def open_stores(environment: Mapping[str, str], stack: ExitStack) -> tuple[ServiceStore, JobStore]:
    """Services and jobs, in the database of BRIDGE_DATABASE_URL, else in files in BRIDGE_STATE.

    Services are sealed with BRIDGE_STATE_KEY, in a folder else with the key that is kept there.
    They are closed with `stack`. UsageError for a URL that cannot be understood, MissingToolError
    without the packages for it; TemporaryError when the database does not answer, PermanentError
    when it or the folder cannot be used.
    """
    given = environment.get(VARIABLE)
    key = Secret(given) if given else None
    if url := environment.get(_URL):
        database = _database(Secret(url))
        state = stack.enter_context(ServiceStore(database, key))
        return state, stack.enter_context(SqlStore(database))
    folder = state_folder(environment)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = stack.enter_context(ServiceStore(folder / "manager.sqlite", key))
    return state, stack.enter_context(SqliteStore(folder / "jobs.sqlite"))


def _database(url: Secret) -> Database:
    try:
        from bridge.dispatch.postgres import Postgres
    except ImportError as error:
        raise MissingToolError(
            f"{_URL} is set, and psycopg is not installed",
            hint="pip install 'oscar-bridge[postgres]'",
        ) from error
    return Postgres(url)
