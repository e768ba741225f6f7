"""`explain`: why a job is where it is, or where one of a service would go now."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bridge.cli.output import console, money, print_json, seconds, size, table
from bridge.errors import NotFoundError

if TYPE_CHECKING:
    from rich.console import Console

    from bridge.operate.audit import Explanation
    from bridge.operate.sides import Side
    from bridge.scheduler import Candidate, Decision, Term

__all__ = ["explain"]

_SCORED: Final = 5
_SIZES: Final = frozenset({"memory", "ephemeral_storage"})
_TIMES: Final = frozenset({"timeout", "deadline"})


def explain(
    sides: Callable[[], Sequence[Side]], name: str, *, state: Path | None, as_json: bool
) -> int:
    """Print why, from the folder of a manager's state or of the first side that knows the name."""
    found, failed = _found(sides, name, state)
    if found is None:
        if failed:
            return 1
        hint = "oscar-bridge jobs and ls list what there is; upstream's managers keep no decisions"
        raise NotFoundError(
            f"there is no job and no service {name} whose decision is known", hint=hint
        )
    if as_json:
        print_json(found.as_json())
    else:
        _print(console(), found)
    return 0


def _found(
    sides: Callable[[], Sequence[Side]], name: str, state: Path | None
) -> tuple[Explanation | None, bool]:
    if state is not None:
        from bridge.operate.audit import KeptJobs

        return KeptJobs(state).explained(name), False
    from bridge.cli.together import asked

    answers, failed = asked(sides(), lambda side: side.explained(name))
    return next((one for _, one in answers if one is not None), None), failed


def _print(out: Console, found: Explanation) -> None:
    from bridge.scheduler import from_json

    for line in _head(found):
        out.print(line, markup=False)
    if not found.decisions:
        out.print("nothing is decided about it yet")
        return
    *earlier, last = [from_json(one) for one in found.decisions]
    for number, decision in enumerate(earlier, start=1):
        out.print(f"attempt {number}: {decision.reason}", markup=False)
    _print_decision(out, last)


def _head(found: Explanation) -> Iterator[str]:
    if found.job:
        yield f"{found.job}, a job of {found.service}: {found.state}"
        if found.accepted is not None:
            at = datetime.datetime.fromtimestamp(found.accepted, tz=datetime.UTC)
            yield f"  came at  {at:%Y-%m-%d %H:%M:%SZ}"
        actual = found.actual
        times = (("ran after", actual.wait), ("over after", actual.seconds))
        said = [f"{what} {seconds(value)}" for what, value in times if value is not None]
        if said:
            yield f"  actual   on {actual.target}, {', '.join(said)}"
        yield from _parts(found)
    else:
        yield f"{found.service}: a job that came now"
    for name, value in _flat(found.constraints):
        yield f"  {name:<8} {value}"


def _parts(found: Explanation) -> Iterator[str]:
    """What was foretold of the target where the job ran, beside what it took there."""
    from bridge.scheduler import from_json

    actual = found.actual
    last = from_json(found.decisions[-1]).chosen if found.decisions else None
    if last is None or last.offer.target != actual.target:
        return
    parts = (
        ("start", last.offer.start, actual.start),
        ("run", last.offer.run, actual.script),
        ("transfer", last.offer.transfer, actual.transfer),
    )
    said = [
        f"{what} {seconds(came)} (foretold {seconds(foretold)})"
        for what, foretold, came in parts
        if came is not None
    ]
    if said:
        yield f"  of that  {', '.join(said)}"


def _flat(constraints: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the file says, a line for each key; what a job needs in one."""
    for name, value in constraints.items():
        if name == "resources":
            yield "needs", ", ".join(f"{key} {_value(key, one)}" for key, one in value.items())
        else:
            yield name, _value(name, value)


def _value(name: str, value: Any) -> str:
    if name in _SIZES:
        return size(float(value))
    if name in _TIMES:
        return f"{value:g} s"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(key, one)}" for key, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _print_decision(out: Console, decision: Decision) -> None:
    trial = ", a canary" if decision.trial else ""
    out.print(f"\npolicy {decision.policy}{trial}, seed {decision.seed}", markup=False)
    out.print(decision.reason, markup=False, style="bold")
    able = [one for one in decision.candidates if one.offer.feasible]
    if able:
        _print_times(out, decision, able)
        _print_costs(out, able)
        _print_terms(out, able[:_SCORED])
        if len(able) > _SCORED:
            out.print(f"… and the scores of {len(able) - _SCORED} more with --json", markup=False)
    for line in _refusals(decision):
        out.print(line, markup=False)
    for line in _others(decision):
        out.print(line, markup=False)


def _print_times(out: Console, decision: Decision, able: Sequence[Candidate]) -> None:
    rows = []
    for one in able:
        offer = one.offer
        mark = "→ " if offer.target == decision.target else "  "
        times = (offer.wait, offer.start, offer.run, offer.transfer, offer.finish)
        rows.append(
            (
                mark + offer.target,
                *map(seconds, times),
                f"{offer.confidence:.2f}",
                seconds(offer.age),
            )
        )
    columns = ("candidate", "wait", "start", "run", "transfer", "finish", "sure", "data age")
    out.print(table(columns, rows, shortened=("candidate",)))


def _print_costs(out: Console, able: Sequence[Candidate]) -> None:
    rows = []
    for one in able:
        offer = one.offer
        parts = (offer.cost - offer.request - offer.egress, offer.request, offer.egress)
        shown = map(money, (*(max(part, Decimal(0)) for part in parts), offer.cost))
        rows.append((f"  {offer.target}", *shown, "; ".join(offer.notes)))
    columns = ("USD", "for its time", "request", "egress", "in all", "notes")
    out.print(table(columns, rows, folding=("notes",), shortened=("USD",)))


def _print_terms(out: Console, able: Sequence[Candidate]) -> None:
    rows = []
    for one in able:
        name = f"  {one.offer.target}"
        for term in one.terms:
            rows.append(
                (
                    name,
                    term.name,
                    _raw(term),
                    f"{term.value:.3f}",
                    f"{term.weight:.2f}",
                    f"{term.value * term.weight:.3f}",
                )
            )
            name = ""
        score = "" if one.score is None else f"{one.score:.3f}"
        rows.append((name, "score", "", "", "", score))
    columns = ("score of", "term", "measured", "value", "weight", "adds")
    out.print(table(columns, rows, shortened=("score of",)))


def _raw(term: Term) -> str:
    if term.raw is None:
        return "not known"
    if term.unit == "s":
        return seconds(term.raw)
    if term.unit == "USD":
        return f"{money(Decimal(repr(term.raw)))} USD"
    return f"{term.raw:.3g} {term.unit}".rstrip()


def _refusals(decision: Decision) -> Iterator[str]:
    for one in decision.candidates:
        if not one.offer.feasible:
            why = "; ".join(reason.sentence for reason in one.offer.reasons)
            yield f"{one.offer.target} cannot run it: {why}"


def _others(decision: Decision) -> Iterator[str]:
    """What policies that did not decide would have done, and who is asked next."""
    if decision.hedge is not None:
        after = seconds(decision.hedge.after)
        yield f"{decision.hedge.target} is asked instead when it has not begun after {after}"
    for one in decision.instead:
        where = (
            f"have taken {one.target}: about {seconds(one.finish)}, {money(one.cost)} USD"
            if one.target
            else "have found no target"
        )
        yield f"{one.policy} ({one.role}) would {where}"
