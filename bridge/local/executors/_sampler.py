"""One thread that measures the memory of running process trees and enforces their limits.

A sampler and not RLIMIT_AS, because address space is not memory: programs that reserve much and
touch little (Go, Java, threads with large stacks) would fail under a limit that they keep. The
price: a tree that grows fast is above its limit for up to one interval.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from bridge.local.executors import _proc

INTERVAL: Final = 0.1


class Watch:
    """The memory of one tree: its limit in bytes (None: measure only) and the peak so far."""

    __slots__ = ("_on_excess", "limit", "peak", "root")

    def __init__(self, root: int, limit: int | None, on_excess: Callable[[int], None]) -> None:
        self.root = root
        self.limit = limit
        self.peak = 0
        self._on_excess = on_excess

    def see(self, processes: dict[int, _proc.Process]) -> None:
        """Take one measurement; above the limit the owner is told how much it was."""
        held = _proc.resident(processes, _proc.members(processes, self.root))
        self.peak = max(self.peak, held)
        if self.limit is not None and held > self.limit:
            self._on_excess(held)


class Sampler:
    """Measures every watched tree each INTERVAL seconds; its thread runs only while there are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: set[Watch] = set()
        self._thread: threading.Thread | None = None

    def add(self, watch: Watch) -> None:
        """Begin to measure."""
        with self._lock:
            self._watches.add(watch)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="bridge-memory", daemon=True)
                self._thread.start()

    def remove(self, watch: Watch) -> None:
        """Measure no more; no error when it is not watched."""
        with self._lock:
            self._watches.discard(watch)

    def _run(self) -> None:
        while True:
            time.sleep(INTERVAL)
            with self._lock:
                watches = list(self._watches)
                if not watches:
                    self._thread = None
                    return
            processes = _proc.table()
            for watch in watches:
                watch.see(processes)
