"""Client of the Lambda Runtime API (version 2018-06-01), over plain sockets.

`http.client` would load the e-mail package before the first invocation, which is most of a cold
start. Every request has a connection of its own: the service is on the same machine, and nothing
has to be mended when the environment was frozen for hours between two invocations.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Final, NamedTuple

from bridge.errors import TargetUnavailable, UsageError

_BASE: Final = "/2018-06-01/runtime"
_CHUNK: Final = 1 << 16
_MOST_HEADERS: Final = 1 << 16
_TOO_LARGE: Final = 413


class Invocation(NamedTuple):
    """One request to run. `deadline` is in seconds since the epoch, 0 when none was given."""

    id: str
    payload: bytes
    deadline: float = 0.0
    arn: str = ""
    trace: str = ""


class Failure(NamedTuple):
    """What a failed invocation says: a name that alarms can filter, a sentence, the log's end."""

    type: str
    message: str
    trace: tuple[str, ...] = ()

    def json(self) -> bytes:
        """The body that the Runtime API takes."""
        body = {"errorType": self.type, "errorMessage": self.message, "stackTrace": self.trace}
        return json.dumps(body).encode()


class ResponseTooLarge(Exception):
    """The Runtime API did not take the response because of its size."""


class RuntimeApi:
    """The service at `host:port`. Every method raises TargetUnavailable when it cannot be asked."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise UsageError(
                f"AWS_LAMBDA_RUNTIME_API is {address!r}, not host:port",
                hint="this program is started by Lambda or by an emulator of it",
            )
        self._address = (host, int(port))
        self._host = address

    def next(self) -> Invocation:
        """Wait, for as long as it takes, for the next invocation."""
        status, headers, body = self._exchange("GET", "/invocation/next")
        request = headers.get("lambda-runtime-aws-request-id", "")
        if status != 200 or not request:
            raise TargetUnavailable(f"the Lambda Runtime API gave no invocation (HTTP {status})")
        return Invocation(
            id=request,
            payload=body,
            deadline=float(headers.get("lambda-runtime-deadline-ms") or 0) / 1000,
            arn=headers.get("lambda-runtime-invoked-function-arn", ""),
            trace=headers.get("lambda-runtime-trace-id", ""),
        )

    def respond(self, request: str, body: bytes) -> None:
        """Finish an invocation with its response. ResponseTooLarge when it is above the limit."""
        status, _, answer = self._exchange("POST", f"/invocation/{request}/response", body)
        if status == _TOO_LARGE:
            raise ResponseTooLarge
        self._accepted(status, answer)

    def fail(self, request: str, failure: Failure) -> None:
        """Finish an invocation as failed."""
        path = f"/invocation/{request}/error"
        self._accepted(*self._post_failure(path, failure))

    def fail_init(self, failure: Failure) -> None:
        """Say that no invocation can be taken; the process must end after it."""
        self._accepted(*self._post_failure("/init/error", failure))

    def _post_failure(self, path: str, failure: Failure) -> tuple[int, bytes]:
        kind = {"Lambda-Runtime-Function-Error-Type": failure.type}
        status, _, answer = self._exchange("POST", path, failure.json(), kind)
        return status, answer

    def _accepted(self, status: int, answer: bytes) -> None:
        if not 200 <= status < 300:
            text = answer[:200].decode(errors="replace")
            raise TargetUnavailable(f"the Lambda Runtime API refused (HTTP {status}): {text}")

    def _exchange(
        self, method: str, path: str, body: bytes = b"", more: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        lines = [f"{method} {_BASE}{path} HTTP/1.1", f"Host: {self._host}", "Connection: close"]
        if method == "POST":
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (more or {}).items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        try:
            with socket.create_connection(self._address) as connection:
                _send(connection, head + body)
                return _Reader(connection).response()
        except (OSError, ValueError) as error:
            raise TargetUnavailable(
                f"the connection to the Lambda Runtime API at {self._host} failed: {error}"
            ) from error


def _send(connection: socket.socket, data: bytes) -> None:
    """Send all; a server that answers before it has read all (413) is heard all the same."""
    try:
        connection.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        if not data.startswith(b"POST"):
            raise


class _Reader:
    """One HTTP/1.1 response from a socket. ValueError when it is cut or is not HTTP."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def response(self) -> tuple[int, dict[str, str], bytes]:
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, _, rest = head[0].partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
            raise ValueError("the answer is not HTTP")
        headers = {}
        for line in head[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(rest[:3]), headers, self._body(headers)

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self._chunked()
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        return self._rest()

    def _chunked(self) -> bytes:
        parts = []
        while size := int(self._until(b"\r\n").split(b";")[0], 16):
            parts.append(self._exactly(size))
            self._until(b"\r\n")
        return b"".join(parts)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            if len(self._buffer) > _MOST_HEADERS:
                raise ValueError("the answer's headers do not end")
            self._buffer += self._more()
        found, _, self._buffer = self._buffer.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        parts, length = [self._buffer], len(self._buffer)
        while length < size:
            parts.append(self._more())
            length += len(parts[-1])
        whole = b"".join(parts)
        self._buffer = whole[size:]
        return whole[:size]

    def _rest(self) -> bytes:
        parts = [self._buffer]
        while part := self._connection.recv(_CHUNK):
            parts.append(part)
        return b"".join(parts)

    def _more(self) -> bytes:
        part = self._connection.recv(_CHUNK)
        if not part:
            raise ValueError("it was cut")
        return part
