"""What the jobs of services cost at list prices, by service and target."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from bridge.dispatch import Usage
from bridge.fdl.model import TargetSpec
from bridge.operate.cost import ASSUMPTIONS
from bridge.scheduler import Estimate, TargetState, list_prices, offer
from manager.auth import Caller
from manager.core import Manager
from manager.metrics import Window, shown_usage
from manager.service import Deployed

__all__ = ["costs"]

_MEAN = "each run is priced as one of the mean length of its service's runs on that target"


def costs(manager: Manager, caller: Caller, window: Window) -> dict[str, Any]:
    """Runs that are over, of the jobs accepted in that time. A deleted service has no price."""
    specs = {spec.name: spec for spec in manager.specs}
    rows: dict[tuple[str, str], Usage] = {}
    for used in shown_usage(manager, caller, window):
        key = used.service, used.target
        if used.runs and used.target in specs and manager.find(used.service) is not None:
            rows[key] = _added(rows[key], used) if key in rows else used
    items = [_item(one, specs[used.target], used) for used in rows.values()
             if (one := manager.find(used.service)) is not None]  # fmt: skip
    return {
        **window.as_json(),
        "currency": "USD",
        "dated": list_prices().dated,
        "total": f"{sum((Decimal(item['cost']) for item in items), Decimal(0)):f}",
        "items": sorted(items, key=lambda item: (item["service"], item["target"])),
        "assumptions": [*ASSUMPTIONS, _MEAN],
    }


def _added(one: Usage, other: Usage) -> Usage:
    return replace(one, runs=one.runs + other.runs, seconds=one.seconds + other.seconds)


def _item(one: Deployed, spec: TargetSpec, used: Usage) -> dict[str, Any]:
    runs = {one.name: Estimate(used.seconds / used.runs, 1.0)}
    said = offer(replace(one.service, pin=spec.name), None, TargetState(spec, runs=runs))
    return {
        "service": one.name,
        "target": spec.name,
        "kind": spec.kind,
        "runs": used.runs,
        "seconds": round(used.seconds, 6),
        "cost": f"{said.cost * used.runs:f}",
    }
