"""Bytes of output → lines, with bounded memory."""

from __future__ import annotations

from typing import Final

from bridge.local.executors.model import Sink

MAX_LINE: Final = 65_536


class LineSplitter:
    """Cuts a stream of bytes into lines for a sink; a line above MAX_LINE bytes comes in pieces."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes and hand over every line that they complete."""
        *lines, rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._emit(line)
        while len(rest) > MAX_LINE:
            cut = _boundary(rest)
            self._emit(rest[:cut])
            rest = rest[cut:]
        self._rest = rest

    def finish(self) -> None:
        """Hand over the last line when it has no line end."""
        if self._rest:
            self._emit(self._rest)
            self._rest = b""

    def _emit(self, line: bytes) -> None:
        line = line.removesuffix(b"\r")
        while len(line) > MAX_LINE:
            cut = _boundary(line)
            self._sink(line[:cut].decode(errors="replace"))
            line = line[cut:]
        self._sink(line.decode(errors="replace"))


def _boundary(line: bytes) -> int:
    """Where to cut, at most MAX_LINE, so that no UTF-8 character is cut in two."""
    for cut in range(MAX_LINE, MAX_LINE - 4, -1):
        if line[cut] & 0xC0 != 0x80:
            return cut
    return MAX_LINE
