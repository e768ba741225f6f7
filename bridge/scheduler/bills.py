"""What a run is charged in the end, by the same rates that offers are priced with.

For who knows how long a job took: a simulation, an account. Plain numbers, for many runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from bridge.fdl.model import Service, TargetSpec
from bridge.scheduler._estimates import Route
from bridge.scheduler._offers import ask_for
from bridge.scheduler._prices import Prices, list_prices
from bridge.scheduler.model import Reason


@dataclass(frozen=True, slots=True)
class Bill:
    """How one service is charged on one target, and what its data takes on the way.

    `fixed` USD for a run and `second` for each second, by steps of `step` and from `least` seconds.
    A byte of input takes `inward` seconds to come and `byte_in` USD, the outputs made of it
    `outward` and `byte_out`. `reasons` say why the service cannot run there: all numbers are 0.
    """

    fixed: float = 0.0
    second: float = 0.0
    step: float = 0.001
    least: float = 0.0
    inward: float = 0.0
    outward: float = 0.0
    byte_in: float = 0.0
    byte_out: float = 0.0
    reasons: tuple[Reason, ...] = ()

    def cost(self, seconds: float) -> float:
        """USD of a run that is billed for so many seconds, without its data."""
        if not self.second:
            return self.fixed
        exact = seconds / self.step
        steps = ceil(exact)
        if steps - exact > 0.99:  # perhaps a whole number, but for the last digits
            steps = ceil(round(exact, 6))
        return self.fixed + self.second * max(steps * self.step, self.least)


def bill_of(service: Service, spec: TargetSpec, prices: Prices | None = None) -> Bill:
    """How the service is charged on the target, at list prices by default."""
    known = ask_for(service, list_prices() if prices is None else prices).standing(spec)
    rate = known.quote.rate
    if known.reasons or rate is None:
        return Bill(reasons=known.reasons)
    into = _into(known.input_provider, known.from_s3, known.from_elsewhere)
    return Bill(
        fixed=float(rate.fixed),
        second=float(rate.second),
        step=rate.step_ms / 1000,
        least=rate.least_ms / 1000,
        inward=into.seconds,
        outward=known.out.seconds,
        byte_in=float(into.price),
        byte_out=float(known.out.price),
    )


def _into(provider: str, from_s3: Route, from_elsewhere: Route) -> Route:
    return from_s3 if provider.partition(".")[0] == "s3" else from_elsewhere
