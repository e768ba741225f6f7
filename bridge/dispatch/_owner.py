"""Names of dispatchers, made so that a dead one on this machine can be told."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path
from typing import Final

__all__ = ["is_gone", "new_owner"]

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_PROCESSES: Final = Path("/proc/self/ns/pid")


def _machine() -> str:
    """This boot of this machine (or container)."""
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
    return f"{socket.gethostname()}/{boot}"


def _processes() -> str:
    """What numbers of processes mean here: containers of one host name may each have their own."""
    return str(_PROCESSES.stat().st_ino) if _PROCESSES.exists() else ""


def new_owner() -> str:
    """A name for a dispatcher in this process, never used before."""
    return f"{_machine()}/{os.getpid()}/{_processes()}-{secrets.token_hex(4)}"


def is_gone(owner: str) -> bool:
    """True when the owner's process has surely ended: same machine, no such process.

    Saves a restart the wait for the lease to run out. False when it cannot be known.
    """
    machine, _, rest = owner.rpartition("/")
    machine, _, pid = machine.rpartition("/")
    if not rest or not pid.isdecimal():
        return False
    if machine != _machine():
        # The same host name under another boot id is the same machine before its restart.
        host, _, boot = machine.rpartition("/")
        return bool(boot) and host == socket.gethostname() and _BOOT_ID.exists()
    if rest.partition("-")[0] != _processes():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
