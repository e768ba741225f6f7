"""One PostgreSQL server for the session, and a schema for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")

from bridge.dispatch import SqlStore

from .server import Server, postgres


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with postgres() as started:
        yield started


@pytest.fixture
def store(server: Server) -> Iterator[SqlStore]:
    """A new store in a schema of its own."""
    with SqlStore(server.database()) as opened:
        yield opened
