"""Answers on their way to the client: small ones at once, large ones from files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from bridge.events import Event
from bridge.supervisor.reply import wants_files, write_zip

if TYPE_CHECKING:
    from bridge.supervisor._stage import OutputFile

# pathlib and tempfile are left out: importing them costs the supervisor a tenth of its start.
# ruff: noqa: PTH108, PTH118, PTH123

# A multiple of 3, so that the base64 of the blocks is that of the whole.
_BLOCK = 3 << 16
_IN_MEMORY = 1 << 20
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    507: "Insufficient Storage",
}


def head(
    status: int, length: int, *, lasts: bool, headers: Mapping[str, str] | None = None
) -> bytes:
    """The head of an answer with a body of so many bytes of text."""
    lines = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {length}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in (headers or {}).items()),
        f"Connection: {'keep-alive' if lasts else 'close'}",
    ]
    return "\r\n".join((*lines, "", "")).encode("ascii")


class Body(NamedTuple):
    """An answer's body: the bytes, or the base64 of a file's."""

    text: bytes = b""
    file: BinaryIO | None = None
    encoded: bool = False

    @property
    def size(self) -> int:
        """How many bytes it is."""
        if self.file is None:
            return len(self.text)
        size = os.fstat(self.file.fileno()).st_size
        return (size + 2) // 3 * 4 if self.encoded else size

    def blocks(self) -> Iterator[bytes]:
        """All of it, a part at a time."""
        if self.file is None:
            yield self.text
            return
        from base64 import b64encode  # noqa: PLC0415  few calls answer with files

        self.file.seek(0)
        while block := self.file.read(_BLOCK):
            yield b64encode(block) if self.encoded else block


class Kept:
    """What a call says and leaves, kept for its answer; large parts in files below `folder`.

    It is a `bridge.supervisor.reply.Caller`. The files have no names: they are gone with the
    process. `problem` says why an answer is not complete.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._memory = bytearray()
        self._spilled: BinaryIO | None = None
        self._result: BinaryIO | None = None
        self._unfinished = False
        self.problem = ""

    def text(self, block: bytes) -> None:
        """See `Caller.text`."""
        self._unfinished = not block.endswith(b"\n")
        if self._spilled is None and len(self._memory) + len(block) <= _IN_MEMORY:
            self._memory += block
            return
        try:
            if self._spilled is None:
                self._spilled = nameless(self._folder)
                self._spilled.write(self._memory)
            self._spilled.write(block)
        except OSError as error:
            self._fail(error)

    def line(self, text: str) -> None:
        """A line of ours after all that the script has said."""
        begin = "\n" if self._unfinished else ""
        self.text(f"{begin}{text}\n".encode("utf-8", "replace"))

    def files(self, event: Event, files: Sequence[OutputFile]) -> None:
        """See `Caller.files`."""
        if not wants_files(event, files):
            return
        try:
            if len(files) == 1:
                self._result = open(files[0].path, "rb")  # noqa: SIM115
                return
            self._result = nameless(self._folder)
            write_zip(files, self._result)
            self._result.flush()
        except OSError as error:
            self._fail(error)

    def result(self) -> Body:
        """The answer of a script that succeeded."""
        if self._result is not None:
            return Body(file=self._result, encoded=True)
        return self.said()

    def said(self) -> Body:
        """All that the script has said."""
        if self._spilled is None:
            return Body(bytes(self._memory))
        self._spilled.flush()
        return Body(file=self._spilled)

    def _fail(self, error: OSError) -> None:
        self.problem = self.problem or f"the answer cannot be kept: {error.strerror or error}"


def nameless(folder: str) -> BinaryIO:
    """A file that nothing but its descriptor leads to."""
    path = os.path.join(folder, f".bridge-{os.getpid()}-{os.urandom(6).hex()}")
    file = open(path, "x+b")  # noqa: SIM115
    os.unlink(path)
    return file
