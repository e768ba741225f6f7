"""The body of a request on its way to the script: small ones in memory, large ones in a file."""

from __future__ import annotations

import os
import socket
from binascii import Error as NotBase64
from binascii import a2b_base64
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from bridge.supervisor.web._request import Head, Refused

# pathlib is left out: importing it costs the supervisor a tenth of its start.
# ruff: noqa: PTH105, PTH108, PTH123

_BLOCK = 1 << 16
#: A body up to this size is decoded in memory, as every other place does it.
IN_MEMORY = 1 << 20
#: What begins as JSON may be an event, however large; beyond this it is data.
_LARGEST_EVENT = 64 << 20
_JSON_STARTS = frozenset(b'{["')
_LONGEST_LINE = 1 << 12


class Received(NamedTuple):
    """A body: its bytes, or the file that it is in ("" for none)."""

    content: bytes
    path: str = ""


class Wire:
    """The body's bytes as they come through a connection; `rest` was read with the head."""

    def __init__(self, connection: socket.socket, head: Head, rest: bytes) -> None:
        self._connection = connection
        self._head = head
        self._rest = rest

    @property
    def more(self) -> bool:
        """True when, after the body, the client has sent the beginning of something else."""
        return bool(self._rest)

    def blocks(self) -> Iterator[bytes]:
        """The body. Refused when it is broken off, malformed or does not come in time."""
        if self._head.waits and not self._rest and self._head.length != 0:
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._head.length is not None:
            yield from self._exactly(self._head.length)
            return
        while size := self._chunk_size():
            yield from self._exactly(size)
            if self._line():
                raise Refused(400, "a chunk of the body is longer than it says")
        while self._line():
            continue  # trailers

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            block = self._rest[:size] or self._receive(min(size, _BLOCK))
            self._rest = self._rest[len(block) :]
            size -= len(block)
            yield block

    def _chunk_size(self) -> int:
        text = self._line().partition(b";")[0].strip()
        if not 0 < len(text) <= 15 or not frozenset(b"0123456789abcdefABCDEF").issuperset(text):
            raise Refused(400, "the body's chunks are malformed")
        return int(text, 16)

    def _line(self) -> bytes:
        while (end := self._rest.find(b"\r\n")) < 0:
            if len(self._rest) > _LONGEST_LINE:
                raise Refused(400, "the body's chunks are malformed")
            self._rest += self._receive(_BLOCK)
        line, self._rest = self._rest[:end], self._rest[end + 2 :]
        return line

    def _receive(self, size: int) -> bytes:
        try:
            block = self._connection.recv(size)
        except TimeoutError:
            raise Refused(408, "the body did not come in time") from None
        if not block:
            raise Refused(400, "the body was broken off")
        return block


def receive(wire: Wire, path: str) -> Received:
    """Take the body; a large one is written to `path`. Refused 507 when there is no room."""
    content = bytearray()
    blocks = wire.blocks()
    for block in blocks:
        content += block
        if len(content) > IN_MEMORY:
            break
    else:
        return Received(bytes(content))
    try:
        with open(path, "xb") as file:
            file.write(content)
            for block in blocks:
                file.write(block)
    except OSError as error:
        if isinstance(error, ConnectionError):
            raise
        raise Refused(507, f"the body cannot be kept: {error.strerror}") from None
    return Received(b"", path)


def unpacked(received: Received) -> Received:
    """The body as a job takes it: what may be an event in memory, data in a file and decoded.

    Data is decoded when all of it is base64, on one line or wrapped to equal lines: what
    `bridge.events.payload` does for small ones.
    """
    if not received.path:
        return received
    with open(received.path, "rb") as file:
        start = file.read(_BLOCK).lstrip()
        if (
            start[:1]
            and start[0] in _JSON_STARTS
            and os.fstat(file.fileno()).st_size < _LARGEST_EVENT
        ):
            file.seek(0)
            content = file.read()
            os.unlink(received.path)
            return Received(content)
        file.seek(0)
        decoded = f"{received.path}.decoded"
        if _decode(file, decoded):
            os.replace(decoded, received.path)
    return received


def _decode(file: BinaryIO, path: str) -> bool:
    """Write what the base64 in `file` stands for; False, and nothing is left, when it is none."""
    with open(path, "xb") as target:
        try:
            rest = b""
            for block in _joined(file):
                if rest.endswith(b"="):
                    raise NotBase64
                text = rest + block
                # The last four stay: only there the padding may be.
                whole = max(0, len(text) - 1) // 4 * 4
                target.write(_plain(text[:whole]))
                rest = text[whole:]
            target.write(a2b_base64(rest, strict_mode=True))
        except NotBase64:
            os.unlink(path)
            return False
    return True


def _plain(text: bytes) -> bytes:
    if b"=" in text:
        raise NotBase64
    return a2b_base64(text, strict_mode=True)


def _joined(file: BinaryIO) -> Iterator[bytes]:
    """Lines as one text, a part at a time; NotBase64 when they are not of one length."""
    left = _end(file)
    file.seek(0)
    line = file.readline(_BLOCK)
    file.seek(0)
    wrapped = line.endswith(b"\n") and len(line) < left
    line_end = b"\r\n" if line.endswith(b"\r\n") else b"\n"
    width = len(line) - len(line_end)
    step = _BLOCK // len(line) * len(line) if wrapped else _BLOCK
    while left:
        block = file.read(min(step, left))
        left -= len(block)
        lines = block.split(line_end) if wrapped else [block]
        if wrapped and (any(len(one) != width for one in lines[:-1]) or len(lines[-1]) > width):
            raise NotBase64
        yield b"".join(lines)


def _end(file: BinaryIO) -> int:
    """The file's size without white space at its end."""
    size = os.fstat(file.fileno()).st_size
    last = min(size, 64)
    file.seek(size - last)
    return size - last + len(file.read(last).rstrip())
