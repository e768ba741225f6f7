"""The manager's own log of invocations."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

__all__ = ["CallLog", "Entry", "exact", "rfc3339"]

_LOG: Final = logging.getLogger("manager")
_KEPT: Final = 10_000


def rfc3339(at: float) -> str:
    """A time as Kubernetes writes it: UTC, whole seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def exact(at: float) -> str:
    """A time with its microseconds, as Go writes times."""
    text = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return f"{text}Z"


@dataclass(frozen=True, slots=True)
class Entry:
    """One call of a service. `at` in seconds since the epoch, `latency` in seconds."""

    at: float
    status: int
    latency: float
    client: str
    method: str
    path: str
    user: str

    @property
    def stamp(self) -> str:
        """When, with nine digits after the second."""
        second, nanos = divmod(int(self.at * 1e9), 10**9)
        return f"{rfc3339(second)[:-1]}.{nanos:09}Z"

    def raw(self) -> str:
        """The line that OSCAR's own tools look for."""
        what = f"{self.status} | {self.latency:.6f}s | {self.client} | {self.method} {self.path}"
        return f"[GIN-EXECUTIONS-LOGGER] {self.stamp} | {what} | {self.user}"

    def as_json(self, *, timestamps: bool) -> dict[str, Any]:
        """The entry of `/system/logs`."""
        raw = self.raw()
        return {
            "timestamp": self.stamp,
            "status": self.status,
            "latency": f"{self.latency:.6f}s",
            "client_ip": self.client,
            "method": self.method,
            "path": self.path,
            "user": self.user,
            "raw": f"{self.stamp} {raw}" if timestamps else raw,
        }


@dataclass(slots=True)
class CallLog:
    """The newest `kept` calls of this process, which `began` to note them then. Thread-safe."""

    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=_KEPT))
    began: float = field(default_factory=time.time)
    kept: int = _KEPT

    def newest(self) -> tuple[Entry, ...]:
        """The calls as they are now, the newest last."""
        return tuple(self.entries)

    def add(self, began: float, status: int, client: str, path: str, user: str) -> None:
        """Note a call that is answered; `began` is in seconds since the epoch."""
        entry = Entry(began, status, time.time() - began, client, "POST", path, user)
        self.entries.append(entry)
        _LOG.info("%s", entry.raw())
