"""The conformance suite in containers: a cluster's stand-in, Lambda and Batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.conformance import suite
from tests.conformance.places import NAMES, Place, places
from tests.conformance.suite import *  # noqa: F403

# The supervisor's own, whoever started it: tried in every place with processes, here in one.
_OWN = {
    "test_a_script_may_close_its_output",
    "test_an_empty_object_is_an_input_too",
    "test_an_object_that_is_gone_is_a_failure_with_its_name",
    "test_every_name_survives",
    "test_it_writes_to_another_provider",
    "test_outputs_are_filtered_by_prefix_and_suffix",
    "test_windows_line_ends_do_no_harm",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "place" in metafunc.fixturenames:
        names = NAMES[:1] if metafunc.definition.originalname in _OWN else NAMES
        metafunc.parametrize("place", names, indirect=True)


@pytest.fixture(scope="module")
def all_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Place]]:
    with places("container", tmp_path_factory.mktemp("places")) as found:
        yield found


@pytest.fixture
def place(request: pytest.FixtureRequest, all_places: Mapping[str, Place]) -> Place:
    return all_places[request.param]


def test_every_name_survives(place: Place) -> None:
    # Each by itself is tried with processes.
    suite.test_every_name_survives(place, "deep/-dash ñandú-日本 a+b%20c q?x&y=z.bin")
