"""Work that is done side by side, and that nothing outlives."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["Together"]

T = TypeVar("T")


class Together:
    """Threads of one session. After `close` none of them does anything any more.

    Not a ThreadPoolExecutor: that one forgets a thread whose start was interrupted by a signal,
    and such a thread would go on making files and servers while all others are removed.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._closed = False

    def run(self, work: Sequence[Callable[[], T]], at_once: int) -> list[T]:
        """Call each, at most `at_once` at the same time; their results in order.

        The first error ends it: what has begun is finished, then the error is raised.
        """
        left = deque(enumerate(work))
        results: dict[int, T] = {}
        errors: list[BaseException] = []

        def serve() -> None:
            while left and not errors and not self._closed:
                try:
                    number, each = left.popleft()
                except IndexError:
                    return
                try:
                    results[number] = each()
                except BaseException as error:
                    errors.append(error)

        count = min(at_once, len(left))
        threads = [threading.Thread(target=self._guarded, args=(serve,)) for _ in range(count)]
        for thread in threads:
            thread.daemon = True
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return [results[number] for number in sorted(results)]

    def close(self) -> None:
        """Let nothing more begin, and wait for what has begun."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._running)

    def _guarded(self, serve: Callable[[], None]) -> None:
        with self._changed:
            if self._closed:
                return
            self._running += 1
        try:
            serve()
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()
