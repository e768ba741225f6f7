"""A server of synchronous calls in a process of its own, and small HTTP clients for it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from tests.supervisor.world import MARK, clean_environment, processes_with

_SERVED = re.compile(rb"is served on 127\.0\.0\.1 port (\d+)\n")


@dataclass(frozen=True)
class Answer:
    """What a client got."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass
class Web:
    """A running server. `mark` is in the environment of its scripts when they are from `files`."""

    process: subprocess.Popen[bytes]
    port: int
    mark: str

    def post(self, body: bytes | Iterator[bytes] = b"", path: str = "/", **headers: str) -> Answer:
        """One call on a connection of its own; an iterator is sent in chunks."""
        connection = self.connection()
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(
                "POST", path, body, named, encode_chunked=not isinstance(body, bytes)
            )
            return answered(connection)
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        """Read what the probes read."""
        connection = self.connection()
        try:
            connection.request("GET", path)
            return answered(connection)
        finally:
            connection.close()

    def connection(self) -> HTTPConnection:
        """A client of the standard library, not yet connected."""
        return HTTPConnection("127.0.0.1", self.port, timeout=60)

    def raw(self, text: bytes = b"") -> socket.socket:
        """A connection on which this was sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.sendall(text)
        return connection

    def scripts(self) -> list[str]:
        """Processes of scripts that are alive."""
        return processes_with(self.mark)


def answered(connection: HTTPConnection) -> Answer:
    """The answer to the request that was sent."""
    response = connection.getresponse()
    return Answer(response.status, response.read(), dict(response.headers))


def everything(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    with connection:
        blocks = []
        while block := connection.recv(65536):
            blocks.append(block)
    return b"".join(blocks)


def until(condition: object) -> None:
    """Wait until a condition holds; the test's own time limit ends what never does."""
    assert callable(condition)
    while not condition():
        time.sleep(0.02)


@contextmanager
def serving(variables: Mapping[str, str], **more: str) -> Iterator[Web]:
    """A server with these variables of the job contract, on any port of the loopback."""
    given = {"BRIDGE_HTTP_ADDRESS": "127.0.0.1:0"} | dict(variables) | more
    mark = given.pop(MARK, "none")
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge.supervisor.web"],
        env=clean_environment() | given,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr
    try:
        line = process.stderr.readline()
        found = _SERVED.search(line)
        assert found, line
        yield Web(process, int(found[1]), mark)
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stderr.close()
    until(lambda: not processes_with(mark))


def files(folder: Path, script: str, name: str = "svc") -> dict[str, str]:
    """A service without storage as files, in the job contract's variables."""
    (folder / "base").mkdir(parents=True)
    mark = f"{os.getpid()}-{os.urandom(4).hex()}"
    service = {"name": name, "environment": {"variables": {MARK: mark}}}
    (folder / "service.json").write_text(json.dumps(service))
    (folder / "script.sh").write_text(script)
    return {
        MARK: mark,
        "BRIDGE_SERVICE_FILE": str(folder / "service.json"),
        "BRIDGE_SCRIPT_FILE": str(folder / "script.sh"),
        "BRIDGE_WORK_DIR": str(folder / "base"),
        "BRIDGE_SECRETS_DIR": str(folder / "secrets"),
    }
