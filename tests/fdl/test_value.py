"""A plain value means what the same document in YAML means."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bridge.errors import FdlError
from bridge.fdl import from_value, parse, spelled_service

from .texts import EXAMPLES


def script(path: str) -> str:
    return f"#!/bin/sh\n# {path}\n"


@pytest.mark.parametrize("file", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda file: file.name)
def test_every_example_is_the_same_document(file: Path) -> None:
    text = file.read_text()
    value = yaml.safe_load(text)
    assert from_value(value, file="x", read_script=script) == parse(
        text, file="x", read_script=script
    )


def test_problems_are_named_by_their_path() -> None:
    value = {"functions": {"bridge": [{"name": "Not Good", "image": "x", "script": "s"}]}}
    with pytest.raises(FdlError) as error:
        from_value(value, read_script=script)
    assert [problem.path for problem in error.value.problems] == ["functions.bridge[0].name"]


def test_keys_are_spelled_as_the_grammar_does_and_others_left_out() -> None:
    said = {
        "NAME": "one",
        "token": "t",
        "Input": [{"Storage_Provider": "minio", "PATH": "a/b", "other": 1}],
        "environment": {"Variables": {"Kept_As_It_Is": "x"}},
    }
    assert spelled_service(said) == {
        "name": "one",
        "input": [{"storage_provider": "minio", "path": "a/b"}],
        "environment": {"variables": {"Kept_As_It_Is": "x"}},
    }
