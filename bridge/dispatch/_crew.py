"""Threads for short work that nobody waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final

from bridge.dispatch._core import LOG

__all__ = ["Crew"]

_Task = tuple[Callable[[Any], None], Any]
_END: Final = None


class Crew:
    """Does what it is handed, in that order, on up to so many threads.

    Errors are only logged. An executor makes a future for each piece, with two locks,
    which takes longer than to submit a job to some targets.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size, self._name = size, name
        self._waiting: SimpleQueue[_Task | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._closed = False

    def hand(self, work: Callable[[Any], None], what: object) -> None:
        """Have `work(what)` done soon; never, when the crew is closed before."""
        self._waiting.put((work, what))
        if len(self._threads) < self._size and not self._waiting.empty():
            self._grow()

    def close(self) -> None:
        """Wait for the work that is under way; what waits is not done."""
        with self._lock:
            self._closed = True
        try:
            while True:
                self._waiting.get_nowait()
        except Empty:
            pass
        for _ in self._threads:
            self._waiting.put(_END)
        for thread in self._threads:
            thread.join()

    def _grow(self) -> None:
        with self._lock:
            if self._closed or len(self._threads) >= self._size:
                return
            name = f"{self._name}-{len(self._threads)}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        while (task := self._waiting.get()) is not _END:
            if not self._closed:
                self._do(*task)

    def _do(self, work: Callable[[Any], None], what: object) -> None:
        try:
            work(what)
        except Exception:
            LOG.exception("%s broke", self._name)
