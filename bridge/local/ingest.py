"""The webhook that object stores call: every event is persisted before it is answered.

Answers: 200 persisted (or malformed and kept for inspection: sending it again would not help),
401 without the token, 413 too large, 503 with Retry-After when it could not be persisted now.
GET, HEAD and an empty POST are how object stores probe a webhook; they do nothing.
"""

from __future__ import annotations

import hmac
import math
import secrets
import socket
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from bridge.errors import EventError, MissingToolError, TemporaryError
from bridge.secret import Secret

if TYPE_CHECKING:
    from bridge.local._webhook import Server

__all__ = ["Accept", "Ingest"]

Accept = Callable[[bytes, Mapping[str, str]], object]
"""Persists one event's body; gets the request's headers (lower case, without the token).

EventError: malformed, and kept for inspection. TemporaryError: not persisted, send it again.
"""

_PATH: Final = "/events"


class Ingest:
    """An HTTP server in a background thread that hands events to `accept`.

    Listens on `address` (loopback, or the container bridge), on `port` (0: a free one).
    Bodies above `max_body` bytes are refused. `token` is generated when it is not given.
    """

    def __init__(
        self,
        accept: Accept,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        token: Secret | None = None,
        max_body: int = 4 * 1024 * 1024,
    ) -> None:
        self.token = token or Secret(secrets.token_urlsafe(32))
        self._accept = accept
        self._address = address
        self._port = port
        self._max_body = max_body
        self._expected = f"Bearer {self.token.reveal()}".encode()
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Where events are to be sent; known after `start`."""
        return f"http://{self._address}:{self._port}{_PATH}"

    def start(self) -> None:
        """Listen; returns when requests are answered. MissingToolError without starlette."""
        try:
            # Late: validating and planning must not load a web server.
            from bridge.local import _webhook  # noqa: PLC0415
        except ImportError as error:
            raise MissingToolError(
                f"the webhook needs the Python package {error.name!r}",
                hint="pip install 'oscar-bridge[local]'",
            ) from error
        app = _webhook.application(_PATH, self._allows, self._persist, self._max_body)
        listener = socket.create_server((self._address, self._port), backlog=_webhook.BACKLOG)
        self._port = int(listener.getsockname()[1])
        self._server = _webhook.Server(app, listener)
        self._server.start()

    def close(self) -> None:
        """Answer what has begun, then stop; no error when it is not running."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _allows(self, authorization: str) -> bool:
        """True for our token; takes the same time for every wrong one."""
        return hmac.compare_digest(authorization.encode(), self._expected)

    def _persist(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, str]]:
        """Hand one event over; the answer's status and headers."""
        try:
            self._accept(body, headers)
        except EventError:
            return 200, {}
        except TemporaryError as error:
            return 503, {"retry-after": str(max(1, math.ceil(error.delay)))}
        return 200, {}
