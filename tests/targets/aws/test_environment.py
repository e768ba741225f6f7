"""The environment of a function as a plain process."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.conformance.places import Place


@pytest.fixture
def place(sides: Mapping[str, Place]) -> Place:
    return sides["lambda"]


def test_what_an_invocation_leaves_in_its_environment_is_gone_at_the_next(place: Place) -> None:
    service = place.service(
        'name="$(basename "$INPUT_FILE_PATH")"\n'
        'ls -A "$HOME" | grep -v ^bridge- > "$TMP_OUTPUT_DIR/seen-$name"\n'
        'echo x > "$HOME/left"; echo "$HOME" > "$TMP_OUTPUT_DIR/home-$name"\n'
    )
    for name in ("one", "two"):
        assert place.finish(service, place.job(service, name)).ok
    outputs = place.outputs(service)
    assert outputs["home-one"] == outputs["home-two"]  # warm, or this shows nothing
    assert (outputs["seen-one"], outputs["seen-two"]) == (b"", b"")
