"""Score terms: each makes of what was seen a value from 0 (worst) to 1 (best).

Costs and times are measured against the best one there is: half as good is worth half. So a
candidate's value depends on no other than the best, and prices may be in any currency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from bridge.fdl.model import Service, TargetSpec
from bridge.scheduler._data import assumptions
from bridge.scheduler._kinds import arch_of, region_of
from bridge.scheduler.model import Offer, TargetState


class Seen(NamedTuple):
    """A target that can run the job, as the terms look at it.

    `load` is the jobs that run and wait there as a share of what fits; where no bound is known it
    is the jobs that wait. `finish` and `cost` are the offer's, as plain numbers.
    """

    offer: Offer
    state: TargetState
    finish: float
    cost: float
    load: float
    first_choice: bool


@dataclass(frozen=True, slots=True)
class Scale:
    """What the terms may know beside the candidates themselves."""

    service: Service
    wishes: Mapping[str, str]
    cost_grain: float
    time_grain: float


Points = list[tuple[float, float]]  # (value, raw) for each candidate
Judge = Callable[[Sequence[Seen], Scale], Points]


@dataclass(frozen=True, slots=True)
class TermKind:
    """A term by name, with the unit of its raw value; `by_event`: each event makes it another."""

    name: str
    unit: str
    judge: Judge
    by_event: bool = False


def _against_best(raws: list[float], grain: float) -> Points:
    best = min(raws) + grain
    return [(best / (raw + grain) if raw + grain else 1.0, raw) for raw in raws]


def _cost(seen: Sequence[Seen], scale: Scale) -> Points:
    return _against_best([s.cost for s in seen], scale.cost_grain)


def _finish(seen: Sequence[Seen], scale: Scale) -> Points:
    return _against_best([s.finish for s in seen], scale.time_grain)


def _wait(seen: Sequence[Seen], scale: Scale) -> Points:
    return _against_best([s.offer.wait for s in seen], scale.time_grain)


def _transfer(seen: Sequence[Seen], scale: Scale) -> Points:
    return _against_best([s.offer.transfer for s in seen], scale.time_grain)


def _reliability(seen: Sequence[Seen], _: Scale) -> Points:
    return [(1.0 - s.state.failures, s.state.failures) for s in seen]


def _load(seen: Sequence[Seen], _: Scale) -> Points:
    return [(1.0 / (1.0 + s.load), s.load) for s in seen]


def _freshness(seen: Sequence[Seen], _: Scale) -> Points:
    half = assumptions().freshness_half_life
    return [(half / (half + s.offer.age), s.offer.age) for s in seen]


WISHES: Final[Mapping[str, Callable[[Service, TargetSpec], str]]] = MappingProxyType(
    {
        "arch": arch_of,
        "kind": lambda _, spec: spec.kind,
        "region": lambda _, spec: region_of(spec),
        "target": lambda _, spec: spec.name,
    }
)


def _preference(seen: Sequence[Seen], scale: Scale) -> Points:
    """The share of the file's wishes that hold; 1 when it has none."""
    wanted = scale.wishes.items()
    if not wanted:
        return [(1.0, 1.0)] * len(seen)
    shares = [
        sum(WISHES[key](scale.service, one.state.spec) == wish for key, wish in wanted)
        / len(wanted)
        for one in seen
    ]
    return [(share, share) for share in shares]


TERMS: Final[Mapping[str, TermKind]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            TermKind("cost", "USD", _cost, by_event=True),
            TermKind("finish", "s", _finish, by_event=True),
            TermKind("freshness", "s", _freshness),
            TermKind("load", "share", _load),
            TermKind("preference", "share", _preference),
            TermKind("reliability", "share", _reliability),
            TermKind("transfer", "s", _transfer, by_event=True),
            TermKind("wait", "s", _wait),
        )
    }
)
