"""What runs have cost, as items of DynamoDB: counted with the end of the run, or not at all."""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from bridge.dispatch._items import Item
from bridge.errors import TargetUnavailable

__all__ = ["Cost", "added", "keys", "together", "total"]

_DAY: Final = 86_400
_KEPT: Final = 90 * _DAY
# Transactions on one item at the same moment hinder each other: jobs are spread over so many.
_SHARDS: Final = 8
_TRIES: Final = 8
_PAUSE: Final = 0.02
_UNMET: Final = "ConditionalCheckFailed"
_PASSING: Final = frozenset(
    {"None", "ProvisionedThroughputExceeded", "ThrottlingError", "TransactionConflict"}
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run of a service has cost in USD, by its end in seconds since the epoch."""

    service: str
    usd: Decimal
    at: float


def added(job: str, cost: Cost) -> dict[str, Any]:
    """The arguments of an UpdateItem that counts it."""
    names = {"#month": "month", "#day": _day(cost.at), "#expires": "expires"}
    shard = zlib.crc32(job.encode()) % _SHARDS
    return {
        "Key": {"job": {"S": keys(cost.service, cost.at)[shard]}},
        "UpdateExpression": "ADD #month :cost, #day :cost SET #expires = :expires",
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": {
            ":cost": {"N": f"{cost.usd:f}"},
            ":expires": {"N": str(int(cost.at) + _KEPT)},
        },
    }


def keys(service: str, at: float) -> list[str]:
    """The items of a service in the month of this time; no job has such a name."""
    name = f"spent/{service}/{datetime.fromtimestamp(at, UTC):%Y-%m}"
    return [name, *(f"{name}/{number}" for number in range(1, _SHARDS))]


def total(items: Iterable[Item], at: float) -> tuple[Decimal, Decimal]:
    """What they say of the day (UTC) of this time, and of the month."""
    found = list(items)
    day, month = (
        sum((Decimal(item[name]["N"]) for item in found if name in item), Decimal(0))
        for name in (_day(at), "month")
    )
    return day, month


def together(client: Any, updates: Sequence[dict[str, Any]]) -> bool:
    """All of these updates or none; False when a condition does not hold.

    TargetUnavailable when others were always faster.
    """
    for number in range(_TRIES):
        if number:
            # Jitter only spreads load, so a weak generator is right.
            time.sleep(_PAUSE * 2**number * random.uniform(0.5, 1.0))  # noqa: S311
        try:
            client.transact_write_items(TransactItems=[{"Update": one} for one in updates])
        except client.exceptions.TransactionCanceledException as error:
            codes = {str(one.get("Code")) for one in error.response.get("CancellationReasons", ())}
            if _UNMET in codes:
                return False
            if not codes or not codes <= _PASSING:
                raise
        else:
            return True
    raise TargetUnavailable("others count what they have cost at the same moment")


def _day(at: float) -> str:
    return f"d{int(at // _DAY)}"
