"""How many bytes the buckets of users hold, counted by listing them now and then."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from bridge.errors import NotFoundError
from manager.buckets import Buckets

__all__ = ["Stored"]


class Stored:
    """The bytes in buckets as they were counted last. Thread-safe.

    A bucket is counted when it is first asked for, and then by `recount` only: to list a large
    bucket takes a second for some ten thousand objects.
    """

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def of(self, names: Iterable[str]) -> Mapping[str, int]:
        """Bytes by bucket."""
        found = {name: self._counts.get(name) for name in names}
        return {name: self._count(name) if size is None else size for name, size in found.items()}

    def recount(self, names: Iterable[str]) -> None:
        """Count these buckets anew, and forget all others. Errors of the object store."""
        counts = {name: self._sum(name) for name in names}
        with self._lock:
            self._counts = counts

    def _count(self, name: str) -> int:
        size = self._sum(name)
        with self._lock:
            self._counts = {**self._counts, name: size}
        return size

    def _sum(self, name: str) -> int:
        try:
            return sum(one.size or 0 for one in self._buckets.listing(name))
        except NotFoundError:
            return 0
