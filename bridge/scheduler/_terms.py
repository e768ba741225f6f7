"""Score terms: each makes of what was seen a value from 0 (worst) to 1 (best).

Costs and times are measured against the best one there is: half as good is worth half. So a
candidate's value depends on no other than the best, and prices may be in any currency. A figure
that is not known counts as the worst, and the decision says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from bridge.errors import PlacementError
from bridge.fdl import plugins
from bridge.fdl.model import Service, TargetSpec
from bridge.scheduler import _plugins
from bridge.scheduler._data import assumptions, carbon_per_hour
from bridge.scheduler._estimates import Standing
from bridge.scheduler._kinds import AWS, arch_of, first_choice, region_of
from bridge.scheduler.model import Machines, Offer, Spent, TargetState

_MB: Final = 1_000_000


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
    known: Standing


@dataclass(frozen=True, slots=True)
class Scale:
    """What the terms and policies may know beside the candidates themselves.

    `provider` is where the event's object is, "" when that is not known; `lot` is the text that
    what is drawn is drawn from; `turn` counts the decisions before this one.
    """

    service: Service
    wishes: Mapping[str, str]
    cost_grain: float
    time_grain: float
    provider: str = ""
    lot: str = ""
    turn: int = 0
    spent: Spent = field(default_factory=Spent)


Points = list[tuple[float, float | None]]  # (value, raw) for each candidate
Judge = Callable[[Sequence[Seen], Scale], Points]


@dataclass(frozen=True, slots=True)
class TermKind:
    """A term by name, with the unit of its raw value."""

    name: str
    unit: str
    judge: Judge

    def points(self, seen: Sequence[Seen], scale: Scale) -> Points:
        """What the term says of each candidate; of an installed one it is checked."""
        if self.name in TERMS:
            return self.judge(seen, scale)
        try:
            found = list(self.judge(seen, scale))
            sound = all(
                0 <= value <= 1 and (raw is None or math.isfinite(raw)) for value, raw in found
            )
        except Exception as error:
            raise PlacementError(f"the score term {self.name} broke: {error!r}") from error
        if len(found) != len(seen) or not sound:
            raise PlacementError(
                f"the score term {self.name} gave {found!r}; for each candidate it must give a "
                "value from 0 to 1 and a figure"
            )
        return found


def term_named(name: str) -> TermKind | None:
    """The term of that name, ours or an installed one; None when there is none."""
    return TERMS.get(name) or _plugins.found(plugins.TERMS, name, TermKind)


def _against_best(raws: list[float], grain: float) -> Points:
    best = min(raws) + grain
    return [(best / (raw + grain) if raw + grain else 1.0, raw) for raw in raws]


def _with_unknown(raws: list[float | None]) -> Points:
    """Less is better; what is not known is worth nothing."""
    best = min((raw for raw in raws if raw is not None), default=0.0)
    return [(0.0, None) if raw is None else (best / raw if raw else 1.0, raw) for raw in raws]


def _cost(seen: Sequence[Seen], scale: Scale) -> Points:
    return _against_best([s.cost for s in seen], scale.cost_grain)


def _compute_price(seen: Sequence[Seen], scale: Scale) -> Points:
    times = [float(s.offer.cost - s.offer.request - s.offer.egress - s.offer.storage) for s in seen]
    return _against_best(times, scale.cost_grain)


def _storage_price(seen: Sequence[Seen], scale: Scale) -> Points:
    return _against_best([float(s.offer.storage) for s in seen], scale.cost_grain)


def _request_price(seen: Sequence[Seen], scale: Scale) -> Points:
    return _against_best([float(s.offer.request) for s in seen], scale.cost_grain)


def _transfer_price(seen: Sequence[Seen], scale: Scale) -> Points:
    return _against_best([float(s.offer.egress) for s in seen], scale.cost_grain)


def _finish(seen: Sequence[Seen], scale: Scale) -> Points:
    return _against_best([s.finish for s in seen], scale.time_grain)


def _wait(seen: Sequence[Seen], scale: Scale) -> Points:
    return _against_best([s.offer.wait for s in seen], scale.time_grain)


def _start(seen: Sequence[Seen], scale: Scale) -> Points:
    return _against_best([s.offer.start for s in seen], scale.time_grain)


def _run(seen: Sequence[Seen], scale: Scale) -> Points:
    return _against_best([s.offer.run for s in seen], scale.time_grain)


def _transfer(seen: Sequence[Seen], scale: Scale) -> Points:
    return _against_best([s.offer.transfer for s in seen], scale.time_grain)


def _locality(seen: Sequence[Seen], scale: Scale) -> Points:
    """Seconds to bring a MB of input and to take a MB of output away, however much there is."""
    raws = []
    for s in seen:
        known = s.known
        from_s3 = (scale.provider or known.input_provider).partition(".")[0] == "s3"
        into = known.from_s3 if from_s3 else known.from_elsewhere
        raws.append((into.seconds + known.out.seconds) * _MB)
    return _against_best(raws, 0.0)


def _carbon(seen: Sequence[Seen], scale: Scale) -> Points:
    """Grams of CO2e of the cores that the job keeps busy."""
    cores = float(scale.service.resources.cpu)
    rates = [_grams(s.state.spec) for s in seen]
    return _with_unknown(
        [
            None if rate is None else rate * cores * (s.offer.run + s.offer.transfer) / 3600
            for rate, s in zip(rates, seen, strict=True)
        ]
    )


def _grams(spec: TargetSpec) -> float | None:
    """Of a busy core for an hour: what the target says of itself, else AWS's region."""
    if spec.carbon_per_hour is not None or spec.kind not in AWS:
        return spec.carbon_per_hour
    return carbon_per_hour(region_of(spec))


