"""Every command in the documentation works: the blocks marked `sh` are run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/README.md")])
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def _commands() -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for page in PAGES:
        for block in _BLOCK.findall(page.read_text()):
            for line in filter(None, block.splitlines()):
                found.setdefault(line, str(page.relative_to(ROOT)))
    return [(page, line) for line, page in found.items()]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the project's, in which commands may write."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "examples", folder / "examples")
    return folder


@pytest.mark.parametrize(("page", "line"), _commands())
def test_a_documented_command_works(page: str, line: str, project: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    # Documented runs use the default engine; here it must not depend on what is installed.
    if line.startswith("oscar-bridge run"):
        line += " --engine process"
    # A suite within a suite: that it finds its tests is enough here, they run beside this one.
    suite = "pytest " in line
    done = subprocess.run(
        f"{line} --collect-only -q" if suite else line,
        check=False,
        shell=True,
        cwd=ROOT if suite else project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{page}: {line}\n{done.stdout}\n{done.stderr}"


def test_there_are_commands_on_every_page_that_should_have_some() -> None:
    pages = {page for page, _ in _commands()}
    assert {"README.md", "docs/fdl.md", "docs/placement.md", "docs/local.md"} <= pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert broken == []
