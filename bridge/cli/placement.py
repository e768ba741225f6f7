"""`plan`: where each service would run, every other candidate with its reason, and the cost."""

from __future__ import annotations

from pathlib import Path

from bridge.cli.check import load_pipeline
from bridge.cli.output import console, money, print_json, seconds, table
from bridge.errors import UsageError
from bridge.scheduler import POLICIES, Candidate, Decision, decide, snapshot_of
from bridge.scheduler import as_json as decision_json

__all__ = ["plan", "print_decisions"]


def plan(path: Path, *, policy: str, as_json: bool) -> None:
    """Decide for every service of the file and print the decisions.

    `policy` weighs the candidates of all services instead of their own; "" leaves it to the file.
    """
    if policy and policy not in POLICIES:
        known = ", ".join(sorted(POLICIES))
        raise UsageError(f"--policy {policy}: there is no such policy", hint=known)
    document, _ = load_pipeline(path)
    snapshot = snapshot_of(document)
    decisions = [
        decide(service, None, snapshot, policy=policy or None) for service in document.services
    ]
    if as_json:
        print_json({"file": str(path), "decisions": [decision_json(d) for d in decisions]})
    else:
        print_decisions(decisions)


def print_decisions(decisions: list[Decision]) -> None:
    """One table: a row per candidate, the chosen one first."""
    out = console()
    for decision in decisions:
        title = f"{decision.service}: {decision.reason}"
        rows = [_row(candidate, decision) for candidate in decision.candidates]
        out.print(
            table(
                ("target", "kind", "finish", "USD/job", "score", "why"),
                rows,
                title=title,
                folding=("why",),
            )
        )


def _row(candidate: Candidate, decision: Decision) -> tuple[str, ...]:
    offer = candidate.offer
    mark = "→ " if offer.target == decision.target else "  "
    if not offer.feasible:
        why = "; ".join(reason.sentence for reason in offer.reasons)
        return mark + offer.target, offer.kind, "", "", "", why
    score = "" if candidate.score is None else f"{candidate.score:.3f}"
    why = ", ".join(f"{t.name} {t.value:.2f}" for t in candidate.terms if t.weight)
    return mark + offer.target, offer.kind, seconds(offer.finish), money(offer.cost), score, why