def _reliability(seen: Sequence[Seen], _: Scale) -> Points:
    return [(1.0 - s.state.failures, s.state.failures) for s in seen]


def _load(seen: Sequence[Seen], _: Scale) -> Points:
    return [(1.0 / (1.0 + s.load), s.load) for s in seen]


def _queued(seen: Sequence[Seen], _: Scale) -> Points:
    return [(1.0 / (1.0 + s.state.queued), s.state.queued) for s in seen]


def _free_cpu(seen: Sequence[Seen], _: Scale) -> Points:
    return [_free(s, lambda has: (has.free_cpu, has.cpu)) for s in seen]


def _free_memory(seen: Sequence[Seen], _: Scale) -> Points:
    return [_free(s, lambda has: (has.free_memory, has.memory)) for s in seen]


def _free(one: Seen, part: Callable[[Machines], tuple[float, float]]) -> tuple[float, float | None]:
    """The free share of the machines; of what is bounded otherwise the share of jobs that fit.

    What grows as it is asked, as Lambda does, is always free.
    """
    has = one.state.machines
    if has is not None:
        free, whole = part(has)
        share = min(free / whole, 1.0) if whole else 0.0
    elif one.known.capacity is not None:
        share = max(0.0, 1.0 - one.load)
    elif one.state.spec.kind in AWS:
        share = 1.0
    else:
        return 0.0, None
    return share, share


def _nodes(seen: Sequence[Seen], _: Scale) -> Points:
    """Machines that work there; what grows as it is asked counts as the largest."""
    counts = [_count(s) for s in seen]
    most = max((count for count in counts if count is not None), default=0) or 1
    grows = [s.state.spec.kind in AWS for s in seen]
    raws = [most if grow else count for count, grow in zip(counts, grows, strict=True)]
    return [(0.0, None) if raw is None else (raw / most, raw) for raw in raws]


def _count(one: Seen) -> int | None:
    has = one.state.machines
    if has is not None:
        return has.nodes
    return 1 if one.state.spec.kind == "local" else None


def _order(seen: Sequence[Seen], scale: Scale) -> Points:
    """The place in the file's list of targets, from 0; what is not in it comes last."""
    names = first_choice(scale.service)
    places = {name: place for place, name in enumerate(names)}
    raws = [places.get(s.offer.target, len(names)) for s in seen]
    return [(1.0 / (1.0 + raw), raw) for raw in raws]


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
            TermKind("carbon", "g", _carbon),
            TermKind("compute-price", "USD", _compute_price),
            TermKind("cost", "USD", _cost),
            TermKind("finish", "s", _finish),
            TermKind("free-cpu", "share", _free_cpu),
            TermKind("free-memory", "share", _free_memory),
            TermKind("freshness", "s", _freshness),
            TermKind("load", "share", _load),
            TermKind("locality", "s/MB", _locality),
            TermKind("nodes", "machines", _nodes),
            TermKind("order", "place", _order),
            TermKind("preference", "share", _preference),
            TermKind("queued", "jobs", _queued),
            TermKind("reliability", "share", _reliability),
            TermKind("request-price", "USD", _request_price),
            TermKind("run", "s", _run),
            TermKind("start", "s", _start),
            TermKind("storage-price", "USD", _storage_price),
            TermKind("transfer", "s", _transfer),
            TermKind("transfer-price", "USD", _transfer_price),
            TermKind("wait", "s", _wait),
        )
    }
)
