"""Hand-overs from Lambda to Batch, both as plain processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.conformance.handover import *  # noqa: F403
from tests.conformance.places import Place, places


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with places("process", tmp_path_factory.mktemp("places")) as found:
        yield found["lambda"]


def test_an_event_that_waits_in_lambda_is_given_back(place: Place) -> None:
    made = place.service('cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/copy"')
    late, early = place.job(made, "late"), place.job(made, "early")
    # It was asked for before its event comes to its turn.
    assert place.target.withdraw(late, "")
    place.target.submit(late)
    assert place.finish(made, early).ok
    assert not place.target.withdraw(early, "")
    deadline = time.monotonic() + 60
    while "elsewhere" not in "".join(place.target.logs(late.id)):
        assert time.monotonic() < deadline
    assert place.target.withdraw(late, "")
    assert place.account.report(late.id) == {}
    # Another attempt, wherever it is, may run.
    assert place.finish(made, replace(late, attempt=2)).ok
