"""What the commands of deployment do: ask, show, confirm, and tell the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bridge.cli.changes import LiveWatch, changes_json, print_changes, print_drift
from bridge.cli.check import load_pipeline
from bridge.cli.output import console, print_json, table
from bridge.cli.sides import Parts, ends_of, on_clusters, parts_of, patient, sides_of
from bridge.errors import UsageError

if TYPE_CHECKING:
    from bridge.deploy import DriftReport, Plan, Side
    from bridge.targets.aws import Account

__all__ = ["DIFFERENT", "apply", "destroy", "drift", "rollback", "secrets"]

DIFFERENT: Final = 4


def apply(path: Path, *, yes: bool, as_json: bool, **options: Any) -> int:
    """Plan, confirm, do."""
    from bridge.cli.aws_options import account_of
    from bridge.cli.whole import placed

    document, pipeline = load_pipeline(path)
    parts = parts_of(document, pipeline, placed(document, pipeline, options["policy"]).decisions)
    parts.check()
    if not parts.on_aws and not parts.clusters:
        raise UsageError(
            f"{path}: no service may run on AWS or on a cluster, so there is nothing to apply",
            hint="`oscar-bridge destroy` deletes what was deployed before",
        )

    def account() -> Account:
        return account_of(**{key: options[key] for key in ("profile", "region", "prefix")})

    with sides_of(path, parts, options, account) as sides:
        return _carry_out(sides, yes=yes, as_json=as_json)


def _carry_out(
    sides: Sequence[Side], *, yes: bool, as_json: bool, question: str = "Make these changes?"
) -> int:
    """Plan on every side, show it as one, confirm, and do it side by side."""
    from bridge.deploy import joined

    plans = [side.plan() for side in sides]
    plan = joined(plans)
    _show(plan, as_json=as_json)
    _confirm(plan, yes=yes, question=question)
    begun = time.monotonic()
    with LiveWatch() as watch:
        agree = lambda new: _agreed(new, watch, yes=yes)  # noqa: E731
        done = [side.apply(one, agree, watch) for side, one in zip(sides, plans, strict=True)]
    number = max(one.number for one in done)
    _end(joined([one.plan for one in done]), number, time.monotonic() - begun, as_json=as_json)
    return 0


def _show(plan: Plan, *, as_json: bool) -> None:
    if not as_json:
        print_changes(plan)


def _confirm(plan: Plan, *, yes: bool, question: str = "Make these changes?") -> None:
    if yes or plan.empty:
        return
    if not sys.stdin.isatty():
        raise UsageError("there is nobody to ask", hint="--yes makes the changes without asking")
    click.confirm(question, abort=True, err=True)


def _agreed(plan: Plan, watch: LiveWatch, *, yes: bool) -> bool:
    if yes or plan.empty:
        return True
    watch.pause()
    print_changes(plan)
    return sys.stdin.isatty() and click.confirm("Make these changes instead?", err=True)


def _end(plan: Plan, number: int, took: float, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "deployment": plan.name,
                "account": plan.account,
                "region": plan.region,
                "changes": changes_json(plan),
                "notes": list(plan.notes),
                "entry": number or None,
                "seconds": round(took, 3),
            }
        )
        return
    if plan.empty:
        return
    entry = f"; entry {number} of the history" if number else ""
    console().print(f"done in {took:.0f} s{entry}", style="green", markup=False)


def destroy(
    path: Path | None,
    account: Callable[[], Account],
    *,
    name: str,
    everything: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Plan the deletion, confirm, do."""
    wanted = _name(path, name)
    parts = _parts_of(path)
    with ends_of(wanted, parts, account, everything=everything) as sides:
        return _carry_out(sides, yes=yes, as_json=as_json, question="Delete all this?")


def _parts_of(path: Path | None) -> Parts | None:
    """The parts of a file that is there; None where only a deployment's name is known."""
    from bridge.cli.whole import placed

    if path is None or not path.exists():
        return None
    document, pipeline = load_pipeline(path)
    return parts_of(document, pipeline, placed(document, pipeline, "").decisions)


