"""What importing costs: a command that reads no FDL must not load what reading needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import bridge.fdl


def loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("heavy", ["yaml", "jsonschema", "rich", "difflib", "bridge.fdl._document"])
def test_the_package_is_light(heavy: str) -> None:
    assert heavy not in loaded("import bridge.fdl.model")


def test_a_right_file_loads_neither_difflib_nor_jsonschema() -> None:
    text = "functions: {bridge: [{name: svc, image: i, script: s}]}"
    modules = loaded(f"import bridge.fdl\nbridge.fdl.parse({text!r})")
    assert "yaml" in modules
    assert not {"difflib", "jsonschema", "rich", "boto3"} & modules


def test_every_public_name_is_there() -> None:
    assert bridge.fdl.__all__ == sorted(bridge.fdl.__all__)
    assert all(hasattr(bridge.fdl, name) for name in bridge.fdl.__all__)
    assert not hasattr(bridge.fdl, "nothing")
