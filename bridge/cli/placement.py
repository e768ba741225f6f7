"""`plan`: where each service would run, every other candidate with its reason, the cost, and what
would change on AWS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.cli.check import load_pipeline
from bridge.cli.deploying import DIFFERENT, on_aws, planned, settings_of
from bridge.cli.output import console, money, print_json, seconds, table
from bridge.errors import AccessError, MissingToolError, TargetUnavailable, UsageError
from bridge.scheduler import POLICIES, Candidate, Decision, decide, snapshot_of
from bridge.scheduler import as_json as decision_json

if TYPE_CHECKING:
    from bridge.deploy import Plan
    from bridge.fdl.model import Document
    from bridge.targets.aws import Account

__all__ = ["decided", "plan", "print_decisions"]


def plan(
    path: Path,
    *,
    policy: str,
    as_json: bool,
    offline: bool = False,
    exit_code: bool = False,
    **options: Any,
) -> int:
    """Decide for every service of the file, compare with AWS, and print both.

    `policy` weighs the candidates of all services instead of their own; "" leaves it to the file.
    Without an account at hand there are only the placements, and a line that says why. The exit
    status is DIFFERENT when `exit_code` is set and there are changes.
    """
    from bridge.cli.changes import changes_json, print_changes

    document, _ = load_pipeline(path)
    decisions = decided(document, policy)
    if not as_json:
        print_decisions(decisions)
    found, why = _changes(path, document, decisions, offline=offline, policy=policy, **options)
    if as_json:
        told: dict[str, Any] = {"file": str(path)}
        told["decisions"] = [decision_json(d) for d in decisions]
        told["changes"] = None if found is None else changes_json(found)
        told["notes"] = [why] if found is None else list(found.notes)
        print_json(told)
    elif found is None:
        console().print(f"no change set: {why}", markup=False, soft_wrap=True)
    else:
        print_changes(found)
    return DIFFERENT if exit_code and found is not None and not found.empty else 0


def decided(document: Document, policy: str) -> list[Decision]:
    """The decision for each service, before any job."""
    if policy and policy not in POLICIES:
        known = ", ".join(sorted(POLICIES))
        raise UsageError(f"--policy {policy}: there is no such policy", hint=known)
    snapshot = snapshot_of(document)
    return [decide(one, None, snapshot, policy=policy or None) for one in document.services]


def _changes(
    path: Path, document: Document, decisions: list[Decision], *, offline: bool, **options: Any
) -> tuple[Plan | None, str]:
    """The plan of a deployment, else why there is none."""
    if not on_aws(decisions):
        return None, "no service may run on AWS"
    if offline:
        return None, "AWS was not asked (--offline)"
    account, why = _at_hand(**{key: options[key] for key in ("profile", "region", "prefix")})
    if account is None:
        return None, why
    with planned(path, document, account, settings_of(options)) as made:
        return made.plan, ""


def _at_hand(*, profile: str, region: str, prefix: str) -> tuple[Account | None, str]:
    """The account, if it answers and what is needed to make stacks is here; else why not."""
    from bridge.cli.aws_options import account_of
    from bridge.deploy import check_tools

    try:
        account = account_of(profile=profile, region=region, prefix=prefix)
        account.id  # noqa: B018
        check_tools()
    except (AccessError, MissingToolError, TargetUnavailable) as error:
        return None, error.message
    except UsageError as error:
        if "no AWS region" not in error.message:
            raise
        return None, error.message
    return account, ""


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
