"""One deployed account for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.operate.world import World
from tests.operate.world import world as deployed_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Services on Lambda and Batch that really run, as plain processes."""
    with deployed_world(tmp_path_factory.mktemp("day-two")) as made:
        yield made
