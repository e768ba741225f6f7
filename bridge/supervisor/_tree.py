"""All processes that a job has started, found and ended, however they tried to get away (Linux)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable

# pathlib is left out: importing it costs the supervisor a tenth of its start.
# ruff: noqa: PTH123, PTH208

_PR_SET_CHILD_SUBREAPER = 36
_STEP = 0.01
# Where /proc/<pid>/stat says when a process began, counted from its state on: proc(5).
_BEGAN = 19
# A process that forks faster than it can be found loses after so many rounds of SIGKILL.
_ROUNDS = 500


def adopt_orphans(adopt: bool = True) -> None:
    """Become the parent of every descendant whose own parent dies, or stop to."""
    import ctypes  # noqa: PLC0415  imported while the input is on its way

    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)


def has_children() -> bool:
    """Whether this process has any child, dead ones included. Reaps none."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def descendants() -> set[int]:
    """Ids of all processes below this one, the dead that nobody has reaped included."""
    if not has_children():
        return set()
    children: dict[int, list[int]] = {}
    for pid, parent in _processes():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    queue = [os.getpid()]
    while queue:
        below = children.get(queue.pop(), ())
        queue += below
        found.update(below)
    return found


def end_all(spare: set[int], grace: float, each: Callable[[], object]) -> int:
    """End every descendant but `spare`: SIGTERM, `grace` seconds, SIGKILL. How many there were.

    What a script starts in answer to SIGTERM, to tidy up, has the `grace` for it. Returns once none
    is left, all reaped. `each` is called while it waits.
    """
    begun = time.clock_gettime(time.CLOCK_BOOTTIME)
    alive = _living(spare)
    seen = set(alive)
    _signal(alive, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while alive and time.monotonic() < deadline:
        each()
        time.sleep(_STEP)
        alive = _living(spare)
        # What was started while the others were looked for has not had the signal yet.
        _signal({pid for pid in alive - seen if _began(pid) < begun}, signal.SIGTERM)
        seen |= alive
    for _ in range(_ROUNDS):
        if not alive:
            break
        _signal(alive, signal.SIGKILL)
        each()
        time.sleep(_STEP)
        alive = _living(spare)
        seen |= alive
    return len(seen)


def _living(spare: set[int]) -> set[int]:
    """Descendants that still run, after reaping those that do not."""
    return {pid for pid in descendants() - spare if not _over(pid)}


def _over(pid: int) -> bool:
    """True when the process is dead; reaped if it is ours, else its parent's to reap."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        fields = _stat(pid)
        return not fields or fields[0] in "ZX"


def _began(pid: int) -> float:
    """When a process began, in seconds since the start of the machine, up to a tick too late."""
    fields = _stat(pid)
    return (int(fields[_BEGAN]) + 1) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    # Parents first: a script whose command dies before it hears itself goes on, or ends as if done.
    for pid in sorted(pids):
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def _processes() -> Iterable[tuple[int, int]]:
    """Every process that can be seen, with its parent."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _stat(int(name))
            if fields:
                yield int(name), int(fields[1])


def _stat(pid: int) -> list[str]:
    """State, parent and the rest of /proc/<pid>/stat; empty when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode("ascii", "replace").split()
    except OSError:
        return []
