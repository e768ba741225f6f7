"""Tables and plots of a run, and the page of the documentation that they stand in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path

from benchmarks.placement.metrics import together
from benchmarks.placement.robust import Series
from benchmarks.placement.small import AIM_COST, AIM_TAIL, SLOT, Gap, Small
from benchmarks.placement.study import Row, Table, Verdict
from benchmarks.placement.svg import Curve, Panel, figure

Gaps = Mapping[str, Sequence[Gap]]  # by contestant, one for each case


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table: the first column is text, the others are figures."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def traces(found: Table) -> str:
    """One table for each trace."""
    parts = []
    for name, rows in found.items():
        head = ("", "lost", "missed", "p50 s", "p95 s", "p99 s", "slowdown", "makespan h", "USD")
        body = [_row(one) for one in rows]
        parts.append(f"### {name}\n\n" + markdown((*head, "cold", "fair", "regret"), body))
    return "\n\n".join(parts)


def _row(one: Row) -> list[str]:
    regret = "-" if one.lost else f"{one.regret:.0%}"
    return [
        f"**{one.who}**" if one.ours else one.who,
        f"{one.lost:.1%}" if one.lost else "0",
        f"{one.missed:.1%}",
        *(f"{value:.0f}" for value in (one.p50, one.p95, one.p99)),
        f"{one.slowdown:.1f}",
        f"{one.makespan / 3600:.2f}",
        f"{one.cost:.2f}",
        f"{one.cold:.0%}",
        f"{one.fairness:.2f}",
        regret,
    ]


def small_cases(found: Gaps) -> str:
    """The gaps to the optimum: mean (geometric) and worst of all cases."""
    head = ("", "cost", "worst", "p95", "worst", "both", "worst", "near", "in time: cost", "late")
    body = []
    for name, gaps in found.items():
        cells = [name]
        for values in (
            [gap.cost for gap in gaps],
            [gap.tail for gap in gaps],
            [gap.both for gap in gaps],
        ):
            cells += [f"x{together(values):.2f}", f"x{max(values):.2f}"]
        timely = [gap.timely for gap in gaps if not isnan(gap.timely)]
        cells += [
            f"{sum(gap.near for gap in gaps)} of {len(gaps)}",
            f"x{together(timely):.2f}" if timely else "-",
            str(sum(gap.late for gap in gaps)),
        ]
        body.append(cells)
    return markdown(head, body)


def small_verdicts(found: Gaps) -> list[Verdict]:
    """Whether the aims hold on the small cases."""
    cheap = [gap.cost for gap in found["cheapest"]]
    quick = [gap.tail for gap in found["fastest"]]
    near = [gap.near for gap in found["balanced"]]
    both = [gap.both for gap in found["balanced"]]
    timely = [gap.timely for gap in found["deadline"] if not isnan(gap.timely)]
    late = sum(gap.late for gap in found["deadline"] if not isnan(gap.timely))
    return [
        Verdict(
            "small cases, cheapest: cost within 10 % of the optimum",
            max(cheap) <= AIM_COST,
            f"x{together(cheap):.2f} on average, x{max(cheap):.2f} at worst",
        ),
        Verdict(
            "small cases, fastest: p95 within 15 % of the optimum",
            max(quick) <= AIM_TAIL,
            f"x{together(quick):.2f} on average, x{max(quick):.2f} at worst",
        ),
        Verdict(
            "small cases, balanced: within 10 % in cost and 15 % in p95 of one best schedule",
            all(near),
            f"{sum(near)} of {len(near)} cases; both at once x{together(both):.2f} on average, "
            f"x{max(both):.2f} at worst",
        ),
        Verdict(
            "small cases, deadline: nothing late, cost within 10 % of the cheapest such schedule",
            bool(timely) and max(timely) <= AIM_COST and not late,
            f"cost x{together(timely):.2f} on average, x{max(timely):.2f} at worst; {late} late "
            f"in {len(timely)} cases",
        ),
    ]


def verdict_table(found: Sequence[Verdict]) -> str:
    head = ("aim", "holds", "figures")
    return markdown(head, [(v.aim, "yes" if v.holds else "**no**", v.why) for v in found])


def robustness(found: Sequence[Series]) -> str:
    """One table for each thing that goes wrong: cost, p95 and misses."""
    parts = []
    for series in found:
        body = []
        for name, rows in series.rows.items():
            body.append([name, *(_cell(one) for one in rows)])
        table = markdown((f"{series.name}", *series.degrees), body)
        parts.append(f"### {series.name}\n\n{series.about}: USD / p95 s / missed.\n\n{table}")
    return "\n\n".join(parts)


def _cell(one: Row) -> str:
    lost = f" ({one.lost:.1%} lost)" if one.lost else ""
    return f"{one.cost:.2f} / {one.p95:.0f} / {one.missed:.1%}{lost}"


def trace_plot(found: Table) -> str:
    """Cost against p95 for everybody on every trace."""
    panels = [
        Panel(
            name,
            "cost, USD",
            "p95 of response, s",
            [Curve(one.who, [(one.cost, one.p95)], ours=one.ours) for one in rows],
        )
        for name, rows in found.items()
    ]
    return figure(panels, 3)


def small_plot(cases: Sequence[Small], played: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """What cannot be beaten in some cases, and where the policies are."""
    panels = []
    for place, case in enumerate(cases):
        best = [(one.cost * 1000, one.tail * SLOT) for one in case.best]
        curves = [Curve("optimum", best, joined=True)]
        for name, points in played.items():
            curves.append(Curve(name, [points[place]], ours=name in _OURS))
        panels.append(Panel(case.name, "cost, USD / 1000", "p95 of response, s", curves))
    return figure(panels, 3)


_OURS = ("balanced", "cheapest", "fastest", "deadline")


def robust_plot(found: Sequence[Series]) -> str:
    """Joint cost and p95 by how much is wrong."""
    panels = []
    for series in found:
        curves = []
        for name, rows in series.rows.items():
            points = [(float(i), one.joint) for i, one in enumerate(rows) if not one.lost]
            curves.append(Curve(name, points, joined=True, ours=name in _OURS))
        panels.append(Panel(series.name, "", "sqrt(USD x p95)", curves, series.degrees))
    return figure(panels, 2)


def fill(page: Path, blocks: Mapping[str, str]) -> None:
    """Put each block between its marks `<!-- NAME -->` and `<!-- end of NAME -->`."""
    text = page.read_text()
    for name, block in blocks.items():
        marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        assert marks.search(text), f"{page} has no place for {name}"
        text = marks.sub(lambda m, b=block: f"{m[1]}\n{b}\n\n{m[2]}", text)  # type: ignore[misc]
    page.write_text(text)
