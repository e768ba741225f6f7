"""The filters: each says in a sentence for a person why a target cannot run a service, or "".

The size of an event is no filter: a payload above a limit goes by reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from bridge.fdl.model import Service, TargetSpec
from bridge.scheduler._filters import _limits as limits
from bridge.scheduler._filters import _now as now
from bridge.scheduler._filters import _wishes as wishes
from bridge.scheduler._filters._now import Passing, measurements
from bridge.scheduler.model import Offer, Reason, Spent, TargetState

__all__ = [
    "FILTERS",
    "Filters",
    "OfferCheck",
    "Passing",
    "is_choosy",
    "measurements",
    "offer_checks",
    "refusals",
]

SpecCheck = Callable[[Service, TargetSpec], str]
StateCheck = Callable[[Service, TargetState], str]
OfferCheck = Callable[[Service, Offer, Spent], str]


@dataclass(frozen=True, slots=True)
class Filters:
    """All filters by what they look at, in the order in which their reasons are listed.

    Those of `spec` are asked once per service and target, those of `state` and `offer` each time.
    Measurements come before all: nothing else is asked of a target whose numbers make no sense.
    """

    spec: Mapping[str, SpecCheck]
    state: Mapping[str, StateCheck]
    offer: Mapping[str, OfferCheck]


FILTERS: Final = Filters(
    spec={
        "targets": wishes.pin,
        "execution-mode": wishes.mode,
        "require": wishes.require,
        "avoid": wishes.avoid,
        "residency": wishes.residency,
        "vo": wishes.vo,
        "lambda-memory": limits.lambda_memory,
        "lambda-timeout": limits.lambda_timeout,
        "lambda-storage": limits.lambda_storage,
        "fargate-size": limits.fargate,
        "cpu": limits.cpu,
        "memory": limits.memory,
        "slots": limits.slots,
        "features": limits.features,
        "cost-per-hour": limits.cost_per_hour,
    },
    state={
        "gpu": now.gpu,
        "arch": now.arch,
        "image": now.image,
        "isolated": now.isolated,
        "reach": now.reach,
        "room": now.room,
        "deployed": now.deployed,
        "breaker": now.breaker,
    },
    offer={
        "predicted-time": now.predicted_time,
        "max-cost": now.max_cost,
        "budget": now.budget,
    },
)


def is_choosy(service: Service, spec: TargetSpec) -> bool:
    """Whether a filter of `state` may say no to a target of which nothing unusual is known."""
    isolated = service.placement.require.get("isolated")
    return bool(service.resources.gpu or isolated or service.arch != spec.arch)


def offer_checks(service: Service, spec: TargetSpec) -> tuple[tuple[str, OfferCheck], ...]:
    """The filters of `offer` that may say no to the service there."""
    placement = service.placement
    needed = {
        "predicted-time": spec.kind == "lambda",
        "max-cost": placement.max_cost is not None,
        "budget": bool(placement.budget),
    }
    return tuple((name, check) for name, check in FILTERS.offer.items() if needed[name])


def refusals(
    checks: Iterable[tuple[str, Callable[..., str]]], service: Service, *what: object
) -> tuple[Reason, ...]:
    """The reasons of all checks that say no."""
    found = []
    for name, check in checks:
        sentence = check(service, *what)
        if sentence:
            found.append(Reason(name, str(sentence), isinstance(sentence, Passing)))
    return tuple(found)
