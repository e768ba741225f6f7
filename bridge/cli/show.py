"""The end of a run as a person reads it: jobs, timeline, decisions, failures, results."""

from __future__ import annotations

import shlex
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from bridge.cli.output import console, money, seconds, size, table
from bridge.cli.summary import Line, Summary

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["show"]

_ROWS: Final = 40
_NAMES: Final = 3
_FAILURES: Final = 5
_RESULTS: Final = 40
_BAR: Final = 48
_TIMELINE: Final = "timeline"
_LEAST: Final = 12
_GAP: Final = 2
_COLUMNS: Final = ("service", "target", "state", "exit", "wait", "run", "input", "outputs")


def show(summary: Summary) -> None:
    """Print all of it on standard output, no wider than the terminal."""
    out = console()
    _jobs(out, summary)
    _timeline(out, summary)
    _decisions(out, summary)
    for line in summary.failed[:_FAILURES]:
        _failure(out, line)
    for problem in summary.problems:
        out.print(f"\n{problem}", markup=False, style="red")
    _results(out, summary)
    out.print(f"\n{_sentence(summary)}", markup=False, style="" if summary.ok else "red")


def _jobs(out: Console, summary: Summary) -> None:
    lines = _chosen(summary)
    rows = [_row(line) for line in lines]
    room = _room(out.width, rows)
    cells = [
        (*row, _short(PurePosixPath(line.input).name, room), _names(line.outputs, room))
        for row, line in zip(rows, lines, strict=True)
    ]
    out.print(table(_COLUMNS, cells, shortened=("service", "target", "input", "outputs")))
    left = len(summary.lines) - len(lines)
    if left:
        out.print(f" … and {left} more jobs (all of them with --json)\n", markup=False)


def _chosen(summary: Summary) -> list[Line]:
    """The jobs that are shown: all, or of very many the first, and before them what failed."""
    if len(summary.lines) <= _ROWS:
        return list(summary.lines)
    return sorted(summary.lines, key=lambda line: line.ok)[:_ROWS]


def _row(line: Line) -> tuple[str, ...]:
    job = line.job
    return (
        job.service,
        job.target,
        str(job.state),
        "" if job.exit_code is None else str(job.exit_code),
        seconds(line.wait),
        seconds(line.run),
    )


def _room(width: int, rows: list[tuple[str, ...]]) -> int:
    """How wide the two columns of names may be beside the others."""
    others = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=False)]
    return max(_LEAST, (width - sum(others) - _GAP * len(_COLUMNS)) // 2)


def _short(name: str, room: int) -> str:
    """The name with its middle left out when it is too long: the ends tell names apart."""
    if len(name) <= room:
        return name
    head = (room - 1) // 3
    return f"{name[:head]}…{name[head + 1 - room :]}"


def _names(outputs: tuple[str, ...], room: int) -> str:
    """File names, one below the other, of the first few."""
    count = _NAMES if len(outputs) > _NAMES + 1 else len(outputs)
    shown = [_short(PurePosixPath(output).name, room) for output in outputs[:count]]
    if count < len(outputs):
        shown.append(f"… {len(outputs) - count} more")
    return "\n".join(shown)


def _timeline(out: Console, summary: Summary) -> None:
    """When each job waited (·) and ran (█), from the first event to the last end."""
    lines = _chosen(summary)
    if not lines:
        return
    begin = min(line.moments["accepted"] for line in summary.lines)
    end = max(max(line.moments.values()) for line in summary.lines)
    width = max(len(_TIMELINE), *(len(line.job.service) for line in lines))
    out.print(f" {_TIMELINE:<{width}}  0 s{seconds(end - begin):>{_BAR - 3}}", style="bold")
    for line in lines:
        style = "" if line.ok else "red"
        bar = _bar(line, begin, end)
        out.print(f" {line.job.service:<{width}}  {bar}", markup=False, style=style, no_wrap=True)
    out.print()


def _bar(line: Line, begin: float, end: float) -> str:
    scale = _BAR / max(end - begin, 0.001)
    last = max(line.moments.values())
    first = int((line.moments["accepted"] - begin) * scale)
    ran = int((line.moments.get("started", last) - begin) * scale)
    over = max(ran + 1, round((last - begin) * scale))
    return (" " * first + "·" * (ran - first) + "█" * (over - ran))[:_BAR].rstrip()


def _decisions(out: Console, summary: Summary) -> None:
    """Where each service was placed and why, then why not elsewhere."""
    for decision in summary.decisions:
        _indented(out, 1, f"{decision.service} → {decision.reason}")
        for candidate in decision.candidates:
            offer = candidate.offer
            if offer.target == decision.target:
                continue
            why = "; ".join(reason.sentence for reason in offer.reasons)
            if offer.feasible:
                why = f"about {seconds(offer.finish)}, {money(offer.cost)} USD"
            _indented(out, 5, f"not {offer.target}: {why}", style="dim")


def _indented(out: Console, depth: int, text: str, style: str = "") -> None:
    """A paragraph whose lines all begin at the same column."""
    from rich.padding import Padding
    from rich.text import Text

    out.print(Padding(Text(text, style=style), (0, 0, 0, depth)))


def _failure(out: Console, line: Line) -> None:
    job = line.job
    code = "" if job.exit_code is None else f", exit code {job.exit_code}"
    title = f"\n{job.service} on {job.target or 'no target'} {job.state}{code}: {job.reason}"
    out.print(title, markup=False, style="red")
    out.print(f"    job {job.id}, input {line.input}", markup=False)
    for said in line.log:
        out.print(f"    │ {said}", markup=False)


def _results(out: Console, summary: Summary) -> None:
    if not summary.results:
        return
    out.print("\nresults", style="bold")
    for result in summary.results[:_RESULTS]:
        out.print(f" {_quoted(result.path)} ({size(result.size)})", markup=False, soft_wrap=True)
    left = len(summary.results) - _RESULTS
    if left > 0:
        out.print(f" … and {left} more")


def _quoted(path: Path) -> str:
    """The path as it can be pasted into a shell."""
    return shlex.quote(str(path))


def _sentence(summary: Summary) -> str:
    count = len(summary.lines)
    jobs = f"{count} job{'' if count == 1 else 's'}"
    total = f"{jobs} in {seconds(summary.seconds)} ({summary.engine})"
    if not summary.complete:
        return f"{total}: not complete when the time was up"
    if summary.ok:
        return f"{total}, all succeeded"
    return f"{total}, {len(summary.failed)} did not succeed"
