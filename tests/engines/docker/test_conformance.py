"""The conformance suite in containers: a cluster's stand-in, Lambda and Batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.conformance import suite
from tests.conformance.places import NAMES, Place, places
from tests.conformance.suite import *  # noqa: F403


@pytest.fixture(scope="module")
def all_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Place]]:
    with places("container", tmp_path_factory.mktemp("places")) as found:
        yield found


@pytest.fixture(params=NAMES)
def place(request: pytest.FixtureRequest, all_places: Mapping[str, Place]) -> Place:
    return all_places[request.param]


def test_every_name_survives(place: Place) -> None:
    # Each by itself is tried with processes.
    suite.test_every_name_survives(place, "deep/-dash ñandú-日本 a+b%20c q?x&y=z.bin")
