"""What is known of one target, whatever service ran there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final, Self

from bridge.estimates._breaker import Breaker
from bridge.estimates._runs import ENOUGH, confidence
from bridge.estimates._sketch import Sketch
from bridge.estimates._warm import learned
from bridge.scheduler import Transfer, start_of

__all__ = ["TargetTimes"]

HALF_LIFE: Final = 86_400.0
FAILURE_HALF_LIFE: Final = 900.0
# Below it, what a transfer takes says little of the bandwidth.
_LARGE: Final = 2**20
# Of failures one is forgiven, and four good attempts are taken for granted.
_FORGIVEN: Final = 1.0
_GRANTED: Final = 4.0
# Seconds per byte are small: sketches hold them times a million.
_MICRO: Final = 1e6
_FRESH: Final = 1.0
# A run that takes more times the mean than this counts as if it took so much.
_OUTLIER: Final = 10.0
_SMOOTH: Final = 0.05
_PARTS: Final = ("start", "warm", "in_small", "in_large", "out_small", "out_large")


class TargetTimes:
    """Start, transfers, failures, and the breaker."""

    __slots__ = (
        "_at",
        "_bad",
        "_cores",
        "_every",
        "_fields",
        "_mean",
        "_runs",
        "_times",
        "_until",
        "breaker",
        "changed",
        "kept",
    )

    def __init__(self) -> None:
        self.changed = False
        self._fields: dict[str, Any] = {}
        self._until = 0.0
        self.breaker = Breaker()
        self._times: dict[str, Sketch] = {}
        self._bad = self._every = self._at = 0.0
        self._mean, self._runs = 0.0, 0
        self._cores: float | None = None
        self.kept = start_of("lambda").kept

    def started(self, seconds: float, at: float, *, cold: bool | None = None) -> None:
        """A job ran so many seconds after its submit. `cold` is None where nobody says."""
        self._sketch("warm" if cold is False else "start").add(seconds, at)

    def waited(self, gap: float, *, cold: bool) -> None:
        """A container that had waited so many seconds was there, or was not."""
        self.changed = True
        self.kept = learned(self.kept, gap, cold=cold)

    def ran(self, seconds: float, cores: float | None) -> None:
        """A run of any service took so many seconds, on so many cores; one alone moves the means
        little."""
        self.changed = True
        self._runs += 1
        most = _OUTLIER * self._mean + 1
        seconds = most if seconds > most and self._runs > ENOUGH else seconds
        share = max(1 / self._runs, _SMOOTH)
        self._mean += share * (seconds - self._mean)
        if cores is not None:
            before = cores if self._cores is None else self._cores
            self._cores = before + share * (cores - before)

    @property
    def mean_run(self) -> float | None:
        """Mean seconds of what runs there, the last twenty before all; None below three runs."""
        return self._mean if self._runs >= ENOUGH else None

    @property
    def mean_cpu(self) -> float | None:
        """Mean cores of the same; None where services do not say."""
        return self._cores if self._runs >= ENOUGH else None

    def moved(self, way: str, seconds: float, size: int, at: float) -> None:
        """So many bytes went `in` or `out`."""
        if size >= _LARGE:
            self._sketch(f"{way}_large").add(seconds / size * _MICRO, at)
        else:
            self._sketch(f"{way}_small").add(seconds, at)

    def _sketch(self, part: str) -> Sketch:
        self.changed = True
        found = self._times.get(part)
        if found is None:
            found = self._times[part] = Sketch(HALF_LIFE)
        return found

    def attempted(self, *, failed: bool, at: float) -> None:
        """An attempt is over, and the target has let it down or has not."""
        self.changed = True
        ahead = (at - self._at) / FAILURE_HALF_LIFE
        if ahead > 0:
            faded = 2.0**-ahead
            self._bad *= faded
            self._every *= faded
            self._at, weight = at, 1.0
        else:
            weight = 2.0**ahead
        self._every += weight
        if failed:
            self._bad += weight

    def fields(self, now: float) -> dict[str, Any]:
        """What is known, by the names of `TargetState`; a second old at most."""
        if self._until - _FRESH <= now < self._until:
            return {**self._fields, "breaker": self.breaker.state(now)}
        start, late = self.start() or (None, None)
        warm, _ = self.start("warm") or (None, None)
        found = {
            "failures": self.failures(now),
            "start": start,
            "start_late": late,
            "start_warm": warm,
            "stage_in": self.transfer("in", now),
            "stage_out": self.transfer("out", now),
            "mean_run": self.mean_run,
            "mean_cpu": self.mean_cpu,
        }
        # Where nothing is known, whoever made the snapshot may know better.
        self._fields = {name: value for name, value in found.items() if value is not None}
        self._until = now + _FRESH
        return self.fields(now)

    def failures(self, now: float) -> float:
        """The recent share of attempts that the target let down, 0 to 1; one alone is none."""
        faded = float(2.0 ** -(max(now - self._at, 0.0) / FAILURE_HALF_LIFE))
        bad = self._bad * faded - _FORGIVEN
        return max(0.0, bad) / (self._every * faded + _GRANTED)

    def start(self, part: str = "start") -> tuple[float, float] | None:
        """Median and 95th percentile of the start in seconds, None below three starts. Those in
        containers that waited are `warm`."""
        times = self._times.get(part)
        if times is None or times.count < ENOUGH:
            return None
        return times.quantile(0.5), times.quantile(0.95)

    def transfer(self, way: str, now: float) -> Transfer | None:
        """What moving data `in` or `out` takes; None where too few large objects went."""
        large, small = self._times.get(f"{way}_large"), self._times.get(f"{way}_small")
        if large is None or large.count < ENOUGH:
            return None
        latency = small.quantile(0.5) if small is not None and small.count >= ENOUGH else 0.0
        sure = min(confidence(large.weight(now)), 1.0)
        return Transfer(latency, large.quantile(0.5) / _MICRO, sure)

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "times": {part: one.as_json() for part, one in self._times.items()},
            "bad": self._bad,
            "every": self._every,
            "at": self._at,
            "mean": self._mean,
            "runs": self._runs,
            "cores": self._cores,
            "kept": self.kept,
            "breaker": asdict(self.breaker),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `as_json` wrote."""
        made = cls()
        made._times = {
            part: Sketch.from_json(one, HALF_LIFE)
            for part, one in data["times"].items()
            if part in _PARTS
        }
        made._bad, made._every, made._at = (float(data[k]) for k in ("bad", "every", "at"))
        made._mean, made._runs = float(data["mean"]), int(data["runs"])
        made._cores = data["cores"]
        made.kept = float(data.get("kept", made.kept))
        made.breaker = Breaker(**data["breaker"])
        return made
