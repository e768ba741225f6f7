"""SIGTERM and SIGINT as an exception in the main thread, held back where it would do harm."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(BaseException):
    """Somebody asks this process to end, by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _State:
    """One process, one state: the signal that has arrived, and how many blocks hold it back."""

    arrived = 0
    raised = False
    holds = 0


def install() -> None:
    """From now on SIGTERM and SIGINT raise Terminated in the main thread, once in all."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _handle)


def arrived() -> int:
    """The signal that asks this process to end, 0 while there is none."""
    return _State.arrived


@contextmanager
def held_back() -> Iterator[None]:
    """Terminated waits until the block is over. May be nested.

    Blocking the signals themselves would not do: another thread could take them.
    """
    _State.holds += 1
    try:
        yield
    finally:
        _State.holds -= 1
        _raise_once()


@contextmanager
def let_through() -> Iterator[None]:
    """Inside of a block that holds it back, Terminated is raised again while this one lasts."""
    holds, _State.holds = _State.holds, 0
    try:
        _raise_once()
        yield
    finally:
        _State.holds = holds


def _handle(number: int, frame: FrameType | None) -> None:
    _State.arrived = _State.arrived or number
    _raise_once()


def _raise_once() -> None:
    if _State.arrived and not _State.raised and not _State.holds:
        _State.raised = True
        raise Terminated(_State.arrived)
