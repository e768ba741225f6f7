"""The pages of day two name what there is: every command, every key, every price that is ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.cli.main import app
from bridge.fdl import schema

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [DOCS / "scar.md", DOCS / "costs.md"]
OF_OTHERS = {"plan", "apply", "destroy", "drift", "rollback", "validate"}


def keys(section: str) -> set[str]:
    """The keys of a section of FDL."""
    found: set[str] = set(schema()["$defs"][section]["properties"])
    return {key for key in found if key.islower()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_a_page_names_exist(page: Path) -> None:
    named = set(re.findall(r"oscar-bridge ([a-z][a-z-]+)", page.read_text()))
    assert named - OF_OTHERS <= set(app.commands)
    assert named & set(app.commands)


@pytest.mark.parametrize("section", ["lambda", "container", "batch", "iam", "cloudwatch", "ecr"])
def test_every_key_of_scar_is_on_its_page(section: str) -> None:
    said = (DOCS / "scar.md").read_text()
    missing = {key for key in keys(section) if not re.search(rf"\b{key}\b", said)}
    assert missing <= {"type", "state"}


def test_every_command_of_scar_is_on_its_page() -> None:
    said = (DOCS / "scar.md").read_text()
    for command in ("init", "update", "run", "invoke", "ls", "log", "put", "get", "rm"):
        assert f"`scar {command}" in said
