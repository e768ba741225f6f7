"""The `oscar-bridge` command as a real process, for the tests of the command and of whole runs."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import forks

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
COMMAND = Path(sys.executable).with_name("oscar-bridge")


@dataclass(frozen=True, slots=True)
class Done:
    """A finished command."""

    status: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Both outputs: some programs, the CDK's among them, take the other one where CI is set."""
        return self.out + self.err

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)

    def failed(self, status: int) -> str:
        """What a failure said on standard error; it must be this status and no traceback."""
        assert self.status == status, (self.status, self.out, self.err)
        assert "Traceback" not in self.err
        return self.err


def environment(**more: str) -> dict[str, str]:
    """This process's, without what changes how commands print."""
    dropped = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "BRIDGE_DEBUG", "TERM")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | more


def bridge(
    *arguments: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 240,
) -> Done:
    """Run the command to its end (see `tests.forks` for how it is started)."""
    words = [str(one) for one in arguments]
    return Done(*forks.run(words, cwd, environment(**(env or {})), timeout))


def terminal(*arguments: str | Path, columns: int = 100, **env: str) -> str:
    """What the command prints on a terminal."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [COMMAND, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(TERM="xterm-256color", COLUMNS=str(columns), **env),
    )
    os.close(theirs)
    said = b""
    try:
        while chunk := os.read(ours, 65536):
            said += chunk
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    assert child.wait(240) == 0, said
    return said.decode()


def plain(said: str) -> str:
    """What is left of a terminal's output without colours and movements."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said)


def python(program: str, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Done:
    """Run a Python program in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=environment(**(env or {})),
        timeout=240,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write text files into a folder; the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def service(
    name: str,
    *,
    takes: Sequence[str] = (),
    gives: Sequence[str] = (),
    script: str = "",
    provider: str = "minio.default",
    more: str = "",
) -> str:
    """One item of `functions.oscar`, as YAML."""
    lines = ["  - here:", f"      name: {name}", "      image: oscar-bridge/busybox:local"]
    lines += ["      memory: 64Mi", "      cpu: '0.1'", f"      script: {script or name + '.sh'}"]
    lines += [f"      {line}" for line in more.splitlines()]
    for key, paths in (("input", takes), ("output", gives)):
        if paths:
            lines.append(f"      {key}:")
        for path in paths:
            lines += [f"      - storage_provider: {provider}", f"        path: {path}"]
    return "\n".join(lines) + "\n"


def document(*services: str) -> str:
    """An FDL file of services of one cluster."""
    return "functions:\n  oscar:\n" + "".join(services)
