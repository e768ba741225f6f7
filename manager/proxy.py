"""One HTTP request passed on to a server and its answer passed back, both as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import h11
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from bridge.targets.calls import Address
from manager.auth import Refused

__all__ = ["HOP_BY_HOP", "Answer", "Headers", "Request", "connected", "forwarded", "without"]

Headers = list[tuple[bytes, bytes]]
T = TypeVar("T")

_CONNECT: Final = 5.0
_BLOCK: Final = 1 << 16
# Of one connection only, or of the body as it was sent to us.
HOP_BY_HOP: Final = frozenset(
    {
        b"connection", b"expect", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
        b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """What is passed on. `target` is the path with its query, as it was written.

    `receive` is where the body comes from, and word that the client has left.
    """

    method: str
    target: bytes
    headers: Headers
    receive: Receive


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. The body is read from the server while it is read here."""

    status: int
    headers: Headers
    body: AsyncIterator[bytes]


async def forwarded(request: Request, address: Address, wait: float) -> Answer:
    """The server's answer to a request. Refused: 502 when it cannot be reached or answers with
    what is no HTTP, 504 when the answer does not begin within `wait` seconds.

    A pause of `wait` seconds within the answer breaks it off; so does a client that leaves.
    """
    reader, writer = await connected(address)
    wire = h11.Connection(h11.CLIENT)
    sending = asyncio.create_task(_send(request, wire, writer))
    try:
        head = await asyncio.wait_for(_unless(sending, _head(wire, reader)), wait)
    except BaseException as error:
        await _end(sending, writer)
        if isinstance(error, ClientDisconnect):
            raise Refused(400, "the body was cut off") from None
        if isinstance(error, TimeoutError):
            raise Refused(504, f"{address.name} did not answer in time") from None
        if isinstance(error, OSError | h11.ProtocolError):
            raise Refused(502, f"{address.name} broke the call off") from None
        raise
    kept = [(name, value) for name, value in head.headers if name not in HOP_BY_HOP]
    return Answer(head.status_code, kept, _body(wire, reader, writer, sending, wait))


async def connected(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to a server. Refused (502) when there is none."""
    try:
        opening = asyncio.open_connection(address.host, address.port)
        return await asyncio.wait_for(opening, _CONNECT)
    except (OSError, TimeoutError):
        raise Refused(502, f"{address.name} is not ready: it does not answer") from None


async def _send(request: Request, wire: h11.Connection, writer: asyncio.StreamWriter) -> None:
    """Send all of it, as fast as the server takes it; one that answers before its end may.

    Ends with ClientDisconnect, when the client leaves.
    """
    body = _blocks(request.receive)
    with suppress(OSError, h11.LocalProtocolError):
        headers = _passed(request.headers)
        if any(name == b"transfer-encoding" for name, _ in request.headers):
            headers.append((b"transfer-encoding", b"chunked"))
        head = h11.Request(method=request.method, target=request.target, headers=headers)
        writer.write(wire.send(head) or b"")
        async for block in body:
            writer.write(wire.send(h11.Data(data=block)) or b"")
            await writer.drain()
        writer.write(wire.send(h11.EndOfMessage()) or b"")
        await writer.drain()
    while (await request.receive())["type"] != "http.disconnect":
        continue
    raise ClientDisconnect


async def _blocks(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        if block := message.get("body", b""):
            yield block
        more = message.get("more_body", False)


async def _unless(left: asyncio.Task[None], head: Coroutine[Any, Any, T]) -> T:
    """The head of the answer, unless the client leaves before."""
    reading = asyncio.create_task(head)
    try:
        await asyncio.wait({left, reading}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            left.result()
        return await reading
    finally:
        reading.cancel()


def _passed(headers: Headers) -> Headers:
    named = {
        word.strip()
        for name, value in headers
        if name == b"connection"
        for word in value.lower().split(b",")
    }
    kept = [(n, v) for n, v in headers if n not in HOP_BY_HOP and n not in named]
    return [*kept, (b"connection", b"close")]


async def _head(wire: h11.Connection, reader: asyncio.StreamReader) -> h11.Response:
    while True:
        event = await _event(wire, reader)
        if isinstance(event, h11.Response):
            return event
        if not isinstance(event, h11.InformationalResponse):
            raise h11.RemoteProtocolError("no answer")


async def _event(wire: h11.Connection, reader: asyncio.StreamReader) -> object:
    while (event := wire.next_event()) is h11.NEED_DATA:
        wire.receive_data(await reader.read(_BLOCK))
    return event


async def _body(
    wire: h11.Connection,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    sending: asyncio.Task[None],
    wait: float,
) -> AsyncIterator[bytes]:
    """An answer that is broken off is an error here, so that the client sees no end of it."""
    try:
        while isinstance(event := await asyncio.wait_for(_event(wire, reader), wait), h11.Data):
            yield bytes(event.data)
    finally:
        await _end(sending, writer)


async def _end(sending: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
    sending.cancel()
    with suppress(asyncio.CancelledError, ClientDisconnect):
        await sending
    writer.close()


def without(headers: Iterable[tuple[bytes, bytes]], *names: bytes) -> Headers:
    """The headers but for these."""
    return [(name, value) for name, value in headers if name not in names]
