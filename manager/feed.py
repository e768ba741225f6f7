"""The newest changes of jobs, for who follows them."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bridge.dispatch import JobEvent, JobStore

__all__ = ["Feed", "Place"]

_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a feed: everything up to change `number` of the feed `feed` was read.

    `at` is the time of that change, in seconds since the epoch: where there is another feed now,
    records of jobs may say what came after it.
    """

    feed: str
    number: int
    at: float

    def __str__(self) -> str:
        return f"{int(self.at * 1e6)}-{self.feed}-{self.number}"

    @staticmethod
    def read(text: str) -> Place | None:
        """The place that `str` wrote; None for anything else."""
        at, _, rest = text.partition("-")
        feed, _, number = rest.partition("-")
        if not all(part.isascii() and part.isdecimal() and len(part) < 20 for part in (at, number)):
            return None
        return Place(feed, int(number), int(at) / 1e6)


class Feed:
    """Keeps the newest 10,000 changes of this process's jobs, however many follow. Thread-safe.

    Who reads more slowly than changes come loses the oldest, and is told so.
    """

    def __init__(self, store: JobStore, now: Callable[[], float]) -> None:
        self.name = secrets.token_hex(4)
        self._now = now
        self._lock = threading.Lock()
        self._number = 0
        self._kept: deque[JobEvent] = deque(maxlen=_KEPT)
        self._wakes: tuple[Callable[[], None], ...] = ()
        store.watch(self._heard)

    def _heard(self, news: Sequence[JobEvent]) -> None:
        with self._lock:
            self._kept.extend(news)
            self._number += len(news)
        for wake in self._wakes:
            wake()

    @property
    def place(self) -> Place:
        """Where the newest change is."""
        with self._lock:
            at = self._kept[-1].at if self._kept else self._now()
            return Place(self.name, self._number, at)

    def after(self, place: Place, most: int) -> tuple[list[JobEvent], Place, bool]:
        """The changes behind a place of this feed, the place then, and whether some are lost."""
        with self._lock:
            oldest = self._number - len(self._kept)
            begin = max(place.number, oldest)
            found = list(itertools.islice(self._kept, begin - oldest, begin - oldest + most))
        at = found[-1].at if found else place.at
        return found, Place(self.name, begin + len(found), at), begin > place.number

    def knows(self, place: Place) -> bool:
        """Whether a place is one of this feed, and what came after it is still kept."""
        with self._lock:
            kept = self._number - len(self._kept) <= place.number <= self._number
        return place.feed == self.name and kept

    def follow(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake`, from any thread, when there is news, until the answer is called. It must
        return at once."""
        with self._lock:
            self._wakes = (*self._wakes, wake)

        def end() -> None:
            with self._lock:
                self._wakes = tuple(one for one in self._wakes if one is not wake)

        return end
