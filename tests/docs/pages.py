"""The pages of the documentation, and the commands in their `sh` blocks."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.command import ROOT, bridge

PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/README.md")])
# Their commands build on one another and need what `up` gives: each page is one test.
DEPLOYING = ROOT / "docs" / "deploying.md"
CLUSTERS = ROOT / "docs" / "clusters.md"
_FOR_A_SHELL = re.compile(r"[][|&;<>()$`*?{}~#]")
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)


def commands_of(page: Path) -> list[str]:
    """The commands of a page, in order."""
    blocks = _BLOCK.findall(page.read_text())
    return [line for block in blocks for line in block.splitlines() if line]


def commands() -> list[tuple[str, str]]:
    """Page and command, each command once."""
    found: dict[str, str] = {}
    for page in PAGES:
        if page not in (DEPLOYING, CLUSTERS):
            for line in commands_of(page):
                found.setdefault(line, str(page.relative_to(ROOT)))
    return [(page, line) for line, page in found.items()]


def run(line: str, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 120) -> str:
    """Run one line as a user would type it; what it printed."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    if line.startswith("oscar-bridge ") and not _FOR_A_SHELL.search(line):
        done = bridge(*shlex.split(line)[1:], cwd=cwd, env=env, timeout=timeout)
        assert done.status == 0, f"{line}\n{done.out}\n{done.err}"
        return done.out
    finished = subprocess.run(
        line,
        check=False,
        shell=True,
        cwd=cwd,
        env={**os.environ, **(env or {}), "PATH": path},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert finished.returncode == 0, f"{line}\n{finished.stdout}\n{finished.stderr}"
    return finished.stdout
