"""What a container's processes hold, without its file systems in memory, from the kernel itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_TICK: Final = 0.02


def memory_file(pid: int) -> Path | None:
    """The file that counts the memory of a process's container; None where it cannot be read.

    That is so when the engine runs in a machine of its own.
    """
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        folder = _ROOT / "memory" if "memory" in controllers.split(",") else None
        folder = folder or (_ROOT if not controllers else None)
        found = folder / path.lstrip("/") / "memory.stat" if folder else None
        if found is not None and path != "/" and _held(found) is not None:
            return found
    return None


class MemoryWatch:
    """Calls `exceeded` once when the processes hold more than `limit` bytes. Ends by `stop`."""

    def __init__(self, file: Path, limit: int, exceeded: Callable[[int], None]) -> None:
        self._file = file
        self._limit = limit
        self._exceeded = exceeded
        self._stop = threading.Event()
        threading.Thread(target=self._run, name="bridge-memory", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(_TICK):
            held = _held(self._file)
            if held is None:
                return  # the container is gone
            if held > self._limit:
                self._exceeded(held)
                return


def _held(file: Path) -> int | None:
    """Bytes that belong to no file: `anon` (version 2 of cgroups) or `total_rss` (version 1)."""
    try:
        text = file.read_text("utf-8")
    except OSError:
        return None
    counts = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    found = counts.get("anon") or counts.get("total_rss")
    return int(found) if found else None
