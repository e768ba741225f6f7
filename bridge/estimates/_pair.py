"""One service on one target: its run times, and how well they were foretold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

from bridge.estimates._runs import RunTimes
from bridge.estimates._warm import Containers
from bridge.scheduler import Estimate

__all__ = ["Pair"]

_SMOOTH: Final = 0.05
# A relative error is of at least this many seconds, and at most so many times.
_LEAST: Final = 0.01
_MOST: Final = 10.0
# Seconds for which an estimate serves when no run comes: confidence falls with days.
_FRESH: Final = 600.0


class Mean:
    """A mean of relative errors in which the last twenty count most."""

    __slots__ = ("count", "value")

    def __init__(self, count: int = 0, value: float = 0.0) -> None:
        self.count = count
        self.value = value

    def add(self, said: float, actual: float) -> None:
        """A figure was foretold, and came out like this."""
        self.count += 1
        off = min(abs(actual - said) / max(actual, _LEAST), _MOST)
        self.value += max(1 / self.count, _SMOOTH) * (off - self.value)

    @property
    def known(self) -> float | None:
        """The mean, None before there is one."""
        return self.value if self.count else None


class Pair:
    """See the module."""

    __slots__ = (
        "_at",
        "_estimate",
        "changed",
        "containers",
        "finish",
        "run",
        "start",
        "times",
        "transfer",
    )

    def __init__(self) -> None:
        self.changed = False
        self.times = RunTimes()
        self.run = Mean()
        self.finish = Mean()
        self.start, self.transfer = Mean(), Mean()
        self.containers = Containers()
        self._at = 0.0
        self._estimate: Estimate | None = None

    def add(self, bits: int, seconds: float, at: float) -> bool:
        """Take one run; True when runs have changed for good."""
        self.changed = True
        self._at = 0.0
        return self.times.add(bits, seconds, at)

    def estimate(self, now: float) -> Estimate | None:
        """What the next run takes; worked out when there is news of it, or time has gone by."""
        if not 0 <= now - self._at < _FRESH or not self._at:
            self._at, self._estimate = now, self.times.estimate(now)
        return self._estimate

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "times": self.times.as_json(),
            "run": [self.run.count, self.run.value],
            "finish": [self.finish.count, self.finish.value],
            "start": [self.start.count, self.start.value],
            "transfer": [self.transfer.count, self.transfer.value],
            **self.containers.as_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `as_json` wrote."""
        made = cls()
        made.times = RunTimes.from_json(data["times"])
        made.run, made.finish = Mean(*data["run"]), Mean(*data["finish"])
        # Older versions did not compare them.
        made.start, made.transfer = (Mean(*data.get(name, ())) for name in ("start", "transfer"))
        made.containers = Containers.from_json(data)
        return made
