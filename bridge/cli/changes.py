"""How plans of deployments, drift and progress look."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from bridge.cli.output import console, table

if TYPE_CHECKING:
    from bridge.deploy import Change, DriftReport, Plan, PropertyChange

__all__ = ["LiveWatch", "changes_json", "print_changes", "print_drift"]

_SIGNS: Final = {"create": "+", "update": "~", "replace": "±", "delete": "-", "none": "="}
_WORDS: Final = {"none": "no change"}
_SHOWN: Final = 12
_LONGEST: Final = 100
_CONTEXT: Final = 12


def changes_json(plan: Plan) -> list[dict[str, Any]]:
    """The rows of a plan as JSON knows them."""
    return [asdict(change) for change in plan.changes]


def print_changes(plan: Plan) -> None:
    """One table: a row per change, then the notes."""
    out = console()
    title = f"{plan.name}: changes {_where(plan)}"
    rows = [_row(change) for change in plan.changes]
    columns = ("action", "what", "name", "before → after")
    out.print(table(columns, rows, title=title, folding=("name", "before → after")))
    out.print(_summary(plan.changes), markup=False)
    for note in plan.notes:
        out.print(f"! {note}", style="yellow", markup=False)


def _where(plan: Plan) -> str:
    places = [f"in account {plan.account}, {plan.region}"] if plan.account else []
    places += [f"on cluster {name}" for name in plan.clusters]
    return " and ".join(places)


def _row(change: Change) -> tuple[str, ...]:
    word = _WORDS.get(change.action, change.action)
    kind = change.type.removeprefix("AWS::").replace("::", " ") or change.kind
    kind = f"service of {change.stack}" if change.kind == "service" else kind
    told = _properties(change.properties)
    if change.why:
        told = [change.why, *told]
    return f"{_SIGNS[change.action]} {word}", kind, change.name, "\n".join(told)


def _properties(properties: Sequence[PropertyChange]) -> list[str]:
    told = [f"{one.path}: {_both(one.before, one.after)}" for one in properties]
    more = len(told) - _SHOWN
    return [*told[:_SHOWN], f"… and {more} more; --json has all"] if more > 0 else told


def _both(before: str, after: str) -> str:
    """Both values; of long ones that begin alike, the end that differs."""
    pairs = enumerate(zip(before, after, strict=False))
    alike = next((place for place, (one, two) in pairs if one != two), 0)
    if max(len(before), len(after)) > _LONGEST and alike > _CONTEXT:
        before, after = (f"…{one[alike - _CONTEXT :]}" for one in (before, after))
    return f"{_cut(before)} → {_cut(after)}"


def _cut(text: str) -> str:
    shown = text or "nothing"
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _summary(changes: Sequence[Change]) -> str:
    counted: Counter[str] = Counter(change.action for change in changes if change.action != "none")
    if not counted:
        return "nothing to change"
    return ", ".join(f"{counted[word]} to {word}" for word in _SIGNS if counted[word])


def print_drift(report: DriftReport) -> None:
    """One table of what is not as its template says."""
    out = console()
    if report.drifted:
        rows = [
            (
                one.state,
                one.type.removeprefix("AWS::").replace("::", " "),
                one.name,
                "\n".join(_properties(one.properties)),
            )
            for one in report.drifted
        ]
        columns = ("state", "what", "name", "template → live")
        out.print(table(columns, rows, folding=("name", "template → live")))
    else:
        out.print(f"no drift in {', '.join(report.stacks)}", markup=False)
    if report.unchecked:
        out.print(f"{report.unchecked} resources cannot be compared", style="dim", markup=False)


class LiveWatch:
    """Tells progress on standard error: lines, and on a terminal a status line below them."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._status = self._console.status("starting")
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._status.stop()

    def step(self, text: str) -> None:
        """Show what begins."""
        if self._console.is_terminal:
            self._status.update(text)
        self._say(f"· {text}", "bold")

    def event(self, text: str) -> None:
        """Print what happened."""
        self._say(f"  {text}", "dim")

    def note(self, text: str) -> None:
        """Print what the user should know."""
        self._say(f"! {text}", "yellow")

    def pause(self) -> None:
        """Leave the terminal to a question."""
        self._status.stop()

    def _say(self, text: str, style: str) -> None:
        with self._lock:
            self._console.print(text, style=style, markup=False, soft_wrap=True)
