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
_ROUNDS: Final = 50
_PAUSE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process table; `rss` in bytes."""

    pid: int
    parent: int
    session: int
    state: str
    rss: int


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


def marked(marker: str) -> set[int]:
    """Processes whose environment has our marker starting with this text; never this process."""
    wanted = f"{MARKER}={marker}".encode()
    own = os.getpid()
    return {pid for pid in _pids() if pid != own and _has(pid, wanted)}


def resident(processes: Mapping[int, Process], pids: Iterable[int]) -> int:
    """Bytes of memory that these processes hold; pages that they share count for each."""
    return sum(processes[pid].rss for pid in pids if pid in processes)


def kill_task(root: int | None, marker: str) -> None:
    """SIGKILL to all processes of a task until none is left; gives up on what cannot be killed."""
    for _ in range(_ROUNDS):
        processes = table()
        found = marked(marker) | (members(processes, root) if root else set())
        alive = [pid for pid in found if pid in processes and processes[pid].state not in "ZX"]
        if not alive:
            return
        for pid in alive:
            send(pid, signal.SIGKILL)
        time.sleep(_PAUSE)


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
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field is the program's name in parentheses and may hold anything.
    fields = text[text.rindex(")") + 2 :].split()
    return Process(pid, int(fields[1]), int(fields[3]), fields[0], int(fields[21]) * _PAGE)


def _has(pid: int, wanted: bytes) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return environment.startswith(wanted) or b"\0" + wanted in environment
