"""`replay`: what another policy would have done with the jobs of the past."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bridge.cli.output import console, money, print_json, seconds, table
from bridge.cli.whole import check_policy
from bridge.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from bridge.operate.sides import Side

__all__ = ["replay"]

_MOVES: Final = 10


def replay(
    sides: Callable[[], Sequence[Side]],
    *,
    policy: str,
    since: str,
    service: str,
    limit: int,
    state: Path | None,
    file: Path | None,
    as_json: bool,
) -> int:
    """Decide what is known of each side again, and print the difference. Nothing runs."""
    from bridge.operate.moments import moment

    check_policy(policy)
    begin = moment(since, time.time())
    if (state is None) != (file is None):
        hint = "--state is the folder of `up --keep`, --file the FDL file of its services"
        raise UsageError("--state and --file go together", hint=hint)
    if state is not None and file is not None:
        from bridge.fdl import load
        from bridge.operate.audit import KeptJobs, report_json
        from bridge.scheduler import replay as decide_again

        past = KeptJobs(state).past(service, begin, limit)
        services = {one.name: one for one in load(file).services}
        found = [("", report_json(decide_again(past, services, policy), policy, begin))]
        failed = False
    else:
        from bridge.cli.together import asked

        answers, failed = asked(sides(), lambda s: s.compared(policy, service, begin, limit))
        found = [(side.name, report) for side, report in answers]
    if as_json:
        print_json({"sides": [{"side": name, **report} for name, report in found]})
    else:
        for name, report in found:
            _print(console(), name, report)
    return int(failed)


def _print(out: Console, side: str, report: Mapping[str, Any]) -> None:
    jobs = f"{report['jobs']} decision{'' if report['jobs'] == 1 else 's'}"
    out.print(f"{side}: {jobs}" if side else jobs, markup=False, style="bold")
    for row in report["comparisons"]:
        _print_comparison(out, row)
    if len(report["ended"]) > 1 or not report["comparisons"]:
        _print_ended(out, report["ended"])
    for reason, count in report["left_out"].items():
        out.print(f"{count} left out: {reason}", markup=False)


def _print_comparison(out: Console, row: Mapping[str, Any]) -> None:
    labels = {
        "replay": ("as decided", f"with {row['policy']}"),
        "shadow": ("as decided", f"with {row['policy']}"),
        "canary": (f"with {row['policy']}", "without it"),
    }
    title = {
        "replay": f"{row['policy']}, decided again",
        "shadow": f"{row['policy']}, the shadow",
        "canary": f"{row['policy']}, the canary",
    }[row["role"]]
    went = "went" if row["role"] == "canary" else "would have gone"
    elsewhere = f"{row['elsewhere']} of {row['jobs']} jobs {went} elsewhere"
    taken, other = labels[row["role"]]
    rows = [
        _figures(taken, row["taken"]),
        _figures(other, row["other"]),
        _difference(row["taken"], row["other"]),
        _figures("actual", row["actual"]),
    ]
    columns = ("foreseen for each job", "jobs", "wait", "finish", "USD", "late", "no target")
    out.print(table(columns, rows, title=f"{title}: {elsewhere}"))
    for move in row["moves"][:_MOVES]:
        target, origin = move["to"] or "no target", move["from"] or "no target"
        out.print(f"  {move['jobs']} from {origin} to {target}", markup=False)
    if len(row["moves"]) > _MOVES:
        out.print(f"  … and {len(row['moves']) - _MOVES} more moves with --json", markup=False)


def _figures(label: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    jobs = found["jobs"]
    if not jobs:
        return label, "0", "", "", "", "", str(found["unplaced"])
    return (
        label,
        str(jobs),
        seconds(found["wait"] / jobs),
        seconds(found["seconds"] / jobs),
        money(Decimal(found["cost"]) / jobs),
        str(found["misses"]),
        str(found["unplaced"]),
    )


def _difference(taken: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, ...]:
    """What the second has more of, for each job that it found a target for."""
    if not taken["jobs"] or not other["jobs"]:
        return "difference", "", "", "", "", "", ""

    def mean(name: str) -> Decimal:
        return _mean(other, name) - _mean(taken, name)

    cost = mean("cost")
    return (
        "difference",
        f"{other['jobs'] - taken['jobs']:+d}",
        _signed(float(mean("wait"))),
        _signed(float(mean("seconds"))),
        f"{'-' if cost < 0 else '+'}{money(abs(cost))}",
        f"{other['misses'] - taken['misses']:+d}",
        f"{other['unplaced'] - taken['unplaced']:+d}",
    )


def _mean(found: Mapping[str, Any], name: str) -> Decimal:
    return Decimal(str(found[name])) / int(found["jobs"])


def _signed(value: float) -> str:
    return f"{'-' if value < 0 else '+'}{seconds(abs(value))}"


def _print_ended(out: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    shown = []
    for row in rows:
        label, jobs, wait, finish, cost, late, _ = _figures(row["policy"], row)
        shown.append((label, row["trial"], jobs, wait, finish, cost, late, str(row["failed"])))
    columns = ("actual, by policy", "trial", "over", "wait", "finish", "USD", "late", "failed")
    out.print(table(columns, shown))
