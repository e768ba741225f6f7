"""Fixtures of the dispatcher's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.dispatch import SqliteStore
from tests.dispatch.world import open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A new store in a file."""
    with open_store(tmp_path) as opened:
        yield opened


@pytest.fixture
def file(store: SqliteStore) -> SqliteStore:
    """The same, for what is said of SQLite alone; `store` is for every store."""
    return store
