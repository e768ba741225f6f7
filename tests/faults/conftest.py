"""Places on plain processes for tests of what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.conformance.places import NAMES, Place, places


@pytest.fixture(scope="package")
def all_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Place]]:
    """A cluster's stand-in, Lambda and Batch."""
    with places("process", tmp_path_factory.mktemp("places")) as found:
        yield found


@pytest.fixture(params=NAMES)
def place(request: pytest.FixtureRequest, all_places: Mapping[str, Place]) -> Place:
    """Each of them."""
    found: Place = all_places[request.param]
    return found
