"""`plan`: where each service would run, every other candidate with its reason, the cost, and what
would change on AWS and on clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bridge.cli.check import load_pipeline
from bridge.cli.deploying import DIFFERENT
from bridge.cli.output import console, money, print_json, seconds, table
from bridge.cli.sides import Parts, parts_of, sides_of
from bridge.cli.whole import placed, print_whole, whole_json
from bridge.errors import (
    AccessError,
    BridgeError,
    MissingToolError,
    TargetUnavailable,
    UsageError,
)
from bridge.scheduler import Candidate, Decision
from bridge.scheduler import as_json as decision_json

if TYPE_CHECKING:
    from bridge.deploy import Plan
    from bridge.fdl.model import Document
    from bridge.targets.aws import Account

__all__ = ["plan", "print_decisions"]


def plan(
    path: Path,
    *,
    policy: str,
    as_json: bool,
    offline: bool = False,
    exit_code: bool = False,
    **options: Any,
) -> int:
    """Decide for every service of the file, compare with what is there, and print both.

    `policy` weighs the candidates of all services instead of their own; "" leaves it to the file.
    Of a side that cannot be asked there are only the placements, and a line that says why. The exit
    status is DIFFERENT when `exit_code` is set and there are changes.
    """
    from bridge.cli.changes import changes_json, print_changes

    document, pipeline = load_pipeline(path)
    together = placed(document, pipeline, policy)
    decisions = list(together.decisions)
    if not as_json:
        print_decisions(decisions)
        print_whole(together)
    parts = parts_of(document, pipeline, decisions)
    found, whys = _changes(path, parts, offline=offline, policy=policy, **options)
    notes = [] if offline else _cluster_notes(document, decisions)
    if as_json:
        told: dict[str, Any] = {"file": str(path)}
        told["decisions"] = [decision_json(d) for d in decisions]
        told["pipeline"] = whole_json(together)
        told["changes"] = None if found is None else changes_json(found)
        told["notes"] = [*(found.notes if found else ()), *whys, *notes]
        print_json(told)
    else:
        if found is not None:
            print_changes(found)
        for why in whys:
            console().print(f"no change set: {why}", markup=False, soft_wrap=True)
        for note in notes:
            console().print(f"note: {note}", markup=False, soft_wrap=True)
    return DIFFERENT if exit_code and found is not None and not found.empty else 0


def _changes(
    path: Path, parts: Parts, *, offline: bool, **options: Any
) -> tuple[Plan | None, list[str]]:
    """The plan of a deployment as far as its sides can be asked, and why others cannot."""
    from bridge.deploy import joined

    whys = [
        f"{service} would run on {target}, which only a manager serves: oscar-bridge up --cluster"
        for service, target in parts.direct.items()
    ]
    if not parts.on_aws and not parts.clusters:
        return None, whys or ["no service may run on AWS or on a cluster"]
    if offline:
        return None, ["nobody was asked (--offline)"]
    where = {key: options[key] for key in ("profile", "region", "prefix")}
    account, why = _at_hand(**where) if parts.on_aws else (None, "")
    reached = replace(parts, on_aws=parts.on_aws if account else ())
    whys += [why] if why else []
    try:
        plans = _plans(path, reached, options, account)
    except _OUT_OF_REACH as error:
        if not parts.clusters or not _is_away(error):
            raise
        whys.append(error.message)
        plans = _plans(path, replace(reached, clusters={}), options, account)
    return (joined(plans) if plans else None), whys


def _cluster_notes(document: Document, decisions: Sequence[Decision]) -> list[str]:
    """What services lack on the clusters that targets stand for, and how they will answer calls on
    `knative` ones, as far as the clusters can be asked."""
    told: list[str] = []
    for target in sorted({one.target for one in decisions if one.target}):
        spec = document.targets[target]
        if spec.kind not in ("kubernetes", "knative"):
            continue
        from bridge.targets.kubernetes import ClusterSettings, Connection, call_notes, room_notes

        services = [document.service(one.service) for one in decisions if one.target == target]
        try:
            connection = Connection(ClusterSettings.of(spec))
            told += room_notes(connection, services)
            if spec.kind == "knative":
                told += call_notes(connection, services)
        except _OUT_OF_REACH as error:
            told.append(f"{target}: {error.message}")
    return told


_OUT_OF_REACH: Final = (AccessError, MissingToolError, TargetUnavailable, UsageError)


def _is_away(error: BridgeError) -> bool:
    """Whether a cluster, and not the file, is the reason."""
    return not isinstance(error, UsageError) or error.message.startswith("cluster ")


def _plans(
    path: Path, parts: Parts, options: Mapping[str, Any], account: Account | None
) -> list[Plan]:
    def found() -> Account:
        assert account is not None
        return account

    with sides_of(path, parts, options, found) as sides:
        return [side.plan() for side in sides]


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
