"""News for subscribers, each in a thread of its own, so that none of them holds up the queue."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from bridge.dispatch.model import JobEvent

__all__ = ["Hooks"]

_LOG: Final = logging.getLogger(__name__)
_WAITING: Final = 100_000


class _Subscriber:
    """Calls back in order; when it is very far behind, it loses the oldest news."""

    def __init__(self, callback: Callable[[JobEvent], object]) -> None:
        self._callback = callback
        self._waiting: deque[JobEvent] = deque(maxlen=_WAITING)
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="job-events", daemon=True)
        self._thread.start()

    def put(self, news: Sequence[JobEvent]) -> None:
        with self._wake:
            self._waiting.extend(news)
            self._wake.notify()

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _next(self) -> JobEvent | None:
        with self._wake:
            while not self._waiting and not self._closed:
                self._wake.wait()
            return self._waiting.popleft() if self._waiting else None

    def _run(self) -> None:
        while (event := self._next()) is not None:
            try:
                self._callback(event)
            except Exception:
                _LOG.exception("a subscriber to job events failed")


class Hooks:
    """The subscribers."""

    def __init__(self) -> None:
        self._subscribers: list[_Subscriber] = []

    def subscribe(self, callback: Callable[[JobEvent], object]) -> Callable[[], None]:
        """See Dispatcher.subscribe."""
        subscriber = _Subscriber(callback)
        self._subscribers = [*self._subscribers, subscriber]

        def unsubscribe() -> None:
            self._subscribers = [s for s in self._subscribers if s is not subscriber]
            subscriber.close()

        return unsubscribe

    def publish(self, news: Sequence[JobEvent]) -> None:
        """Hand the news over; returns at once."""
        for subscriber in self._subscribers:
            subscriber.put(news)

    def close(self) -> None:
        """Deliver what waits, then end the threads."""
        subscribers, self._subscribers = self._subscribers, []
        for subscriber in subscribers:
            subscriber.close()
