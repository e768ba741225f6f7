"""Containers that wait for the next job of a service: how many, and for how long they are kept.

A place that keeps containers does not say for how long. Whether a job found one is in its report,
and how long that one had waited follows from the jobs before it. The chance that a container is
gone after waiting g seconds is taken to be g²/(g² + k²), and k is learned from those jobs one by
one (the gradient of the logistic model's likelihood in log k). The newest container is taken to be
used first. Pure.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from math import exp
from typing import Any, Final, Self

__all__ = ["Containers", "gone", "learned"]

_MOST: Final = 64  # containers of one service that are kept in mind
_DOUBTS: Final = 16
# Seconds that a job may have begun before the one ahead of it was over, by other clocks.
_SLACK: Final = 1.0
# Whoever could have taken a container has ended by then: Lambda's longest run.
_LONGEST: Final = 900.0
_RATE: Final = 0.2
_LEAST: Final = 10.0
_MUCH: Final = 86_400.0


def gone(gap: float, kept: float) -> float:
    """The chance that a container which has waited `gap` seconds is there no more."""
    return gap * gap / (gap * gap + kept * kept) if gap > 0 else 0.0


def learned(kept: float, gap: float, *, cold: bool) -> float:
    """`kept` after one more job: the container ahead of it had waited `gap` seconds."""
    share = gone(gap, kept)
    step = -(1 - share) if cold else share
    return min(max(kept * exp(_RATE * step), _LEAST), _MUCH)


class Containers:
    """Those of one service on one target. `_left` says when each was left by its last job."""

    __slots__ = ("_doubts", "_left")

    def __init__(
        self, left: Iterable[float] = (), doubts: Iterable[tuple[float, float]] = ()
    ) -> None:
        self._left = sorted(left)
        self._doubts = list(doubts)

    def used(
        self, began: float, ended: float, kept: float, *, cold: bool | None
    ) -> list[tuple[float, bool]]:
        """A job held one from `began` to `ended`; None where it does not say which kind.

        What it shows of containers: seconds that one had waited, and whether it was gone then.
        """
        place = bisect_right(self._left, began + _SLACK) - 1
        gap = max(began - self._left[place], 0.0) if place >= 0 else None
        likely = gap is not None and gone(gap, kept) < 0.5
        reused = likely if cold is None else not cold
        shown = self._settled(began, ended)
        if gap is not None and cold:
            # Unless a job that is not over yet has it.
            self._doubts = [*self._doubts, (self._left[place], began)][-_DOUBTS:]
        elif gap is not None and cold is False:
            shown.append((gap, False))
        if reused and place >= 0:
            del self._left[place]
        insort(self._left, ended)
        del self._left[:-_MOST]
        return shown

    def _settled(self, began: float, ended: float) -> list[tuple[float, bool]]:
        """What this job says of those that found nothing while a container should have waited: it
        had that container, or by now nobody had."""
        still, shown = [], []
        for left, asked in self._doubts:
            if left - _SLACK <= began <= asked <= ended:
                continue
            if ended < asked + _LONGEST:
                still.append((left, asked))
            else:
                shown.append((asked - left, True))
        self._doubts = still
        return shown

    def waiting(self, now: float, kept: float, busy: Sequence[float] = ()) -> tuple[float, int]:
        """The chance that the next job finds none, and how many more likely wait than not.

        `busy` are the times at which the jobs that are under way there were placed, in any order.
        """
        free = [left for left in self._left if left <= now + _SLACK]
        for began in sorted(busy):
            place = bisect_right(free, began) - 1
            if place >= 0:
                del free[place]
            if not free:
                break
        if not free:
            return 1.0, 0
        there = sum(gone(now - left, kept) < 0.5 for left in free)
        return gone(now - free[-1], kept), there

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {"left": self._left, "doubts": self._doubts}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `as_json` wrote; nothing is what older versions knew."""
        return cls(data.get("left", ()), [(a, b) for a, b in data.get("doubts", ())])
