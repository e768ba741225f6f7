"""A synchronous call of a service by HTTP, streamed in both directions."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from socket import socket
from typing import Final, NamedTuple

from bridge.errors import PermanentError, TargetUnavailable
from bridge.targets.protocol import Reply

__all__ = ["Address", "call"]

_BLOCK: Final = 1 << 16
_PAUSE: Final = 0.1
_CONNECT: Final = 5.0
_TICK: Final = 0.5
_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Whoever calls has shown to us who he is; the service must not learn how.
_NOT_PASSED: Final = _HOP_BY_HOP | {
    "authorization",
    "cookie",
    "expect",
    "host",
    "proxy-authorization",
}


class Address(NamedTuple):
    """Where a service answers: a host and port to connect to, and the name to ask for there."""

    host: str
    port: int = 80
    name: str = ""


def call(
    address: Address,
    body: bytes | Iterator[bytes],
    headers: Mapping[str, str],
    timeout: float,
    *,
    query: str = "",
    cold: Callable[[], object] | None = None,
    gone: Callable[[], bool] | None = None,
) -> Reply:
    """Send a request and give its answer, as `Invokes.invoke` promises.

    While nobody listens there, it is tried again until `timeout` seconds are over; `cold` is told
    of it once. `gone` is asked now and then.
    """
    wait = _Wait(time.monotonic() + timeout, gone or (lambda: False))
    connection = _connected(address, wait, cold)
    try:
        _send(connection, address, body, headers, query, wait=wait)
        wait.for_answer(connection)
        response = connection.getresponse()
    except TimeoutError:
        connection.close()
        return _late(timeout)
    except (HTTPException, OSError) as error:
        connection.close()
        raise _unavailable(address, "broke the call off", error) from error
    except BaseException:
        connection.close()
        raise
    found = {name.lower(): value for name, value in response.getheaders()}
    kept = {name: value for name, value in found.items() if name not in _HOP_BY_HOP}

    def close() -> None:
        # Both hold the socket.
        response.close()
        connection.close()

    return Reply(response.status, kept, _body(address, response, close), close)


class _Wait(NamedTuple):
    """How long an answer is waited for."""

    deadline: float
    gone: Callable[[], bool]

    @property
    def left(self) -> float:
        """Seconds, more than 0. TargetUnavailable when nobody waits any more."""
        if self.gone():
            raise TargetUnavailable("the caller has gone away")
        return max(0.001, self.deadline - time.monotonic())

    def for_answer(self, connection: HTTPConnection) -> None:
        """Return when there is something to read; TimeoutError when the time is over."""
        line = connection.sock
        if line is None:
            return
        self._ready(line, select.POLLIN)
        line.settimeout(self.left)

    def before_each(
        self, connection: HTTPConnection, blocks: bytes | Iterator[bytes]
    ) -> Iterator[bytes]:
        """The blocks, each when there is room for it, or an answer: a service that is busy takes a
        body only when its turn comes."""
        parts = _parts(blocks) if isinstance(blocks, bytes) else blocks
        for block in parts:
            if (line := connection.sock) is not None:
                self._ready(line, select.POLLIN | select.POLLOUT)
                line.settimeout(self.left)
            yield block

    def _ready(self, line: socket, events: int) -> None:
        poller = select.poll()
        poller.register(line, events)
        while not poller.poll(int(min(self.left, _TICK) * 1000) + 1):
            if time.monotonic() > self.deadline:
                raise TimeoutError


def _connected(address: Address, wait: _Wait, cold: Callable[[], object] | None) -> HTTPConnection:
    while True:
        seconds = min(_CONNECT, wait.left)
        connection = HTTPConnection(address.host, address.port, timeout=seconds)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            if cold is not None:
                cold()
                cold = None
            if wait.left < _PAUSE:
                raise _unavailable(address, "does not answer yet", error) from error
            time.sleep(_PAUSE)
        else:
            return connection


def _send(
    connection: HTTPConnection,
    address: Address,
    body: bytes | Iterator[bytes],
    headers: Mapping[str, str],
    query: str,
    *,
    wait: _Wait,
) -> None:
    given = {name.lower(): value for name, value in headers.items()}
    dropped = _NOT_PASSED | {one.strip() for one in given.get("connection", "").lower().split(",")}
    passed = {name: value for name, value in given.items() if name not in dropped}
    if isinstance(body, bytes):
        passed["content-length"] = str(len(body))
    elif "content-length" not in passed:
        passed["transfer-encoding"] = "chunked"
    passed |= {"host": address.name or address.host, "connection": "close"}
    try:
        connection.putrequest(
            "POST", f"/?{query}" if query else "/", skip_host=True, skip_accept_encoding=True
        )
        for name, value in passed.items():
            connection.putheader(name, value)
    except (ValueError, UnicodeError) as error:
        raise PermanentError(f"the request cannot be passed on: {error}") from None
    # An answer that comes before the body's end, and closes, is read nevertheless.
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.endheaders(
            wait.before_each(connection, body), encode_chunked="transfer-encoding" in passed
        )


def _parts(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), _BLOCK):
        yield body[start : start + _BLOCK]


def _body(address: Address, response: HTTPResponse, close: Callable[[], None]) -> Iterator[bytes]:
    try:
        while block := response.read(_BLOCK):
            yield block
        if response.length:
            raise IncompleteRead(b"", response.length)
    except (HTTPException, OSError) as error:
        raise _unavailable(address, "broke the answer off", error) from error
    finally:
        close()


def _late(timeout: float) -> Reply:
    text = f"the service did not answer within {timeout:g} s\n".encode()
    headers = {"content-type": "text/plain; charset=utf-8", "content-length": str(len(text))}
    return Reply(504, headers, iter([text]), lambda: None)


def _unavailable(address: Address, what: str, error: Exception) -> TargetUnavailable:
    name = address.name or address.host
    return TargetUnavailable(f"{name} {what} ({error or type(error).__name__})")
