"""Hand-overs from Lambda to Batch, both as plain processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.handover import *  # noqa: F403
from tests.conformance.places import Place, places


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with places("process", tmp_path_factory.mktemp("places")) as found:
        yield found["lambda"]
