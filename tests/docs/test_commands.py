"""Every command in the documentation works: the blocks marked `sh` are run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.command import ROOT
from tests.docs.pages import PAGES, commands, run

_LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the project's, in which commands may write."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "examples", folder / "examples")
    return folder


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_documented_command_works(page: str, line: str, project: Path) -> None:
    # Documented runs use the default engine; here it must not depend on what is installed.
    if line.startswith("oscar-bridge run"):
        line += " --engine process"
    # A suite within a suite: that it finds its tests is enough here, they run beside this one.
    if "pytest " in line:
        run(f"{line} --collect-only -q", ROOT)
    else:
        run(line, project)


def test_there_are_commands_on_every_page_that_should_have_some() -> None:
    pages = {page for page, _ in commands()}
    assert {"README.md", "docs/fdl.md", "docs/placement.md", "docs/local.md"} <= pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert broken == []
