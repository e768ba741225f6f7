"""A warm supervisor: one process that runs one job after another, spoken to line by line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

from bridge.errors import PermanentError
from bridge.local._work import Begun, Outcome, Work
from bridge.local.children import Child, start_child
from bridge.local.executors import _proc

# What a supervisor gets to kill its script before it is killed itself.
_GRACE: Final = 5.0


class WarmRunner:
    """Runs jobs in a supervisor process that is started with the first and replaced when it dies.

    `marker` is in the environment of everything that it starts, so that also what a script has
    detached is found; `folder` gets temporary files and the supervisor's own log.
    """

    def __init__(self, marker: str, folder: Path) -> None:
        self._marker = marker
        self._folder = folder
        self._lock = threading.RLock()
        self._child: Child | None = None

    def run(self, work: Work, begun: Begun) -> Outcome:
        """See `Runner.run`."""
        child = self._warm()
        begun(f"process {child.pid}")
        report = _exchange(child, _request(work, self._marker))
        with self._lock:
            kept = child is self._child
        if report is not None and kept:
            return Outcome(report=report)
        self._bury(child)
        # The report is written before it is said, so the job may have been over.
        report = report or work.files.read_report()
        if report is not None:
            return Outcome(report=report)
        status = child.process.returncode
        return Outcome(reason=f"the supervisor process ended with status {status}", temporary=True)

    def interrupt(self) -> None:
        """See `Runner.interrupt`: the supervisor kills its script, and goes itself."""
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            # It reports what it was at, finds its input at an end, and goes.
            child.close_input()
            child.end(_GRACE)

    def close(self) -> None:
        """See `Runner.close`."""
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            self._bury(child)

    def _warm(self) -> Child:
        with self._lock:
            if self._child is not None and not self._child.alive:
                self._bury(self._child)
                self._child = None
            if self._child is None:
                self._child = self._start()
            return self._child

    def _start(self) -> Child:
        for name in ("home", "tmp"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        return start_child(
            "the supervisor",
            [sys.executable, "-P", "-m", "bridge.supervisor", "--serve"],
            self._folder / "supervisor.log",
            env=self._environment(),
            cwd=self._folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            death_signal=signal.SIGTERM,
        )

    def _environment(self) -> dict[str, str]:
        # Not ours whole: scripts must not see this user's credentials.
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "HOME": str(self._folder / "home"),
            "TMPDIR": str(self._folder / "tmp"),
            _proc.MARKER: self._marker,
        }

    def _bury(self, child: Child) -> None:
        """End it; nothing that it started may go on."""
        child.close_input()
        child.end(_GRACE)
        _proc.kill_task(None, f"{self._marker}\0")
        child.stop(0)
        with self._lock:
            if child is self._child:
                self._child = None


def _request(work: Work, marker: str) -> bytes:
    service = work.service.service
    request = {
        "service_file": str(work.service.document),
        "script_file": str(work.service.script) if service.script_text is not None else None,
        "event": work.files.event,
        "job": work.job.id,
        "attempt": work.job.attempt,
        "timeout": service.timeout,
        "report": str(work.files.report),
        "log": str(work.files.log),
        "env": {**service.variables, _proc.MARKER: marker},
        "secrets_dir": str(work.service.secrets),
    }
    return json.dumps(request).encode() + b"\n"


def _exchange(child: Child, request: bytes) -> dict[str, Any] | None:
    """The answer to a request; None when the process ended instead."""
    stdin, stdout = child.process.stdin, child.process.stdout
    assert stdin is not None
    assert stdout is not None
    try:
        stdin.write(request)
        stdin.flush()
        line = stdout.readline()
    except (OSError, ValueError):  # a pipe that was broken, or closed by `interrupt`
        return None
    if not line.endswith(b"\n"):
        return None
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise PermanentError(f"the supervisor said what is no report: {line[:200]!r}") from error
    return dict(answer)
