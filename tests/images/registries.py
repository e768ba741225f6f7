"""Real registries for tests: docker-registry, open or not, and a way to it that breaks."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge.images import Credentials
from bridge.secret import Secret
from tests.servers import free_port

USER, PASSWORD = "tester", "correct horse"
# The registry takes bcrypt only, and Python has none: this is the password above.
_HTPASSWD = f"{USER}:$2b$04$9Ga6lWurhV2V5ABHJqXPHeN1MZTXYTUT70wo2hCjakB7RugYmFVj6\n"
GOOD = Credentials(USER, Secret(PASSWORD))
WRONG = Credentials(USER, Secret("battery staple"))
_READY_SECONDS = 30.0
_REQUEST = re.compile(r'"([A-Z]+) (/v2/\S*) HTTP/1\.[01]" (\d+)')


@dataclass(frozen=True, slots=True)
class Served:
    """A registry that runs: its host and port, and its log."""

    host: str
    log: Path

    def requests(self) -> list[tuple[str, str, int]]:
        """(method, path, status) of every request so far."""
        found = _REQUEST.findall(self.log.read_text(errors="replace"))
        return [(method, path, int(status)) for method, path, status in found]

    def writes(self) -> int:
        """How many requests wanted to change something."""
        return sum(method in {"POST", "PUT", "PATCH"} for method, _, _ in self.requests())


@contextlib.contextmanager
def registry(folder: Path, auth: Mapping[str, Any] | None = None) -> Iterator[Served]:
    """A registry on a free loopback port; the test is skipped where docker-registry is absent."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not on this machine: apt-get install docker-registry")
    folder.mkdir(parents=True, exist_ok=True)
    host = f"127.0.0.1:{free_port()}"
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": host},
    }
    if auth:
        config["auth"] = auth
    (folder / "config.yml").write_text(json.dumps(config))
    log = folder / "out.log"
    with log.open("wb") as out:
        command = [program, "serve", str(folder / "config.yml")]
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder)
    try:
        _wait_ready(process, host, log)
        yield Served(host, log)
    finally:
        process.kill()
        process.wait()


def password(folder: Path) -> dict[str, Any]:
    """`auth` of a registry that wants GOOD."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "htpasswd").write_text(_HTPASSWD)
    return {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}


def _wait_ready(process: subprocess.Popen[bytes], host: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://{host}/v2/", timeout=2).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"the registry did not start:\n{log.read_text(errors='replace')}")


class Cutting:
    """A TCP proxy before a registry that cuts the connection in the middle of uploads.

    The first `cuts` connections that carry a PATCH end after `after` bytes.
    """

    def __init__(self, registry: str, *, cuts: int, after: int) -> None:
        host, _, port = registry.rpartition(":")
        self._behind = (host, int(port))
        self._left, self._after = cuts, after
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def cuts_left(self) -> int:
        """How many connections are still to be cut."""
        return self._left

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(self._behind) as server:
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            first = client.recv(65536)
            limit = self._limit(first)
            server.sendall(first)
            _pump(client, server, limit)
            if limit is None:
                back.join()

    def _limit(self, first: bytes) -> int | None:
        with self._lock:
            if first.startswith(b"PATCH ") and self._left:
                self._left -= 1
                return self._after
        return None


def _pump(source: socket.socket, sink: socket.socket, limit: int | None = None) -> None:
    with contextlib.suppress(OSError):
        while (limit is None or limit > 0) and (data := source.recv(65536)):
            sink.sendall(data)
            limit = None if limit is None else limit - len(data)
