"""What a target that learns of its jobs by itself has to say to the dispatcher."""

from __future__ import annotations

import threading
from collections.abc import Callable

from bridge.targets.protocol import JobUpdate

__all__ = ["News"]


class News:
    """The newest update of each job; final ones come again until they are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fresh: dict[str, JobUpdate] = {}
        self._final: dict[str, JobUpdate] = {}
        self._wakers: list[Callable[[], None]] = []

    def put(self, update: JobUpdate) -> None:
        """Keep an update until it is taken, and wake who waits for one."""
        with self._lock:
            self._fresh[update.job] = update
            if update.state.final:
                self._final[update.job] = update
            wakers = list(self._wakers)
        for wake in wakers:
            wake()

    def take(self) -> list[JobUpdate]:
        """Fresh updates, and final ones that are not forgotten."""
        with self._lock:
            fresh, self._fresh = self._fresh, {}
            repeated = [update for job, update in self._final.items() if job not in fresh]
            return [*repeated, *fresh.values()]

    def forget(self, job: str) -> None:
        """Drop what there is of a job."""
        with self._lock:
            self._fresh.pop(job, None)
            self._final.pop(job, None)

    def on_news(self, wake: Callable[[], None]) -> None:
        """Call `wake` after each `put`."""
        with self._lock:
            self._wakers.append(wake)
