"""The runs of the comparison, and what is concluded from them: rows and verdicts, as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from statistics import fmean
from typing import Final

import numpy as np

from benchmarks.placement.contestants import Contestant
from benchmarks.placement.metrics import percentile, ratio, together
from benchmarks.placement.scenarios import Scenario
from bridge.simulate import Setting, summary

_SHORT: Final = (
    10.0  # seconds: shorter runs count as long, or their slowdowns would drown all others
)
_EVEN: Final = 1.005  # less than half a per cent apart is a draw


@dataclass(frozen=True, slots=True)
class Row:
    """One contestant on one trace, the mean of all seeds.

    Seconds, USD, and shares of the calls: `lost` did not end well after all tries. `slowdown` is
    the 95th percentile of response by run time, where runs under ten seconds count as ten. `joint`
    is the geometric mean of cost and `p95`, `regret` how far that is above the least of anybody who
    lost nothing: 0 is the best in hindsight.
    """

    who: str
    ours: bool
    lost: float
    makespan: float
    p50: float
    p95: float
    p99: float
    slowdown: float
    missed: float
    cost: float
    cold: float
    fairness: float
    regret: float = 0.0

    @property
    def joint(self) -> float:
        return together((self.cost, self.p95))


@dataclass(frozen=True, slots=True)
class Verdict:
    """An aim, whether it holds, and the figures that say so."""

    aim: str
    holds: bool
    why: str


def row(who: Contestant, runs: Sequence[Scenario], seeds: Sequence[int], setting: Setting) -> Row:
    """A contestant on the same trace drawn from some seeds."""
    found: list[Mapping[str, float]] = []
    for scenario, seed in zip(runs, seeds, strict=True):
        result = who.play(scenario.world, scenario.trace, _seeded(setting, seed))
        said = summary(result, scenario.trace, scenario.world)
        done = result.done
        response = (result.end - result.arrival)[done]
        slow = (response / np.maximum(scenario.trace.run[done], _SHORT)).tolist()
        waited = response.tolist() or [inf]
        found.append(
            {
                "lost": 1 - said.done / said.invocations,
                "makespan": said.makespan,
                "p50": percentile(waited, 0.5),
                "p95": percentile(waited, 0.95),
                "p99": percentile(waited, 0.99),
                "slowdown": percentile(slow or [inf], 0.95),
                "missed": said.missed,
                "cost": said.cost,
                "cold": said.cold,
                "fairness": said.fairness,
            }
        )
    means = {key: fmean(one[key] for one in found) for key in found[0]}
    return Row(who.name, who.side == "ours", **means)


def _seeded(setting: Setting, seed: int) -> Setting:
    return replace(setting, seed=seed)


Table = Mapping[str, Sequence[Row]]  # rows by the name of the trace


def table(
    who: Sequence[Contestant], drawn: Sequence[Sequence[Scenario]], seeds: Sequence[int]
) -> dict[str, list[Row]]:
    """Everybody on every trace; `drawn` has the same traces for each seed."""
    found = {}
    for runs in zip(*drawn, strict=True):
        rows = [row(one, runs, seeds, Setting()) for one in who]
        least = min((one.joint for one in rows if not one.lost), default=inf)
        found[runs[0].name] = [replace(one, regret=one.joint / least - 1) for one in rows]
    return found


def named(rows: Sequence[Row], name: str) -> Row:
    return next(one for one in rows if one.who == name)


def rivals(rows: Sequence[Row]) -> list[Row]:
    """The baselines that lost nothing: those who drop jobs have an easy life."""
    return [one for one in rows if not one.ours and not one.lost]


def verdicts(found: Table) -> list[Verdict]:
    """Whether the aims hold on the traces."""
    return [
        _each(
            found,
            "fastest: p95 no worse than that of any baseline",
            lambda rows: _against(rows, "fastest", rivals(rows), lambda r: r.p95, "s"),
        ),
        _each(found, "deadline: misses no more than any baseline", _misses),
        _each(found, "deadline: costs no more than a baseline that misses no more", _dear),
        _each(
            found,
            "balanced: joint cost and p95 no worse than that of any baseline",
            lambda rows: _against(rows, "balanced", rivals(rows), lambda r: r.joint, ""),
        ),
        *(_each(found, f"{name}: {_NOT_BEATEN}", _unbeaten(name)) for name in _OURS),
        *(
            _factor(found, other)
            for other in ("oscar topsis", "oscar as it is", "scar lambda-batch")
        ),
    ]


_Judged = tuple[bool, str]


def _each(found: Table, aim: str, judge: Callable[[Sequence[Row]], _Judged]) -> Verdict:
    judged = {name: judge(rows) for name, rows in found.items()}
    lost = [f"{name}: {why}" for name, (holds, why) in judged.items() if not holds]
    won = len(judged) - len(lost)
    return Verdict(aim, not lost, "; ".join([f"holds on {won} of {len(judged)} traces", *lost]))


def _against(
    rows: Sequence[Row],
    name: str,
    others: Sequence[Row],
    value: Callable[[Row], float],
    unit: str,
) -> _Judged:
    mine, best = named(rows, name), min(others, key=value)
    said = f"{value(mine):.3g} {unit}".strip() + f" to {value(best):.3g} of {best.who}"
    if mine.lost:
        return False, f"loses {mine.lost:.1%} of the jobs ({said})"
    return value(mine) <= value(best) * _EVEN, said


def _unbeaten(name: str) -> Callable[[Sequence[Row]], _Judged]:
    def judge(rows: Sequence[Row]) -> _Judged:
        mine = named(rows, name)
        better = [one.who for one in rivals(rows) if _beats(one, mine)]
        return not better, f"beaten by {', '.join(better)}"

    return judge


def _beats(one: Row, other: Row) -> bool:
    """Whether one is as good in all and better in some: cost, p95 and misses."""
    good = (
        one.cost <= other.cost * _EVEN,
        one.p95 <= other.p95 * _EVEN,
        one.missed <= other.missed + _SAME_SHARE,
    )
    better = (
        one.cost * _EVEN < other.cost,
        one.p95 * _EVEN < other.p95,
        one.missed + _SAME_SHARE < other.missed,
    )
    return all(good) and any(better)


def _misses(rows: Sequence[Row]) -> _Judged:
    mine, best = named(rows, "deadline"), min(rivals(rows), key=lambda one: one.missed)
    said = f"misses {mine.missed:.1%} to {best.missed:.1%} of {best.who}"
    return mine.missed <= best.missed + _SAME_SHARE, said


def _dear(rows: Sequence[Row]) -> _Judged:
    mine = named(rows, "deadline")
    timely = [one for one in rivals(rows) if one.missed <= mine.missed + _SAME_SHARE]
    if not timely:
        return True, "no baseline is as timely"
    return _against(rows, "deadline", timely, lambda one: one.cost, "USD")


def _factor(found: Table, other: str) -> Verdict:
    """By how much `balanced` is better than another in cost and p95 together."""
    factors = {
        name: ratio(named(rows, other).joint, named(rows, "balanced").joint)
        for name, rows in found.items()
    }
    worst = min(factors, key=lambda name: factors[name])
    why = (
        f"better by x{together(factors.values()):.2f} on average; "
        f"least on {worst}: x{factors[worst]:.2f}"
    )
    return Verdict(f"balanced: better by a factor than {other}", factors[worst] > _EVEN, why)


_OURS: Final = ("balanced", "cheapest", "fastest", "deadline")
_NOT_BEATEN: Final = "no baseline is as good in cost, p95 and misses and better in one"
_SAME_SHARE: Final = 0.001  # of the calls: one in a thousand
