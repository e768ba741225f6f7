"""One PostgreSQL server for the session; tests have schemas of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.dispatch import SqlStore

from .server import Server, postgres


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with postgres() as started:
        yield started


@pytest.fixture(scope="session")
def one_store(server: Server) -> Iterator[tuple[str, SqlStore]]:
    schema = server.schema()
    with SqlStore(server.database(schema)) as opened:
        yield schema, opened


@pytest.fixture
def store(server: Server, one_store: tuple[str, SqlStore]) -> SqlStore:
    """A store without anything in it: to empty one is cheaper than to make one."""
    schema, opened = one_store
    rows = server.do(f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'")
    names = (f"{schema}.{name}" for (name,) in rows if name != "migrations")
    server.do(f"TRUNCATE {', '.join(names)} RESTART IDENTITY")
    return opened