def drift(path: Path | None, account: Callable[[], Account], *, name: str, as_json: bool) -> int:
    """Compare and print; DIFFERENT when something has drifted."""
    from dataclasses import asdict

    wanted = _name(path, name)
    parts = _parts_of(path)
    with LiveWatch() as live:
        report = _drifted(wanted, parts, account, None if as_json else live)
    if as_json:
        print_json(asdict(report))
    else:
        print_drift(report)
    return DIFFERENT if report.drifted else 0


def _drifted(
    name: str, parts: Parts | None, account: Callable[[], Account], watch: LiveWatch | None
) -> DriftReport:
    """What has drifted on all sides."""
    from bridge.deploy import DriftReport, Silent, all_secrets, cluster_drift
    from bridge.deploy import drift as compare

    found = []
    if parts is None or parts.on_aws or not parts.clusters:
        secrets_of = tuple(all_secrets(parts.document)) if parts else ()
        willing = patient(account())
        found.append(compare(name, willing, secrets=secrets_of, watch=watch or Silent()))
    if parts is not None and parts.clusters:
        with on_clusters(parts, name) as wanted:
            found.append(cluster_drift(wanted))
    return DriftReport(
        tuple(place for one in found for place in one.stacks),
        tuple(row for one in found for row in one.drifted),
        sum(one.unchecked for one in found),
    )


def rollback(
    path: Path | None,
    account: Account,
    *,
    name: str,
    to: int | None,
    listing: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Plan the way back, confirm, do; or list the history."""
    from bridge.deploy import AwsSide, restoration

    wanted = _name(path, name)
    willing = patient(account)
    if listing:
        _list(wanted, willing, as_json=as_json)
        return 0
    side = AwsSide(willing, lambda: restoration(wanted, willing, to=to or 0))
    return _carry_out([side], yes=yes, as_json=as_json)


def _list(name: str, account: Account, *, as_json: bool) -> None:
    from bridge.deploy import History

    entries = History(account, name).entries()
    if as_json:
        print_json(
            [
                {
                    "entry": one.number,
                    "at": one.at,
                    "by": one.by,
                    "stacks": sorted(one.digests),
                    "restores": one.restores or None,
                }
                for one in entries
            ]
        )
        return
    rows = [
        (
            str(one.number),
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.at)),
            one.by,
            ", ".join(sorted(one.digests)) or "destroyed",
            f"back to {one.restores}" if one.restores else "",
        )
        for one in entries
    ]
    console().print(table(("entry", "at", "by", "stacks", ""), rows, folding=("stacks",)))


def secrets(path: Path, account: Account, *, name: str, as_json: bool) -> int:
    """Write what differs."""
    from bridge.cli.whole import placed
    from bridge.deploy import deployment_name, reaching, secret_steps, unreached, write_secret

    document, pipeline = load_pipeline(path)
    parts = parts_of(document, pipeline, placed(document, pipeline, "").decisions)
    deployment = deployment_name(path, name)
    willing = patient(account)
    if unreached(document, parts.on_aws):
        with on_clusters(parts, deployment) as wanted:
            document = reaching(document, parts.on_aws, wanted.clients)
    steps = list(secret_steps(willing, document, parts.on_aws, deployment))
    for step in steps:
        write_secret(willing, step)
    if as_json:
        print_json({"secrets": [{"name": one.name, "action": one.action} for one in steps]})
        return 0
    for step in steps:
        click.echo(f"{step.name}: written")
    if not steps:
        click.echo("no secret has to be written")
    return 0


def _name(path: Path | None, name: str) -> str:
    """Which deployment a command is about."""
    from bridge.deploy import deployment_name

    if not path and not name:
        raise UsageError("which deployment?", hint="name its FDL file, or give --name")
    return deployment_name(path or Path(name), name)
