"""Signals that ask this program to end, and the moments when they must not be heard."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

__all__ = ["held_back", "undisturbed"]

_ASKED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def held_back() -> Iterator[None]:
    """Such a signal that comes in the block takes effect at its end.

    For starting something and noting how to stop it, between which no KeyboardInterrupt may come.
    """
    came: list[int] = []
    heard = [number for number in _ASKED if signal.getsignal(number) is not signal.SIG_IGN]
    with _handled(heard, lambda number, _: came.append(number)):
        yield
    if came:
        signal.raise_signal(came[0])


@contextmanager
def undisturbed() -> Iterator[None]:
    """Such signals are ignored in the block."""
    with _handled(_ASKED, signal.SIG_IGN):
        yield


@contextmanager
def _handled(
    numbers: Sequence[signal.Signals], handler: Callable[[int, object], None] | signal.Handlers
) -> Iterator[None]:
    """The handler is in force in the block; only the main thread gets signals, and may set it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
