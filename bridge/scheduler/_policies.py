"""Policies: which terms count, and how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from bridge.errors import PlacementError
from bridge.fdl.model import Service
from bridge.scheduler._terms import TERMS


@dataclass(frozen=True, slots=True)
class Policy:
    """How candidates are scored.

    `weights` by the name of the term; terms without one are left out. `summary` goes into the
    sentence "<target>: <summary> of 3 that can run it". Two costs or times are the more alike the
    smaller they are beside `cost_grain` (USD) and `time_grain` (seconds); with a grain of 0 only
    their ratio matters. Scores that differ by at most `epsilon` are near ties. `weighable` says
    that a file may give weights of its own.
    """

    name: str
    summary: str
    weights: Mapping[str, float]
    cost_grain: float = 0.0
    time_grain: float = 0.0
    epsilon: float = 0.0
    weighable: bool = False


_BALANCED: Final = {
    "cost": 0.35,
    "finish": 0.35,
    "reliability": 0.1,
    "load": 0.1,
    "preference": 0.05,
    "freshness": 0.05,
}

POLICIES: Final[Mapping[str, Policy]] = MappingProxyType(
    {
        policy.name: policy
        for policy in (
            Policy(
                "balanced",
                "best balance",
                MappingProxyType(_BALANCED),
                cost_grain=0.0001,
                time_grain=1.0,
                epsilon=0.01,
                weighable=True,
            ),
            Policy("cheapest", "cheapest", MappingProxyType({"cost": 1.0})),
            Policy("fastest", "fastest", MappingProxyType({"finish": 1.0})),
            Policy("pinned", "first choice", MappingProxyType({"preference": 1.0})),
        )
    }
)

# Words of the grammar that this version does not know how to do.
LATER: Final = frozenset(
    {"budget", "deadline", "load-based", "locality", "random", "static", "topsis"}
)


def policy_named(name: str) -> Policy:
    """The policy of that name; PlacementError when there is none, or not yet."""
    found = POLICIES.get(name)
    if found is not None:
        return found
    why = "is not available yet" if name in LATER else "does not exist"
    raise PlacementError(
        f"the placement policy {name} {why}", hint=f"available are {', '.join(sorted(POLICIES))}"
    )


def policy_for(service: Service, name: str | None) -> Policy:
    """The policy that places a service: the one asked for, else the file's, else the default.

    The default is `pinned` for a service that the file pins without other targets, and `balanced`
    for all others. PlacementError for a policy or for weights that make no sense.
    """
    placement = service.placement
    default = "pinned" if service.pin and not placement.targets else "balanced"
    policy = policy_named(name or placement.policy or default)
    if policy.name == "pinned" and not wishes(service, policy):
        raise PlacementError(
            f"{service.name} has the policy pinned, but nothing says to which target",
            hint="name one under placement.targets",
        )
    return _weighed(policy, service) if placement.weights else policy


def wishes(service: Service, policy: Policy) -> Mapping[str, str]:
    """What the file would rather have: `prefer`, else the pin; `pinned` looks at the target only.

    Without a wished target and a pin, `pinned` means the first of `placement.targets`.
    """
    placement = service.placement
    if policy.name != "pinned":
        return placement.prefer or ({"target": service.pin} if service.pin else {})
    target = placement.prefer.get("target") or service.pin or next(iter(placement.targets), "")
    return {"target": target} if target else {}


def _weighed(policy: Policy, service: Service) -> Policy:
    weights = service.placement.weights
    where = f"placement.weights of {service.name}"
    if not policy.weighable:
        raise PlacementError(f"{where}: the policy {policy.name} has no weights to choose")
    for term, weight in weights.items():
        if term not in TERMS:
            raise PlacementError(
                f"{where}: there is no term {term}", hint=f"terms are {', '.join(sorted(TERMS))}"
            )
        if not 0 <= weight < float("inf"):
            raise PlacementError(f"{where}: {term} is {weight}; a weight is 0 or more")
    if not any(weights.values()):
        raise PlacementError(f"{where}: all are 0, so nothing would count")
    chosen = {term: float(weight) for term, weight in weights.items() if weight}
    return replace(policy, weights=MappingProxyType(chosen))
