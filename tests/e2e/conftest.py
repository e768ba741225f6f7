"""Fixtures of the whole runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs import Workshop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    """A place for one run; afterwards nothing of it may be left."""
    made = Workshop(tmp_path)
    yield made
    made.check_left_nothing()
