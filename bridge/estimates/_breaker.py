"""Whether a target is asked at all: a circuit breaker as a value.

closed → (so many refusals in a row) → open → (a while) → half-open → closed, or open for longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["Breaker"]

_MOST: Final = 5
_FIRST: Final = 30.0
_LONGEST: Final = 600.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """`refused` submits in a row; `opened` when it opened last, None while it is closed.

    Times are in seconds since the epoch. It opens with the fifth refusal, for 30 seconds; each time
    that the try after them is refused too it stays open for twice as long, up to ten minutes.
    """

    refused: int = 0
    opened: float | None = None
    trips: int = 0

    @property
    def pause(self) -> float:
        """Seconds for which it stays open."""
        return float(min(_FIRST * 2.0 ** min(self.trips - 1, 10), _LONGEST))

    def state(self, now: float) -> str:
        """`closed`, `open` or `half-open`. A clock that was set back far does not keep it open."""
        if self.opened is None:
            return "closed"
        return "open" if -self.pause <= now - self.opened < self.pause else "half-open"

    def after(self, *, ok: bool, at: float) -> Breaker:
        """The breaker after a submit that the target took, or refused for now."""
        if ok:
            return _CLOSED
        state = self.state(at)
        if state == "open":
            return self
        refused = self.refused + 1
        if state == "half-open" or refused >= _MOST:
            return Breaker(refused, at, self.trips + 1)
        return Breaker(refused)


_CLOSED: Final = Breaker()
