"""What was learned of services and targets, as clients read it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bridge.scheduler import Snapshot, TargetState
from manager.access import may_see, owns
from manager.auth import Caller
from manager.core import Manager

__all__ = ["estimates", "states", "targets"]


def estimates(manager: Manager, caller: Caller, service: str = "") -> dict[str, Any]:
    """Run times with their errors by service and target, what is known of targets, what was spent.

    Of the services that the caller may see (or one of them), and money only of his own. Seconds and
    USD.
    """
    shown = [
        one for one in manager.services() if service in ("", one.name) and may_see(caller, one)
    ]
    names = {one.name for one in shown}
    known = manager.dispatcher.known
    return {
        "runs": [asdict(told) for told in known.accuracy() if told.service in names],
        "targets": [_target(state) for state in states(manager)],
        "spent": {one.name: _spent(manager, one.name) for one in shown if owns(caller, one)},
        "dropped": known.dropped,
    }


def targets(manager: Manager) -> list[dict[str, Any]]:
    """The targets as they stand now, and how many services are on their way there."""
    known = {state.spec.name: state for state in states(manager)}
    found = []
    for state in manager.places.snapshot().targets:
        spec = state.spec
        found.append(
            {
                "target": spec.name,
                "kind": spec.kind,
                "region": spec.region,
                "running": state.running,
                "queued": state.queued,
                "slots": spec.slots,
                "breaker": known[spec.name].breaker,
                "failures": round(known[spec.name].failures, 6),
                "coming": len(state.absent),
            }
        )
    return found


def states(manager: Manager) -> tuple[TargetState, ...]:
    """What was learned of each target; nothing else is in the states."""
    blank = Snapshot(tuple(TargetState(spec) for spec in manager.specs))
    return manager.dispatcher.known.informed(blank, "").targets


def _target(state: TargetState) -> dict[str, Any]:
    return {
        "target": state.spec.name,
        "breaker": state.breaker,
        "failures": round(state.failures, 6),
        "start": state.start,
        "start_late": state.start_late,
        "stage_in": asdict(state.stage_in) if state.stage_in else None,
        "stage_out": asdict(state.stage_out) if state.stage_out else None,
    }


def _spent(manager: Manager, service: str) -> dict[str, str]:
    spent = manager.dispatcher.known.spent(service)
    return {"day": f"{spent.day:f}", "month": f"{spent.month:f}"}
