"""How long a connection may take to say what it wants."""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["Patient"]

# Seconds for the head of a request; its body comes from somebody who is known, and may be slow.
_HEAD: Final = 30.0
_LATE: Final = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Patient(HttpToolsProtocol):
    """uvicorn's protocol, which waits for ever for the rest of a head; this one answers 408.

    Most heads come in one piece: for those there is no clock to set.
    """

    _alarm: asyncio.TimerHandle | None = None
    _within = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        super().data_received(data)
        if self._within and self._alarm is None:
            self._wait()

    def on_message_begin(self) -> None:
        """A request has begun."""
        self._within = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._within = False
        if self._alarm is not None:
            self._unset()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._unset()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._alarm = self.loop.call_later(_HEAD, self._late)

    def _unset(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _late(self) -> None:
        self._alarm = None
        if not self.transport.is_closing():
            self.transport.write(_LATE)
            self.transport.close()
