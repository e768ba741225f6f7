"""Whole runs of `oscar-bridge run` in a temporary folder of their own, and what they leave."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.command import COMMAND, Done, bridge, document, environment, write
from tests.waiting import eventually

SHOUT = 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"\n'


@dataclass(slots=True)
class Workshop:
    """A folder with an FDL file and inputs; runs get a TMPDIR inside it."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tmp.mkdir(parents=True)
        self.env["TMPDIR"] = str(self.tmp)

    @property
    def tmp(self) -> Path:
        """Where runs may put their temporary files."""
        return self.folder / "tmp"

    @property
    def results(self) -> Path:
        """The --output of runs."""
        return self.folder / "results"

    def fdl(self, *services: str, **scripts: str) -> Path:
        """Write the file and its scripts (`name=text` is name.sh)."""
        files = {f"{name}.sh": text for name, text in scripts.items()}
        return write(self.folder, {"fdl.yaml": document(*services), **files}) / "fdl.yaml"

    def inputs(self, files: Mapping[str, bytes]) -> Path:
        """Write input files; the folder of all."""
        folder = self.folder / "inputs"
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder

    def arguments(self, fdl: Path, *inputs: Path, engine: str = "process") -> list[str]:
        """The command's arguments."""
        given = [word for each in inputs for word in ("--input", str(each))]
        return ["run", str(fdl), *given, "--output", str(self.results), "--engine", engine]

    def run(self, fdl: Path, *inputs: Path, engine: str = "process", more: str = "--json") -> Done:
        """Run to the end."""
        return bridge(*self.arguments(fdl, *inputs, engine=engine), *more.split(), env=self.env)

    def start(
        self,
        fdl: Path,
        *inputs: Path,
        engine: str = "process",
        ignore: str = "PIPE",
        more: str = "",
    ) -> subprocess.Popen[str]:
        """Start a run whose standard error is read by the caller; it ignores that signal."""
        return subprocess.Popen(
            # Whoever runs the tests in the background may have us ignore signals; a user does not.
            [
                *("env", "--default-signal", f"--ignore-signal={ignore}"),
                *(COMMAND, *self.arguments(fdl, *inputs, engine=engine), *more.split()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**self.env),
            start_new_session=True,
        )

    def fetched(self) -> dict[str, bytes]:
        """All results by their name below --output."""
        found = sorted(p for p in self.results.rglob("*") if p.is_file())
        return {p.relative_to(self.results).as_posix(): p.read_bytes() for p in found}

    def processes(self) -> dict[int, str]:
        """Processes that name our TMPDIR in their environment or arguments, by id."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                told = _read(entry / "environ") + b"\0" + _read(entry / "cmdline")
                if str(self.tmp).encode() in told:
                    found[int(entry.name)] = _read(entry / "cmdline").decode(errors="replace")
        return found

    def check_left_nothing(self) -> None:
        """No process and no temporary file is left; processes have a moment to end."""
        assert eventually(lambda: not self.processes(), 20), self.processes()
        assert eventually(lambda: not list(self.tmp.iterdir()), 20), list(self.tmp.iterdir())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def until(child: subprocess.Popen[str], phase: str) -> list[str]:
    """Read what a run says until it names this phase; all lines so far."""
    assert child.stderr is not None
    said: list[str] = []
    for line in child.stderr:
        said.append(line.rstrip())
        if line.startswith(f"· {phase}"):
            return said
    raise AssertionError(f"the run ended before {phase!r}: {said}")


def end(child: subprocess.Popen[str], number: int = signal.SIGINT) -> tuple[int, str]:
    """Send a signal and wait: exit status, and what was said afterwards."""
    child.send_signal(number)
    _, said = child.communicate(timeout=120)
    return child.returncode, said


def jobs_of(done: Done, service: str) -> list[dict[str, Any]]:
    """The jobs of one service in a --json answer."""
    return [job for job in done.json["jobs"] if job["service"] == service]
