"""Blocking work in a few threads, while the main thread stays open to signals and deadlines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class OutOfTime(Exception):
    """The deadline came first; what was still running goes on unwatched."""


def run_all(
    tasks: Sequence[Callable[[], T]],
    *,
    workers: int,
    deadline: float | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> list[T]:
    """The results of all tasks, in their order, with at most `workers` at once.

    The first error stops what has not begun and is raised once the others are over. OutOfTime when
    `deadline` (of time.monotonic) comes first. A signal handler's exception passes at once.
    `meanwhile` runs in this thread once the tasks have begun.
    """
    pool = _Pool(tasks)
    for _ in range(min(workers, len(tasks))):
        threading.Thread(target=pool.work, daemon=True).start()
    if meanwhile is not None:
        meanwhile()
    return pool.wait(deadline)


class _Pool(Generic[T]):
    def __init__(self, tasks: Sequence[Callable[[], T]]) -> None:
        self._tasks = tasks
        self._results: dict[int, T] = {}
        self._error: BaseException | None = None
        self._next = 0
        self._running = 0
        self._changed = threading.Condition()

    def work(self) -> None:
        while (number := self._take()) is not None:
            try:
                result = self._tasks[number]()
            except BaseException as error:
                self._done(number, error=error)
            else:
                self._done(number, result=result)

    def wait(self, deadline: float | None) -> list[T]:
        with self._changed:
            try:
                while not self._over():
                    left = None if deadline is None else deadline - time.monotonic()
                    if left is not None and left <= 0:
                        raise OutOfTime
                    self._changed.wait(left)
            except BaseException:
                self._next = len(self._tasks)
                raise
        if self._error is not None:
            raise self._error
        return [self._results[number] for number in range(len(self._tasks))]

    def _over(self) -> bool:
        return not self._running and self._next >= len(self._tasks)

    def _take(self) -> int | None:
        with self._changed:
            if self._next >= len(self._tasks):
                return None
            self._next += 1
            self._running += 1
            return self._next - 1

    def _done(
        self, number: int, *, result: T | None = None, error: BaseException | None = None
    ) -> None:
        with self._changed:
            self._running -= 1
            if error is not None:
                self._error = self._error or error
                self._next = len(self._tasks)
            else:
                self._results[number] = result  # type: ignore[assignment]
            self._changed.notify_all()
