"""How long the runs of one service on one target take, by size of the input."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import exp, log
from typing import Any, Final, Self

from bridge.estimates._sketch import LEAST, Sketch
from bridge.scheduler import Estimate

__all__ = ["ENOUGH", "NO_SIZE", "RunTimes", "confidence"]

ENOUGH: Final = 3
"""Fewer samples than this say nothing: the median of three does not move with one of them."""
NO_SIZE: Final = -1
"""Where runs without an input of known size are counted."""
HALF_LIFE: Final = 7 * 86_400.0

# Page's test (E. S. Page, Continuous Inspection Schemes, Biometrika 41, 1954) for a mean that moves
# up or down, on logarithms of the run time in units of their usual deviation. As measured: of
# runs that scatter by 30 % and take twice as long for good, eleven raise the alarm (median); of 1.3
# times as long, 38. Runs that only scatter raise it about once in 100,000 of them or more seldom,
# those of two modes once in 20,000.
_SLACK: Final = 0.5
_ALARM: Final = 20.0
_CLIP: Final = 3.0
_SETTLED: Final = 8
_SMOOTH: Final = 0.02
# Much slower than the alarm, or what changes would look as if it had always been so.
_SLOW: Final = 0.002
_SPREAD: Final = (0.5, 0.05)  # before anything is known, and at least
_DOUBT: Final = 30
_LATE: Final = 0.95
_OTHER_SIZE: Final = "the run time is that of inputs of other sizes"


def confidence(weight: float) -> float:
    """How sure a figure is that rests on so many fresh samples: 0.5 with three, 0.9 with 27."""
    return weight / (weight + ENOUGH)


class _Size:
    """Runs with inputs of about one size; `centre` is the usual logarithm of their seconds."""

    __slots__ = ("centre", "seen", "times")

    def __init__(self) -> None:
        self.times = Sketch(HALF_LIFE)
        self.centre = 0.0
        self.seen = 0


class RunTimes:
    """Seconds of a script. `drifts` counts the times that they changed for good."""

    __slots__ = ("_doubt", "_down", "_recent", "_sizes", "_spread", "_up", "drifts")

    def __init__(self) -> None:
        self.drifts = 0
        self._sizes: dict[int, _Size] = {}
        self._spread = _SPREAD[0]
        self._up = self._down = 0.0
        self._doubt = 0
        self._recent: deque[tuple[int, float, float]] = deque(maxlen=_SETTLED)

    @property
    def samples(self) -> int:
        """Runs that count."""
        return sum(size.times.count for size in self._sizes.values())

    def weight(self, now: float) -> float:
        """How many fresh runs the known ones are worth."""
        return sum(size.times.weight(now) for size in self._sizes.values())

    @property
    def drifting(self) -> bool:
        """Whether runs have changed for good not long ago."""
        return self._doubt > 0

    def add(self, size: int, seconds: float, at: float) -> bool:
        """Take one run; True when it is the one that shows that runs have changed for good.

        Then what is older than the last eight runs is forgotten. `size` is in bits.
        """
        found = self._sizes.get(size)
        if found is None:
            found = self._sizes[size] = _Size()
        found.times.add(seconds, at)
        self._recent.append((size, seconds, at))
        if self._doubt:
            self._doubt -= 1
        found.seen += 1
        if found.seen <= _SETTLED:
            if found.seen == _SETTLED:
                found.centre = log(max(found.times.quantile(0.5), LEAST))
            return False
        return self._drifts(found, log(seconds if seconds > LEAST else LEAST) - found.centre)

    def _drifts(self, size: _Size, off: float) -> bool:
        spread = self._spread
        most = _CLIP * spread
        off = most if off > most else -most if off < -most else off
        share = 1 / size.seen
        size.centre += max(share, _SLOW) * off
        self._spread = max(spread + max(share, _SMOOTH) * (abs(off) - spread), _SPREAD[1])
        # Written out without max(): this runs for every job of a simulation.
        up = self._up + off / spread - _SLACK
        down = self._down - off / spread - _SLACK
        self._up = up if up > 0 else 0.0
        self._down = down if down > 0 else 0.0
        if up <= _ALARM and down <= _ALARM:
            return False
        self._begin_anew()
        return True

    def _begin_anew(self) -> None:
        self.drifts += 1
        self._sizes, self._spread = {}, _SPREAD[0]
        self._up = self._down = 0.0
        for size, seconds, at in tuple(self._recent):
            self.add(size, seconds, at)
        self._doubt = _DOUBT

    def estimate(self, now: float) -> Estimate | None:
        """What the next run takes, None below three runs."""
        if self.samples < ENOUGH:
            return None
        every = Sketch(HALF_LIFE)
        for one in self._sizes.values():
            every.join(one.times)
        whole = self._read(every, now)
        known = {
            bits: self._read(one.times, now)
            for bits, one in sorted(self._sizes.items())
            if bits != NO_SIZE and one.times.count >= ENOUGH
        }
        if not known:
            return whole
        return Estimate(
            whole.run, whole.confidence, whole.late, sizes=_filled(known), smallest=min(known) - 1
        )

    def _read(self, times: Sketch, now: float) -> Estimate:
        sure = confidence(times.weight(now)) * (0.5 if self._doubt else 1.0)
        return Estimate(times.quantile(0.5), min(sure, 1.0), times.quantile(_LATE))

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "sizes": {
                str(bits): [one.times.as_json(), one.centre, one.seen]
                for bits, one in self._sizes.items()
            },
            "spread": self._spread,
            "up": self._up,
            "down": self._down,
            "doubt": self._doubt,
            "drifts": self.drifts,
            "recent": [list(one) for one in self._recent],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `as_json` wrote."""
        made = cls()
        for bits, (times, centre, seen) in data["sizes"].items():
            one = made._sizes[int(bits)] = _Size()
            one.times = Sketch.from_json(times, HALF_LIFE)
            one.centre, one.seen = float(centre), int(seen)
        made._spread = float(data["spread"])
        made._up, made._down = float(data["up"]), float(data["down"])
        made._doubt, made.drifts = int(data["doubt"]), int(data["drifts"])
        made._recent.extend((int(b), float(s), float(at)) for b, s, at in data["recent"])
        return made


def _filled(known: Mapping[int, Estimate]) -> tuple[Estimate, ...]:
    """An estimate for each size from one below the smallest to one above the largest."""
    sizes = list(known)
    first, last = known[sizes[0]], known[sizes[-1]]
    found = [_borrowed(first, first, 0.0)]
    for low, high in pairwise(sizes):
        found.append(known[low])
        found += _between(known[low], known[high], high - low)
    return (*found, last, _borrowed(last, last, 0.0))


def _between(low: Estimate, high: Estimate, steps: int) -> Sequence[Estimate]:
    return [_borrowed(low, high, step / steps) for step in range(1, steps)]


def _borrowed(low: Estimate, high: Estimate, share: float) -> Estimate:
    """On the line between two sizes, both axes logarithmic."""
    return Estimate(
        _mixed(low.run, high.run, share),
        min(low.confidence, high.confidence) / 2,
        _mixed(low.late or low.run, high.late or high.run, share),
        _OTHER_SIZE,
    )


def _mixed(low: float, high: float, share: float) -> float:
    return exp(log(max(low, LEAST)) * (1 - share) + log(max(high, LEAST)) * share)
