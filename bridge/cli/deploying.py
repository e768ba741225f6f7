"""What the commands of deployment do: ask, show, confirm, and tell the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bridge.cli.changes import LiveWatch, changes_json, print_changes, print_drift
from bridge.cli.check import load_pipeline
from bridge.cli.output import console, print_json, table
from bridge.errors import UsageError
from bridge.scheduler import Decision

if TYPE_CHECKING:
    from bridge.deploy import Assembly, Plan, Settings
    from bridge.fdl.model import Document
    from bridge.targets.aws import Account

__all__ = [
    "DIFFERENT",
    "apply",
    "destroy",
    "drift",
    "on_aws",
    "planned",
    "rollback",
    "secrets",
    "settings_of",
]

DIFFERENT: Final = 4
_AWS: Final = frozenset({"lambda", "batch"})


@dataclass(frozen=True, slots=True)
class _Planned:
    """A plan with what it was made of."""

    plan: Plan
    assembly: Assembly
    account: Account
    again: Callable[[], Plan]


def on_aws(decisions: Sequence[Decision]) -> list[str]:
    """The services that may run on AWS, by what was decided of them."""
    return [
        decision.service
        for decision in decisions
        if any(one.offer.feasible and one.offer.kind in _AWS for one in decision.candidates)
    ]


def patient(account: Account) -> Account:
    """The same account, which is not put off by throttling."""
    from bridge.targets.aws import Account

    return Account(replace(account.settings, patient=True))


@contextmanager
def planned(
    path: Path, document: Document, account: Account, settings: Settings
) -> Iterator[_Planned]:
    """Make the stacks of a file and compare them with what is there."""
    from bridge.deploy import plan, synth

    account.id  # noqa: B018  (quick to fail, before anything is patient)
    willing = patient(account)
    with synth(path, document, willing, settings) as assembly:

        def again() -> Plan:
            return plan(assembly, willing)

        yield _Planned(again(), assembly, willing, again)


def settings_of(options: Mapping[str, Any]) -> Settings:
    """The settings that a command was given."""
    from bridge.deploy import Settings

    return Settings(
        name=options["name"],
        images=options["images"] or "",
        policy=options["policy"],
        stacks=options["stacks"] or 0,
    )


def apply(path: Path, *, yes: bool, as_json: bool, **options: Any) -> int:
    """Plan, confirm, do."""
    from bridge.cli.aws_options import account_of
    from bridge.cli.placement import decided
    from bridge.deploy import apply as execute

    document, _ = load_pipeline(path)
    if not on_aws(decided(document, options["policy"])):
        raise UsageError(
            f"{path}: no service may run on AWS, so there is nothing to apply",
            hint="`oscar-bridge destroy` deletes what was deployed before",
        )
    account = account_of(**{key: options[key] for key in ("profile", "region", "prefix")})
    with planned(path, document, account, settings_of(options)) as made:
        _show(made.plan, as_json=as_json)
        _confirm(made.plan, yes=yes)
        begun = time.monotonic()
        with LiveWatch() as watch:
            done = execute(
                made.plan,
                made.account,
                replan=made.again,
                agree=lambda new: _agreed(new, watch, yes=yes),
                watch=watch,
            )
    _end(done.plan, done.number, time.monotonic() - begun, as_json=as_json)
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
    path: Path | None, account: Account, *, name: str, everything: bool, yes: bool, as_json: bool
) -> int:
    """Plan the deletion, confirm, do."""
    from bridge.deploy import apply as execute
    from bridge.deploy import destruction

    wanted = _name(path, name)
    account.id  # noqa: B018
    willing = patient(account)

    def again() -> Plan:
        return destruction(wanted, willing, everything=everything)

    plan = again()
    _show(plan, as_json=as_json)
    _confirm(plan, yes=yes, question="Delete all this?")
    begun = time.monotonic()
    with LiveWatch() as watch:
        agree = lambda new: _agreed(new, watch, yes=yes)  # noqa: E731
        done = execute(plan, willing, replan=again, agree=agree, watch=watch)
    _end(done.plan, done.number, time.monotonic() - begun, as_json=as_json)
    return 0


def drift(path: Path | None, account: Account, *, name: str, as_json: bool) -> int:
    """Compare and print; DIFFERENT when something has drifted."""
    from dataclasses import asdict

    from bridge.deploy import Silent
    from bridge.deploy import drift as compare

    secrets_of = _secrets_of(path)
    account.id  # noqa: B018
    with LiveWatch() as live:
        watch = Silent() if as_json else live
        report = compare(_name(path, name), patient(account), secrets=secrets_of, watch=watch)
    if as_json:
        print_json(asdict(report))
    else:
        print_drift(report)
    return DIFFERENT if report.drifted else 0


def _secrets_of(path: Path | None) -> Sequence[Any]:
    from bridge.deploy import all_secrets

    if path is None or not path.exists():
        return ()
    return tuple(all_secrets(load_pipeline(path)[0]))


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
    from bridge.deploy import apply as execute
    from bridge.deploy import restoration

    wanted = _name(path, name)
    account.id  # noqa: B018
    willing = patient(account)
    if listing:
        _list(wanted, willing, as_json=as_json)
        return 0

    def again() -> Plan:
        return restoration(wanted, willing, to=to or 0)

    plan = again()
    _show(plan, as_json=as_json)
    _confirm(plan, yes=yes)
    begun = time.monotonic()
    with LiveWatch() as watch:
        agree = lambda new: _agreed(new, watch, yes=yes)  # noqa: E731
        done = execute(plan, willing, replan=again, agree=agree, watch=watch)
    _end(done.plan, done.number, time.monotonic() - begun, as_json=as_json)
    return 0


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
    from bridge.cli.placement import decided
    from bridge.deploy import deployment_name, secret_steps, write_secret

    document, _ = load_pipeline(path)
    services = on_aws(decided(document, ""))
    account.id  # noqa: B018
    willing = patient(account)
    steps = list(secret_steps(willing, document, services, deployment_name(path, name)))
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
