"""A WebSocket passed on to a server, message by message in both directions."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, Final

from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from bridge.targets.calls import Address
from manager import proxy
from manager.auth import Refused
from manager.core import LOG
from manager.quiet import LARGEST

__all__ = ["joined"]

# Bytes of what a server says when it refuses.
_REFUSAL: Final = 1 << 16
_BLOCK: Final = 1 << 16
_NORMAL, _TOO_LARGE, _BROKEN = 1000, 1009, 1011
# Of one connection only, or ours to say to the server.
_OURS: Final = (
    b"host", b"sec-websocket-extensions", b"sec-websocket-key", b"sec-websocket-protocol",
    b"sec-websocket-version",
)  # fmt: skip
# What nobody sends says how it ended: without a reason, or without an end.
_UNSENT: Final = {1005: _NORMAL, 1006: _BROKEN, 1015: _BROKEN}


async def joined(
    client: WebSocket, target: bytes, headers: proxy.Headers, address: Address, wait: float
) -> None:
    """Let a client and a server talk until one of them ends it; a server may also refuse.

    Refused as `proxy.forwarded` says, while the client was not told anything yet.
    """
    line = _Line(*await proxy.connected(address))
    try:
        try:
            answer = await asyncio.wait_for(line.opened(_wish(client, target, headers)), wait)
        except TimeoutError:
            raise Refused(504, f"{address.name} did not answer in time") from None
        except (OSError, RemoteProtocolError):
            raise Refused(502, f"{address.name} broke the call off") from None
        with suppress(WebSocketDisconnect):
            if isinstance(answer, Response):
                await client.send_denial_response(answer)
                return
            kept = proxy.without(answer.extra_headers, *proxy.HOP_BY_HOP)
            await client.accept(answer.subprotocol, kept)
            await _talk(client, line)
    finally:
        line.close()


def _wish(client: WebSocket, target: bytes, headers: proxy.Headers) -> Request:
    return Request(
        host=client.headers.get("host", ""),
        target=target.decode("latin-1"),
        extra_headers=proxy.without(headers, *proxy.HOP_BY_HOP, *_OURS),
        subprotocols=client.scope["subprotocols"],
    )


async def _talk(client: WebSocket, line: _Line) -> None:
    tasks = {asyncio.create_task(_up(client, line)), asyncio.create_task(_down(client, line))}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(error, Exception) and not isinstance(error, OSError):
                LOG.info("a WebSocket ended: %s", type(error).__name__)


async def _up(client: WebSocket, line: _Line) -> None:
    """What the client says, to the server."""
    while (message := await client.receive())["type"] == "websocket.receive":
        text = message.get("text")
        await line.send(Message(data=message["bytes"] if text is None else text))
    code: int = message.get("code", _NORMAL)
    reason = message.get("reason") or None
    await line.send(CloseConnection(code=_UNSENT.get(code, code), reason=reason))


async def _down(client: WebSocket, line: _Line) -> None:
    """What the server says, to the client."""
    try:
        end = await _told(client, line)
    except (OSError, LocalProtocolError, RemoteProtocolError):
        end = CloseConnection(code=_BROKEN)
    await client.close(_UNSENT.get(end.code, end.code), end.reason)


async def _told(client: WebSocket, line: _Line) -> CloseConnection:
    """How the server has ended it."""
    parts, size = list[Any](), 0
    while not isinstance(event := await line.event(), CloseConnection):
        if isinstance(event, Ping):
            await line.send(event.response())
        if not isinstance(event, TextMessage | BytesMessage):
            continue
        parts.append(event.data)
        if (size := size + len(event.data)) > LARGEST:
            return CloseConnection(code=_TOO_LARGE, reason="the message is too large")
        if event.message_finished:
            if isinstance(event, TextMessage):
                await client.send_text("".join(parts))
            else:
                await client.send_bytes(b"".join(parts))
            parts, size = [], 0
    return event


class _Line:
    """The connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._wire = WSConnection(ConnectionType.CLIENT)
        self._events: deque[Event] = deque()

    async def opened(self, wish: Request) -> AcceptConnection | Response:
        """What the server says to it: yes, or an answer as to any other request."""
        try:
            await self.send(wish)
        except (LocalProtocolError, UnicodeError):
            raise Refused(400, "the request cannot be passed on") from None
        answer = await self.event()
        if isinstance(answer, RejectConnection):
            return await self._refusal(answer)
        if not isinstance(answer, AcceptConnection):
            raise RemoteProtocolError("no answer")
        return answer

    async def _refusal(self, answer: RejectConnection) -> Response:
        body, more = b"", answer.has_body
        while more and len(body) < _REFUSAL:
            part = await self.event()
            if isinstance(part, RejectData):
                body += part.data
            more = isinstance(part, RejectData) and not part.body_finished
        found = Response(body, answer.status_code)
        found.raw_headers = [
            *proxy.without(answer.headers, *proxy.HOP_BY_HOP, b"content-length"),
            (b"content-length", str(len(body)).encode()),
        ]
        return found

    async def event(self) -> Event:
        """What comes next. Errors: those of wsproto, and OSError when it is broken off."""
        while not self._events:
            data = await self._reader.read(_BLOCK)
            if not data:
                raise ConnectionError
            self._wire.receive_data(data)
            self._events.extend(self._wire.events())
        return self._events.popleft()

    async def send(self, event: Event) -> None:
        """Send, as fast as the server takes it."""
        if self._wire.state not in (ConnectionState.CLOSED, ConnectionState.LOCAL_CLOSING):
            self._writer.write(self._wire.send(event))
            await self._writer.drain()

    def close(self) -> None:
        """End the connection; the server hears that it is over, if it has not heard why."""
        with suppress(LocalProtocolError):
            if self._wire.state is ConnectionState.REMOTE_CLOSING:
                self._writer.write(self._wire.send(CloseConnection(code=_NORMAL)))
            elif self._wire.state is ConnectionState.OPEN:
                self._writer.write(self._wire.send(CloseConnection(code=1001)))
        self._writer.close()
