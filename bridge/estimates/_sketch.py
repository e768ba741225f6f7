"""Quantiles of a stream in which what is old counts less.

Values fall into bins that grow by a constant factor, so each quantile is right within 5 % of its
value (the idea of DDSketch: Masson, Rim and Lee, VLDB 2019). Weights grow with the time of a value
instead of shrinking with its age, so that adding one touches one bin (forward decay: Cormode,
Shkapenyuk, Srivastava and Xu, ICDE 2009). The library `ddsketch` does neither forget nor become a
short text, and needs protobuf.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, exp, log
from typing import Any, Final, Self

__all__ = ["ACCURACY", "LEAST", "Sketch"]

ACCURACY: Final = 0.05
"""The relative error of a quantile, at most."""
LEAST: Final = 1e-6
"""Seconds (or seconds per byte times a million): what is less counts as this."""

_STEP: Final = log((1 + ACCURACY) / (1 - ACCURACY))
_BINS: Final = 1 / _STEP
_LOWEST: Final = ceil(log(LEAST) * _BINS)
_MIDDLE: Final = 1 - ACCURACY
# Powers of two that weights may differ by before all are written anew.
_SPAN: Final = 60.0
_NOTHING: Final = 1e-6


class Sketch:
    """The distribution of positive values; a value's weight halves every `half_life` seconds."""

    __slots__ = ("_bins", "_landmark", "_total", "count", "half_life")

    def __init__(self, half_life: float) -> None:
        self.half_life = half_life
        self.count = 0
        self._bins: dict[int, float] = {}
        self._total = 0.0
        self._landmark = 0.0

    def add(self, value: float, at: float) -> None:
        """Take a finite value of the time `at`, in seconds; values may come in any order."""
        if not self.count:
            self._landmark = at
        ahead = (at - self._landmark) / self.half_life
        if not -_SPAN < ahead < _SPAN:
            if ahead < 0:
                return
            self._move(at)
            ahead = 0.0
        weight = 2.0**ahead
        place = ceil(log(value) * _BINS) if value > LEAST else _LOWEST
        try:
            self._bins[place] += weight
        except KeyError:
            self._bins[place] = weight
        self._total += weight
        self.count += 1

    def _move(self, at: float) -> None:
        """Count weights from another time on, and forget what weighs nothing then."""
        factor = 2.0 ** ((self._landmark - at) / self.half_life)
        kept = {place: weight * factor for place, weight in self._bins.items()}
        self._bins = {place: weight for place, weight in kept.items() if weight > _NOTHING}
        self._total = sum(self._bins.values())
        self._landmark = at

    def weight(self, now: float) -> float:
        """How many values of this moment the known ones are worth."""
        ago = max((now - self._landmark) / self.half_life, -_SPAN)
        return float(self._total * 2.0**-ago)

    def quantile(self, share: float) -> float:
        """The value below which this share of the weight lies; 0 without values."""
        found = 0.0
        wanted = share * self._total * (1 - 1e-12)
        for place in sorted(self._bins):
            found += self._bins[place]
            if found >= wanted:
                return exp(place * _STEP) * _MIDDLE
        return 0.0

    def join(self, other: Self) -> None:
        """Take all that the other one has, which has the same half-life."""
        if not self.count:
            self._landmark = other._landmark
        elif other._landmark > self._landmark:
            self._move(other._landmark)
        factor = 2.0 ** ((other._landmark - self._landmark) / self.half_life)
        for place, weight in other._bins.items():
            self._bins[place] = self._bins.get(place, 0.0) + weight * factor
        self._total += other._total * factor
        self.count += other.count

    def as_json(self) -> dict[str, Any]:
        """The sketch as plain values."""
        bins = {str(place): weight for place, weight in sorted(self._bins.items())}
        return {"from": self._landmark, "count": self.count, "total": self._total, "bins": bins}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], half_life: float) -> Self:
        """The sketch that `as_json` wrote."""
        made = cls(half_life)
        made.count = int(data["count"])
        made._landmark = float(data["from"])
        made._bins = {int(place): float(weight) for place, weight in data["bins"].items()}
        made._total = float(data["total"])
        return made
