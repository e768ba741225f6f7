"""A proxy in front of an AWS endpoint that fails as its rules say, and knows what it did."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests.servers import free_port

READY_SECONDS = 30.0


@dataclass(frozen=True)
class Proxy:
    """Where it listens."""

    url: str
    _faults: list[int] = field(default_factory=list)

    def rules(self, *rules: dict[str, Any], always: Sequence[dict[str, Any]] = ()) -> None:
        """Fail like this from now on, and forget what was; `always` are no faults."""
        self._send("DELETE", "fired")
        self._send("POST", "rules", [*rules, *always])
        found = json.loads(self._send("GET", "rules"))
        known = found["rules"] if isinstance(found, dict) else found
        self._faults[:] = [one["id"] for one in known[: len(rules)]]

    def fired(self) -> list[dict[str, Any]]:
        """Every fault that was injected since the rules were given."""
        found = json.loads(self._send("GET", "fired"))
        events = found["events"] if isinstance(found, dict) else found
        return [event for event in events if event["rule_id"] in self._faults]

    def _send(self, method: str, path: str, body: object = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = Request(f"{self.url}/_microburst/{path}", data, headers, method=method)
        with urlopen(request, timeout=10) as answer:
            return bytes(answer.read())


@contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    """A proxy without rules, gone when the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "microburst", "--upstream", upstream]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--no-resign"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    made = Proxy(f"http://127.0.0.1:{port}")
    try:
        _wait(made, process)
        yield made
    finally:
        process.terminate()
        process.wait(10)


def _wait(made: Proxy, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + READY_SECONDS
    while True:
        try:
            made._send("GET", "health")
            return
        except (URLError, OSError):
            assert process.poll() is None and time.monotonic() < limit
            time.sleep(0.05)
