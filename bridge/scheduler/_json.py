"""Decisions as JSON and back: for storage, replay and `plan --json`."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from bridge.errors import PlacementError
from bridge.scheduler._given import cause_in, given, snapshot_in
from bridge.scheduler.model import Candidate, Decision, Hedge, Instead, Offer, Reason, Term

_VERSION: Final = 1


def as_json(decision: Decision) -> dict[str, Any]:
    """The decision as plain values for `json.dumps`. Keys are stable, money is text.

    A decision holds names, numbers and sentences made of them, so there is nothing to hide. Under
    `given` is what it was made from: `snapshot_in` and `cause_in` read that.
    """
    found = {
        "version": _VERSION,
        "service": decision.service,
        "event": decision.event,
        "policy": decision.policy,
        "seed": decision.seed,
        "target": decision.target,
        "reason": decision.reason,
        "fallback": list(decision.fallback),
        "candidates": [_candidate(candidate) for candidate in decision.candidates],
        "given": given(decision),
    }
    if decision.trial:
        found["trial"] = decision.trial
    if decision.instead:
        found["instead"] = [_instead(one) for one in decision.instead]
    if decision.hedge:
        found["hedge"] = {"target": decision.hedge.target, "after": decision.hedge.after}
    return found


def _instead(one: Instead) -> dict[str, Any]:
    return {
        "role": one.role,
        "policy": one.policy,
        "target": one.target,
        "wait": one.wait,
        "finish": one.finish,
        "cost": str(one.cost),
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    offer = candidate.offer
    return {
        "target": offer.target,
        "kind": offer.kind,
        "feasible": offer.feasible,
        "reasons": [_reason(reason) for reason in offer.reasons],
        "wait": offer.wait,
        "start": offer.start,
        "run": offer.run,
        "transfer": offer.transfer,
        "finish": offer.finish,
        "cost": str(offer.cost),
        "request": str(offer.request),
        "egress": str(offer.egress),
        "storage": str(offer.storage),
        "confidence": offer.confidence,
        "age": offer.age,
        "late": offer.late,
        "notes": list(offer.notes),
        "score": candidate.score,
        "terms": [_term(term) for term in candidate.terms],
    }


def _reason(reason: Reason) -> dict[str, Any]:
    said = {"filter": reason.filter, "sentence": reason.sentence}
    return {**said, "passing": True} if reason.passing else said


def _term(term: Term) -> dict[str, Any]:
    return {
        "name": term.name,
        "value": term.value,
        "raw": term.raw,
        "unit": term.unit,
        "weight": term.weight,
    }


def from_json(data: Mapping[str, Any]) -> Decision:
    """The decision that `as_json` wrote; PlacementError when it is not one.

    The specs of its snapshot have no settings: those are not stored.
    """
    version = data.get("version")
    if version != _VERSION:
        raise PlacementError(
            f"a stored decision has version {version!r}; this one reads {_VERSION}"
        )
    try:
        return Decision(
            service=data["service"],
            policy=data["policy"],
            seed=data["seed"],
            target=data["target"],
            reason=data["reason"],
            candidates=tuple(_read_candidate(each) for each in data["candidates"]),
            event=data["event"],
            fallback=tuple(data["fallback"]),
            snapshot=snapshot_in(data) if data.get("given") else None,
            cause=cause_in(data),
            trial=data.get("trial", ""),
            hedge=Hedge(**data["hedge"]) if data.get("hedge") else None,
            instead=tuple(_read_instead(one) for one in data.get("instead", ())),
        )
    except (KeyError, TypeError, InvalidOperation) as error:
        raise PlacementError(f"not a stored decision: {error!r}") from error


def _read_instead(data: Mapping[str, Any]) -> Instead:
    return Instead(
        data["role"],
        data["policy"],
        data["target"],
        data["wait"],
        data["finish"],
        Decimal(data["cost"]),
    )


def _read_candidate(data: Mapping[str, Any]) -> Candidate:
    return Candidate(
        offer=Offer(
            target=data["target"],
            kind=data["kind"],
            feasible=data["feasible"],
            reasons=tuple(
                Reason(r["filter"], r["sentence"], r.get("passing", False)) for r in data["reasons"]
            ),
            wait=data["wait"],
            start=data["start"],
            run=data["run"],
            transfer=data["transfer"],
            cost=Decimal(data["cost"]),
            request=Decimal(data.get("request", 0)),
            egress=Decimal(data.get("egress", 0)),
            storage=Decimal(data.get("storage", 0)),
            confidence=data["confidence"],
            age=data["age"],
            late=data.get("late"),
            notes=tuple(data["notes"]),
        ),
        score=data["score"],
        terms=tuple(_read_term(term) for term in data["terms"]),
    )


def _read_term(data: Mapping[str, Any]) -> Term:
    return Term(data["name"], data["value"], data["raw"], data["unit"], data["weight"])
