"""List prices as values, and what a job costs by them. Money is Decimal, in USD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from math import ceil
from typing import Any, Final, TypeVar

from bridge.errors import PlacementError
from bridge.scheduler._data import table

_GIB: Final = 2**30
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class LambdaPrice:
    """Lambda in one region: per GB-second by architecture, per request, per GB-second of /tmp."""

    gb_second: Mapping[str, Decimal]
    request: Decimal
    storage: Decimal

    def scaled(self, factor: Decimal) -> LambdaPrice:
        """The same, `factor` times as dear."""
        return LambdaPrice(
            _scaled(self.gb_second, factor), self.request * factor, self.storage * factor
        )


@dataclass(frozen=True, slots=True)
class FargatePrice:
    """Fargate in one region: per vCPU-hour, per GB-hour, per GB-hour of added storage."""

    vcpu_hour: Mapping[str, Decimal]
    gb_hour: Mapping[str, Decimal]
    storage: Decimal

    def scaled(self, factor: Decimal) -> FargatePrice:
        """The same, `factor` times as dear."""
        return FargatePrice(
            _scaled(self.vcpu_hour, factor), _scaled(self.gb_hour, factor), self.storage * factor
        )


@dataclass(frozen=True, slots=True)
class Prices:
    """List prices by region, with the day they were read.

    A region that a table does not have is priced as `default_region`; whoever asks learns of it.
    `egress` is for a GB (2^30 bytes) that leaves AWS, `between_regions` for one that stays there.
    `clusters` multiplies what targets say of themselves (`cost_per_hour`).
    """

    functions: Mapping[str, LambdaPrice]
    fargate: Mapping[str, FargatePrice]
    egress: Mapping[str, Decimal]
    between_regions: Decimal = Decimal(0)
    default_region: str = "us-east-1"
    dated: str = ""
    clusters: Decimal = Decimal(1)

    def scaled(self, factor: Decimal) -> Prices:
        """All prices times `factor`, for what-if questions and for other currencies."""
        return replace(
            self,
            functions={region: p.scaled(factor) for region, p in self.functions.items()},
            fargate={region: p.scaled(factor) for region, p in self.fargate.items()},
            egress=_scaled(self.egress, factor),
            between_regions=self.between_regions * factor,
            clusters=self.clusters * factor,
        )

    def find(self, prices: Mapping[str, _T], region: str) -> tuple[_T, bool]:
        """The price in a region, and whether it is that region's own."""
        own = prices.get(region)
        if own is not None:
            return own, True
        if self.default_region not in prices:
            where = f"{region or 'no region'}, and not even in {self.default_region}"
            raise PlacementError(f"these prices have no price of its kind in {where}")
        return prices[self.default_region], False


@dataclass(frozen=True, slots=True)
class Rate:
    """What a job pays: `fixed`, and `second` for each second, by steps and from a minimum.

    Of `second`, `storage` is for its temporary files beyond what is included.
    """

    second: Decimal = Decimal(0)
    fixed: Decimal = Decimal(0)
    step_ms: int = 1
    least_ms: int = 0
    storage: Decimal = Decimal(0)

    def cost(self, seconds: float) -> Decimal:
        """Price of a job that is billed for so many seconds."""
        if not self.second:
            return self.fixed
        exact = seconds * 1000 / self.step_ms
        steps = ceil(exact)
        if steps - exact > 0.99:  # perhaps a whole number, but for the last digits
            steps = ceil(round(seconds * 1000, 3) / self.step_ms)
        return self.fixed + self.second * max(steps * self.step_ms, self.least_ms) / 1000


def storage_cost(rate: Rate, seconds: float) -> Decimal:
    """What of the price is for temporary files."""
    return Rate(rate.storage, Decimal(0), rate.step_ms, rate.least_ms).cost(seconds)


def lambda_rate(price: LambdaPrice, arch: str, memory_mb: int, storage_mb: int) -> Rate:
    """What a function of that size pays. A GB is 1024 MB; no cold starts are counted."""
    more = max(storage_mb - int(table("prices")["lambda"]["included_storage_mb"]), 0)
    storage = price.storage * more / 1024
    second = price.gb_second[arch] * memory_mb / 1024 + storage
    return Rate(second=second, fixed=price.request, storage=storage)


def fargate_rate(
    price: FargatePrice, arch: str, vcpu: Decimal, memory_mb: int, storage: int | None = None
) -> Rate:
    """What a task of that size pays; `storage` in bytes, the included part is free."""
    data = table("prices")["fargate"]
    more = max(Decimal(storage or 0) / _GIB - int(data["included_storage_gb"]), Decimal(0))
    memory = price.gb_hour[arch] * memory_mb / 1024
    files = price.storage * more
    hour = price.vcpu_hour[arch] * vcpu + memory + files
    least = int(data["minimum_seconds"]) * 1000
    return Rate(second=hour / 3600, step_ms=1000, least_ms=least, storage=files / 3600)


def _scaled(prices: Mapping[str, Decimal], factor: Decimal) -> dict[str, Decimal]:
    return {name: price * factor for name, price in prices.items()}


def _money(prices: Mapping[str, Any]) -> dict[str, Decimal]:
    return {name: Decimal(price) for name, price in prices.items()}


@cache
def list_prices() -> Prices:
    """The prices that come with this version (`data/prices.toml`)."""
    data = table("prices")
    storage = Decimal(data["fargate"]["storage_gb_hour"])
    return Prices(
        functions={
            region: LambdaPrice(
                _money(p["gb_second"]), Decimal(p["request"]), Decimal(p["storage"])
            )
            for region, p in data["lambda"]["regions"].items()
        },
        fargate={
            region: FargatePrice(_money(p["vcpu_hour"]), _money(p["gb_hour"]), storage)
            for region, p in data["fargate"]["regions"].items()
        },
        egress=_money(data["egress"]["regions"]),
        between_regions=Decimal(data["between_regions"]["price"]),
        default_region=data["default_region"],
        dated=data["dated"],
    )
