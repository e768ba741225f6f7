"""Ctrl-C and its relatives."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

__all__ = ["INTERRUPTED", "as_keyboard_interrupt"]

INTERRUPTED: Final = 130
_ASKED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def as_keyboard_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP interrupt the block as Ctrl-C does, and only the first of all counts.

    The others must not interrupt the cleaning up; they come in numbers when a terminal, `make` and
    a supervisor each pass them on. What is ignored already (nohup, a shell's `&`) stays ignored.
    """
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            raise KeyboardInterrupt

    heard = [number for number in _ASKED if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
