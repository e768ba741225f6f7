"""Synchronous calls on this machine: one HTTP server for each service that is called."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Final

from bridge.local._layout import ServiceFiles, safe_name
from bridge.local.children import Child, start_child
from bridge.local.executors import _proc
from bridge.targets.calls import Address

__all__ = ["Copies"]

_PORT: Final = re.compile(r"is served on \S+ port ([0-9]+)")
_GRACE: Final = 5.0


class Copies:
    """Servers in plain processes, each started with the first call of its service.

    `marker` is in the environment of everything that they start; `folder` gets temporary files and
    logs; a server runs up to `calls` at once.
    """

    def __init__(self, marker: str, folder: Path, calls: int) -> None:
        self._marker = marker
        self._folder = folder
        self._calls = calls
        self._lock = threading.Lock()
        self._running: dict[str, tuple[ServiceFiles, Child, Address]] = {}

    def address(self, files: ServiceFiles) -> Address:
        """Where the service answers; it is started, or started anew when it has changed."""
        name = files.service.name
        with self._lock:
            there = self._running.get(name)
            if there is not None and there[0] is files and there[1].alive:
                return there[2]
            if there is not None:
                self._end(name)
            child, address = self._start(files)
            self._running[name] = files, child, address
            return address

    def remove(self, name: str) -> None:
        """End the service's server, if there is one."""
        with self._lock:
            if name in self._running:
                self._end(name)

    def close(self) -> None:
        """End all."""
        with self._lock:
            for name in list(self._running):
                self._end(name)

    def _end(self, name: str) -> None:
        _, child, _ = self._running.pop(name)
        child.end(_GRACE)
        _proc.kill_task(None, f"{self._marker}.{name}\0")
        child.stop(0)

    def _start(self, files: ServiceFiles) -> tuple[Child, Address]:
        folder = self._folder / safe_name(files.service.name)
        for name in ("home", "tmp"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        log = folder / "server.log"
        log.unlink(missing_ok=True)
        child = start_child(
            f"the server of {files.service.name}",
            [sys.executable, "-P", "-m", "bridge.supervisor.web"],
            log,
            env=self._environment(files, folder),
            cwd=folder,
            death_signal=signal.SIGTERM,
        )
        child.wait_ready(lambda: _PORT.search(child.tail()) is not None)
        port = _PORT.search(child.tail())
        assert port is not None
        return child, Address("127.0.0.1", int(port[1]), files.service.name)

    def _environment(self, files: ServiceFiles, folder: Path) -> dict[str, str]:
        service = files.service
        # Not ours whole: scripts must not see this user's credentials.
        found = {
            **service.variables,
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "BRIDGE_SERVICE_FILE": str(files.document),
            "BRIDGE_SECRETS_DIR": str(files.secrets),
            "BRIDGE_WORK_DIR": str(folder / "tmp"),
            "BRIDGE_HTTP_ADDRESS": "127.0.0.1:0",
            "BRIDGE_CONCURRENCY": str(self._calls),
            _proc.MARKER: f"{self._marker}.{service.name}",
        }
        if service.script_text is not None:
            found["BRIDGE_SCRIPT_FILE"] = str(files.script)
        return found | ({"BRIDGE_TIMEOUT": str(service.timeout)} if service.timeout else {})
