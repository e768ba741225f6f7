"""`ls` and `cost`: the deployed services, how they stand, and what they cost."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bridge.cli.output import console, money, print_json, seconds, table

if TYPE_CHECKING:
    from bridge.operate.cost import CostReport
    from bridge.operate.deployed import Status
    from bridge.operate.sides import Side
    from bridge.targets.aws import Account

__all__ = ["cost", "show"]


def show(sides: Sequence[Side], *, as_json: bool) -> int:
    """Print every deployed service with what its side says of it now."""
    from bridge.cli.together import asked, status_of

    answers, failed = asked(sides, lambda side: side.statuses())
    found = [one for _, some in answers for one in some]
    if as_json:
        region = "".join(side.region for side in sides)
        print_json({"region": region, "services": [_plain(one) for one in found]})
        return status_of(failed)
    out = console()
    if not found:
        where = ", ".join(side.name for side in sides)
        out.print(f"no services are deployed on {where}", markup=False)
        return status_of(failed)
    columns = ("service", "targets", "memory", "timeout", "deployment", "state", "image")
    out.print(table(columns, [_row(one) for one in found], folding=("state", "image")))
    return status_of(failed)


def _plain(one: Status) -> dict[str, Any]:
    deployed = one.deployed
    return {
        "service": deployed.service,
        "deployment": deployed.deployment,
        "targets": list(deployed.targets),
        "function": deployed.function,
        "definition": deployed.definition,
        "queue": deployed.queue,
        "images": list(one.images),
        "memory": list(one.memory),
        "timeout": one.timeout,
        "state": one.state,
    }


def _row(one: Status) -> tuple[str, ...]:
    deployed = one.deployed
    return (
        deployed.service,
        ", ".join(deployed.targets),
        " / ".join(f"{memory} MB" for memory in one.memory),
        seconds(one.timeout),
        deployed.deployment,
        one.state,
        "\n".join(one.images),
    )


def cost(account: Account, service: str, *, runs: int, as_json: bool) -> None:
    """Print what a job costs on each target, and what the last runs did."""
    from bridge.dispatch.table import JobTable
    from bridge.operate import deployed
    from bridge.operate.cost import cost_of

    found = deployed.service(account, service)
    jobs = JobTable(account).jobs(service, limit=runs) if runs else []
    today = datetime.datetime.now(tz=datetime.UTC).date()
    document = deployed.document(account, found)
    report = cost_of(found, document, jobs, region=account.region, today=today)
    if as_json:
        print_json(_report(report))
    else:
        _print(report)


def _report(report: CostReport) -> dict[str, Any]:
    return {
        "service": report.service,
        "region": report.region,
        "currency": "USD",
        "prices": {"dated": report.dated, "age_days": report.age},
        "targets": [
            {
                "target": one.target,
                "kind": one.kind,
                "feasible": one.feasible,
                "seconds": one.seconds,
                "cost": str(one.cost),
                "measured_runs": one.runs,
                "notes": list(one.notes),
            }
            for one in report.targets
        ],
        "runs": [
            {
                "job": run.job,
                "target": run.target,
                "seconds": run.seconds,
                "cost": str(run.cost),
                "ended": run.ended,
            }
            for run in report.runs
        ],
        "total": str(report.total),
        "assumptions": list(report.assumptions),
    }


def _print(report: CostReport) -> None:
    out = console()
    rows = [
        (
            one.target,
            seconds(one.seconds),
            money(one.cost),
            money(one.cost * 1000),
            f"mean of {_runs(one.runs)}" if one.runs else "no run yet",
            "; ".join(one.notes),
        )
        for one in report.targets
    ]
    columns = ("target", "run", "USD/job", "USD/1000 jobs", "measured", "notes")
    title = f"{report.service} in {report.region}"
    out.print(table(columns, rows, title=title, folding=("notes",)))
    if report.runs:
        median = seconds(report.median_seconds)
        out.print(
            f"the last {_runs(len(report.runs))} that were measured: {money(report.total)} USD "
            f"together, median {median}",
            markup=False,
        )
    out.print(f"prices of {report.dated}, {report.age} days old", markup=False)
    for line in report.assumptions:
        out.print(f"  {line}", markup=False, style="dim")


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
