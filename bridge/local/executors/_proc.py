"""The processes of this machine as /proc tells them: who belongs to a task, and what they hold.

A process belongs to a task when it descends from its first process, is in its session, or carries
its marker in its environment. So one that forked twice and made a session of its own is found too;
only one that also wiped its environment before its parent ended is not.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MARKER: Final = "BRIDGE_TASK"
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_LINE: Final = 4_096
_ROUNDS: Final = 50
_PAUSE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process table; `rss` in bytes, `started` in clock ticks since the boot."""

    pid: int
    parent: int
    session: int
    state: str
    rss: int
    started: int


def table() -> dict[int, Process]:
    """Every process that can be seen now."""
    found = (_read(pid) for pid in _pids())
    return {process.pid: process for process in found if process is not None}


def members(processes: Mapping[int, Process], root: int) -> set[int]:
    """The process `root`, what descends from it and what is in its session."""
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    stack = [pid for pid, p in processes.items() if root in (pid, p.session)]
    while stack:
        pid = stack.pop()
        if pid not in found:
            found.add(pid)
            stack.extend(children.get(pid, ()))
    return found


def marked(marker: str, among: Iterable[int] | None = None) -> set[int]:
    """Processes whose environment has our marker starting with this text; never this process.

    `among` are the processes to look at, by default all.
    """
    wanted = f"{MARKER}={marker}".encode()
    own = os.getpid()
    pids = _pids() if among is None else among
    return {pid for pid in pids if pid != own and _has(pid, wanted)}


def resident(processes: Mapping[int, Process], pids: Iterable[int]) -> int:
    """Bytes of memory that these processes hold; pages that they share count for each."""
    return sum(processes[pid].rss for pid in pids if pid in processes)


def kill_task(root: int | None, marker: str) -> None:
    """SIGKILL to all processes of a task until none is left; gives up on what cannot be killed."""
    for _ in range(_ROUNDS):
        processes = table()
        found = _of_task(processes, root, marker)
        alive = [pid for pid in found if pid in processes and processes[pid].state not in "ZX"]
        if not alive:
            return
        for pid in alive:
            send(pid, signal.SIGKILL)
        time.sleep(_PAUSE)


def _of_task(processes: Mapping[int, Process], root: int | None, marker: str) -> set[int]:
    if root is None or root not in processes:
        return marked(marker)
    # Nothing of a task is older than its first process: most environments need not be read.
    first = processes[root].started
    younger = [pid for pid, process in processes.items() if process.started >= first]
    return marked(marker, younger) | members(processes, root)


def send(pid: int, number: signal.Signals) -> None:
    """A signal to a process that may be gone or somebody else's by now."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _pids() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]


def _read(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as source:  # noqa: PTH123  half the time
            line = source.read(_LINE)
    except OSError:
        return None
    # The second field is the program's name in parentheses and may hold anything.
    f = line[line.rindex(b")") + 2 :].split()
    rss = int(f[21]) * _PAGE
    return Process(pid, int(f[1]), int(f[3]), f[0].decode(), rss, int(f[19]))


def _has(pid: int, wanted: bytes) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return environment.startswith(wanted) or b"\0" + wanted in environment
