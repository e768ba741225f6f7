"""The little HTTP/1.1 that a Lambda Runtime API needs, on asyncio streams."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

HEAD_LIMIT: Final = 65_536


@dataclass(frozen=True, slots=True)
class Request:
    """A request with its whole body; header names in lower case. `cut`: it was above the limit."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: bool = False


class BadRequest(Exception):
    """What came is not HTTP."""


async def read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int
) -> Request | None:
    """The next request of a connection, None at its end.

    A body above `limit` bytes is read to its end and dropped. BadRequest for anything else.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise BadRequest("the connection ended in a head") from error
        return None
    except asyncio.LimitOverrunError as error:
        raise BadRequest("the head is too long") from error
    first, *rest = head.decode("latin-1").split("\r\n")[:-2]
    words = first.split(" ")
    if len(words) != 3:
        raise BadRequest("no request line")
    headers = dict(_header(line) for line in rest)
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body, cut = await _read_body(reader, headers, limit)
    return Request(words[0], words[1], headers, body, cut)


def response(
    status: HTTPStatus, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    """A whole response, to be written at once: two writes would cost a round of Nagle."""
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [f"HTTP/1.1 {status.value} {status.phrase}"]
    lines += [f"{name}: {value}" for name, value in (fields | dict(headers or {})).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise BadRequest("a header without a colon")
    return name.strip().lower(), value.strip()


async def _read_body(
    reader: asyncio.StreamReader, headers: Mapping[str, str], limit: int
) -> tuple[bytes, bool]:
    taken = _Body(limit)
    if "chunked" in headers.get("transfer-encoding", "").lower():
        while size := _number((await reader.readline()).split(b";")[0], 16):
            await taken.read(reader, size)
            await reader.readexactly(2)
        while (await reader.readline()).strip():
            continue
    else:
        await taken.read(reader, _number(headers.get("content-length", "0").encode(), 10))
    return taken.result()


class _Body:
    """Collects up to a limit and drops the rest."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    async def read(self, reader: asyncio.StreamReader, count: int) -> None:
        while count:
            part = await reader.read(min(count, HEAD_LIMIT))
            if not part:
                raise BadRequest("the connection ended in a body")
            count -= len(part)
            self._size += len(part)
            if self._size <= self._limit:
                self._parts.append(part)
            else:
                self._parts.clear()

    def result(self) -> tuple[bytes, bool]:
        return b"".join(self._parts), self._size > self._limit


def _number(text: bytes, base: int) -> int:
    try:
        number = int(text.strip(), base)
    except ValueError as error:
        raise BadRequest("a length that is no number") from error
    if number < 0:
        raise BadRequest("a negative length")
    return number
