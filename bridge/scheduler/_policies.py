"""Policies: which terms count, and how much."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from bridge.errors import PlacementError
from bridge.fdl import plugins
from bridge.fdl.model import Service
from bridge.fdl.options import OscarOptions
from bridge.scheduler import _plugins
from bridge.scheduler import _scores as scores
from bridge.scheduler._kinds import first_choice
from bridge.scheduler._scores import Score, Tier
from bridge.scheduler._terms import TERMS, term_named


@dataclass(frozen=True, slots=True)
class Policy:
    """How candidates are scored.

    `weights` by the name of the term; terms without one are left out. `summary` goes into the
    sentence "<target>: <summary> of 3 that can run it". Two costs or times are the more alike the
    smaller they are beside `cost_grain` (USD) and `time_grain` (seconds); with a grain of 0 only
    their ratio matters. Scores that differ by at most `epsilon` are near ties. `weighable` says
    that a file may give weights of its own. `score` takes the place of the weighted sum. `tier`,
    of all candidates and the seconds that the job has, comes before any score, the lower first;
    LATE ones come last. `hedge`: the decision says who is next, and when.
    """

    name: str
    summary: str
    weights: Mapping[str, float]
    cost_grain: float = 0.0
    time_grain: float = 0.0
    epsilon: float = 0.0
    weighable: bool = False
    score: Score | None = None
    tier: Tier | None = None
    hedge: bool = False


# Load is no term of it: near ties are broken by load, and as a term it paid for clouds without less
# waiting (benchmarks/placement, 2026-11-23). Time has more weight than price and preference by a
# little: nobody waits for half an hour to save a tenth of a cent. With more for the price it does
# better there, where deadlines drive jobs out of a queue, and never leaves a cluster that is free.
_BALANCE: Final = Policy(
    "balanced",
    "best balance",
    MappingProxyType(
        {
            "cost": 0.38,
            "finish": 0.42,
            "reliability": 0.1,
            "preference": 0.05,
            "freshness": 0.05,
        }
    ),
    cost_grain=0.0001,
    time_grain=1.0,
    epsilon=0.01,
    weighable=True,
)
# OSCAR's criteria and weights (grycap/oscar, pkg/resourcemanager, read 2026-11-22). Mended: its
# latency is our predicted start, and free cores and memory are shares, which need no largest one.
_OSCAR: Final = {
    "start": 1.0,
    "nodes": 8.0,
    "free-memory": 18.0,
    "free-cpu": 65.0,
    "run": 2.0,
    "queued": 6.0,
}
_PRICE_AND_TIME: Final = {"cost": 0.5, "finish": 0.5}
_FREE: Final = {"free-cpu": 0.5, "free-memory": 0.5}


def _one(name: str, summary: str, term: str) -> Policy:
    return Policy(name, summary, MappingProxyType({term: 1.0}))


POLICIES: Final[Mapping[str, Policy]] = MappingProxyType(
    {
        policy.name: policy
        for policy in (
            _BALANCE,
            _one("cheapest", "cheapest", "cost"),
            _one("fastest", "fastest", "finish"),
            _one("pinned", "first choice", "preference"),
            _one("static", "first in the file's order", "order"),
            _one("least-load", "least loaded", "load"),
            _one("locality", "nearest to the data", "locality"),
            replace(_BALANCE, name="hedge", hedge=True),
            Policy("random", "a random one", MappingProxyType({}), score=scores.lots),
            Policy("round-robin", "the next in turn", MappingProxyType({}), score=scores.turns),
            Policy("load-based", "most free", MappingProxyType(_FREE), score=scores.product),
            Policy(
                "topsis",
                "nearest to the ideal",
                MappingProxyType(_OSCAR),
                epsilon=0.02,
                weighable=True,
                score=scores.topsis,
            ),
            Policy(
                "deadline",
                "cheapest in time",
                MappingProxyType(_PRICE_AND_TIME),
                score=scores.in_time,
                tier=scores.promptness,
            ),
            Policy(
                "budget",
                "soonest for the money",
                MappingProxyType(_PRICE_AND_TIME),
                cost_grain=0.0001,
                time_grain=1.0,
                score=scores.within_budget,
            ),
        )
    }
)


def policy_named(name: str) -> Policy:
    """The policy of that name, ours or an installed one; PlacementError when there is none."""
    found = POLICIES.get(name) or _plugins.found(plugins.POLICIES, name, Policy)
    if found is None:
        raise PlacementError(
            f"the placement policy {name} does not exist",
            hint=f"available are {', '.join(sorted(POLICIES))}",
        )
    return found


def policy_for(service: Service, name: str | None) -> Policy:
    """The policy that places a service: the one asked for, else the file's, else the default.

    The default is `pinned` for a service that the file pins without other targets; of a federation
    it is OSCAR's `delegation`, and `balanced` for all others. PlacementError for a policy or for
    weights that make no sense, or where the file does not say what the policy needs.
    """
    placement = service.placement
    policy = policy_named(name or placement.policy or _default(service))
    missing = _MISSING.get(policy.name)
    if missing and not missing[0](service):
        raise PlacementError(
            f"{service.name} has the policy {policy.name}, but {missing[1]}", hint=missing[2]
        )
    return _weighed(policy, service) if placement.weights else policy


def _default(service: Service) -> str:
    if service.pin and not service.placement.targets:
        return "pinned"
    federation = service.options.federation if isinstance(service.options, OscarOptions) else None
    return (federation.delegation if federation else "") or "balanced"


def wishes(service: Service, policy: Policy) -> Mapping[str, str]:
    """What the file would rather have: `prefer`, else the pin; `pinned` looks at the target only.

    Without a wished target and a pin, `pinned` means the first of `placement.targets`.
    """
    placement = service.placement
    if policy.name != "pinned":
        return placement.prefer or ({"target": service.pin} if service.pin else {})
    target = placement.prefer.get("target") or service.pin or next(iter(placement.targets), "")
    return {"target": target} if target else {}


_MISSING: Final[Mapping[str, tuple[Callable[[Service], bool], str, str]]] = {
    "pinned": (
        lambda service: bool(wishes(service, POLICIES["pinned"])),
        "nothing says to which target",
        "name one under placement.targets",
    ),
    "static": (
        lambda service: bool(first_choice(service)),
        "nothing says in which order",
        "name the targets under placement.targets, the first one first",
    ),
    "deadline": (
        lambda service: service.placement.deadline is not None,
        "there is no deadline",
        "write placement.deadline",
    ),
    "budget": (
        lambda service: bool(service.placement.budget) or service.placement.max_cost is not None,
        "there is no budget",
        "write placement.max_cost or placement.budget",
    ),
}


def _weighed(policy: Policy, service: Service) -> Policy:
    weights = service.placement.weights
    where = f"placement.weights of {service.name}"
    if not policy.weighable:
        raise PlacementError(f"{where}: the policy {policy.name} has no weights to choose")
    for term, weight in weights.items():
        if term_named(term) is None:
            raise PlacementError(
                f"{where}: there is no term {term}", hint=f"terms are {', '.join(sorted(TERMS))}"
            )
        if not 0 <= weight < float("inf"):
            raise PlacementError(f"{where}: {term} is {weight}; a weight is 0 or more")
    if not any(weights.values()):
        raise PlacementError(f"{where}: all are 0, so nothing would count")
    chosen = {term: float(weight) for term, weight in weights.items() if weight}
    return replace(policy, weights=MappingProxyType(chosen))
