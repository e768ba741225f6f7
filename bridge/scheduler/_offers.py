"""Offers: what each target says to one job.

Standings are kept between calls, per service and target, under the identity of the very objects
that they were made from: those are frozen, so a kept answer is the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from bridge.events import Event
from bridge.fdl.model import Service, TargetSpec
from bridge.scheduler._estimates import Standing, estimated, standing
from bridge.scheduler._filters import FILTERS, measurements, refusals
from bridge.scheduler._plugins import filtered
from bridge.scheduler._prices import Prices, list_prices
from bridge.scheduler.model import Cause, Offer, Reason, Spent, TargetState

_KEPT: Final = 1024
NOTHING: Final = Spent()


@dataclass(slots=True)
class Ask:
    """One service that is placed at some prices, with what is known of it on each target."""

    service: Service
    prices: Prices
    known: dict[int, tuple[TargetSpec, Standing]] = field(default_factory=dict)

    def standing(self, spec: TargetSpec) -> Standing:
        """The service's standing on a target, worked out the first time."""
        kept = self.known.get(id(spec))
        if kept is not None and kept[0] is spec:
            return kept[1]
        if len(self.known) >= _KEPT:
            self.known.clear()
        found = standing(self.service, spec, self.prices)
        self.known[id(spec)] = (spec, found)
        return found


_asks: dict[tuple[int, int], Ask] = {}


def ask_for(service: Service, prices: Prices | None) -> Ask:
    """The Ask of these very objects."""
    prices = list_prices() if prices is None else prices
    key = (id(service), id(prices))
    kept = _asks.get(key)
    if kept is not None and kept.service is service and kept.prices is prices:
        return kept
    if len(_asks) >= _KEPT:
        _asks.clear()
    made = _asks[key] = Ask(service, prices)
    return made


def offer(
    service: Service,
    event: Event | Cause | None,
    state: TargetState,
    prices: Prices | None = None,
    spent: Spent = NOTHING,
) -> Offer:
    """What a target offers for one job of the service, started by `event` (None: none yet).

    Every filter that says no is in `reasons`. The estimates are given also then, unless there are
    none (0) because the size cannot be bought or the measurements make no sense. `prices` are the
    list prices by default; `spent` counts against the placement's budget. Of the event only
    provider and size matter. PlacementError when the service's placement cannot be understood.
    """
    ask = ask_for(service, prices)
    return make_offer(service, ask.standing(state.spec), event, state, spent)


def run_cost(
    service: Service, spec: TargetSpec, seconds: float, prices: Prices | None = None
) -> Decimal:
    """USD at list prices (the given ones) of a run that took so many seconds on a target, with its
    usual billed start; 0 where the size cannot be bought. What data costs that leaves is not in it.
    """
    known = ask_for(service, prices).standing(spec)
    rate = known.quote.rate
    return Decimal(0) if rate is None else rate.cost(seconds + known.start.billed)


def make_offer(
    service: Service,
    known: Standing,
    event: Event | Cause | None,
    state: TargetState,
    spent: Spent = NOTHING,
) -> Offer:
    """The offer of a target where the service's standing is known."""
    spec, reasons = state.spec, known.reasons
    if wrong := measurements(service, state):
        reasons = (*reasons, Reason("measurements", wrong, passing=True))
        return Offer(spec.name, spec.kind, feasible=False, reasons=reasons)
    if (known.choosy or _unusual(state)) and (refused := refusals(_STATE, service, state)):
        reasons = (*reasons, *refused)
    made = estimated(service.name, event, state, known, reasons)
    late = refusals(known.offer_checks, service, made, spent) if known.offer_checks else ()
    if installed := filtered(service, made, state):
        late = (*late, *installed)
    return made._replace(feasible=False, reasons=(*reasons, *late)) if late else made


def _unusual(state: TargetState) -> bool:
    """Whether the state has anything that a filter could have something against."""
    return bool(
        state.room
        or state.image
        or state.providers is not None
        or state.breaker != "closed"
        or state.beyond
        or state.absent
    )


_STATE: Final = tuple(FILTERS.state.items())
