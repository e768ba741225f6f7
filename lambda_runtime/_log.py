"""The function's log: standard output, and its last bytes for the message of a failure."""

from __future__ import annotations

import os
from typing import Final

_TAIL: Final = 4096
_OURS: Final = b"[supervisor] "


class Log:
    """Takes a job's output as it comes. `tail` forgets what `begin` was called after."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._tail = b""

    def begin(self) -> None:
        """Another invocation begins."""
        self._tail = b""

    def write(self, block: bytes) -> None:
        """Pass the bytes on, all of them; OSError when that cannot be."""
        self._tail = (self._tail + block)[-_TAIL:]
        view = memoryview(block)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def tail(self) -> list[str]:
        """The last lines that the script wrote; the first may be a part of a line."""
        lines = self._tail.splitlines()
        return [line.decode("utf-8", "replace") for line in lines if not line.startswith(_OURS)]
