"""A Lambda Runtime API of our own for tests: real HTTP, one environment, one process under test."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PATIENCE = 60.0


@dataclass(slots=True)
class Answer:
    """What the runtime posted for one invocation, or for its start."""

    ok: bool
    body: bytes
    kind: str = ""

    @property
    def value(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(slots=True)
class _Waiting:
    payload: bytes
    deadline: float
    answers: queue.Queue[Answer] = field(default_factory=queue.Queue)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Runtimes are killed in the middle of anything."""


class RuntimeApi:
    """Serves the 2018-06-01 API on loopback. `largest` bytes is the limit of a response."""

    def __init__(self, *, largest: int = 6_291_556) -> None:
        self.largest = largest
        self.init: queue.Queue[Answer] = queue.Queue()
        self.cut = threading.Event()
        self._inbox: queue.Queue[str] = queue.Queue()
        self._known: dict[str, _Waiting] = {}
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def invoke(self, payload: object, *, timeout: float = 30.0) -> Answer:
        """One synchronous invocation with `timeout` seconds to its deadline."""
        return self.send(payload, timeout=timeout).get(timeout=PATIENCE)

    def send(self, payload: object, *, timeout: float = 30.0) -> queue.Queue[Answer]:
        """Begin an invocation; its answer will be in the queue."""
        text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        name = str(uuid.uuid4())
        waiting = self._known[name] = _Waiting(text, time.time() + timeout)
        self._inbox.put(name)
        return waiting.answers

    def close(self) -> None:
        self.cut.set()
        self._server.shutdown()
        self._server.server_close()

    def _next(self) -> tuple[str, _Waiting] | None:
        while not self.cut.is_set():
            try:
                name = self._inbox.get(timeout=0.05)
            except queue.Empty:
                continue
            return name, self._known[name]
        return None


def _handler(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one write per answer: a second one would wait for the first one's receipt

        def log_message(self, *_: object) -> None:
            """Tests read answers, not logs."""

        def do_GET(self) -> None:
            found = api._next()
            if found is None:  # the environment goes away while the runtime waits
                self.connection.close()
                self.close_connection = True
                return
            name, waiting = found
            headers = {
                "Lambda-Runtime-Aws-Request-Id": name,
                "Lambda-Runtime-Deadline-Ms": str(int(waiting.deadline * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:1:function:f",
                "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
            }
            self._answer(200, waiting.payload, headers)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kind = self.headers.get("Lambda-Runtime-Function-Error-Type", "")
            *_, name, what = self.path.split("/")
            if what == "response" and len(body) > api.largest:
                self._answer(413, b'{"errorType": "RequestEntityTooLarge"}')
                return
            answer = Answer(what == "response", body, kind)
            (api.init if name == "init" else api._known[name].answers).put(answer)
            self._answer(202, b'{"status": "OK"}')

        def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for header, value in (headers or {}).items():
                self.send_header(header, value)
            # AWS's own client crashes without a type.
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            with contextlib.suppress(OSError):  # a runtime that was stopped does not listen
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()

    return Handler


class Function:
    """One started `python -m lambda_runtime` that talks to its own Runtime API."""

    def __init__(
        self,
        folder: Path,
        environment: dict[str, str],
        *,
        largest: int = 6_291_556,
        command: Sequence[str | Path] = (sys.executable, "-m", "lambda_runtime"),
    ) -> None:
        self.api = RuntimeApi(largest=largest)
        self.log = folder / "function.log"
        self._home = folder / "tmp"
        self._home.mkdir(exist_ok=True)
        base = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TMPDIR": str(self._home)}
        base |= {
            "AWS_LAMBDA_RUNTIME_API": self.api.address,
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/f",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[$LATEST]0",
            "AWS_REGION": "eu-west-1",
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                env=base | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
            )

    @property
    def temporary(self) -> list[str]:
        """What is left in the function's temporary folder."""
        return sorted(str(p.relative_to(self._home)) for p in self._home.rglob("*"))

    def invoke(self, payload: object, *, timeout: float = 30.0) -> Answer:
        return self.api.invoke(payload, timeout=timeout)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.api.close()
