"""Fixtures of the supervisor's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import ObjectStore
from tests.supervisor.world import World


@pytest.fixture
def world(object_store: ObjectStore, tmp_path: Path) -> World:
    """A fresh bucket with a service around it."""
    return World(object_store, object_store.make_bucket(), tmp_path)
