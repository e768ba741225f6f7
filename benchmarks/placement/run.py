"""The whole comparison: runs, tables on the screen, and plots and tables in the documentation.

Everything is simulated and seeded: the same versions give the same figures. Nothing asserts how
good we are; what is printed is concluded from the runs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.placement import page
from benchmarks.placement.adverse import Worst, search
from benchmarks.placement.contestants import EVERYBODY, OURS, Contestant, picked
from benchmarks.placement.metrics import percentile
from benchmarks.placement.optimum import TAIL
from benchmarks.placement.robust import Series, series
from benchmarks.placement.scenarios import TRACES, scenarios
from benchmarks.placement.small import Gap, Small, gap, smalls
from benchmarks.placement.study import Row, Table, Verdict, table, verdicts
from bridge.simulate import Setting

DOCS: Final = Path(__file__).parents[2] / "docs"
PLOTTED: Final = 3  # small cases


@dataclass(frozen=True, slots=True)
class Size:
    """How much is run: calls and seeds of a trace, jobs of a small case, steps of the search."""

    calls: int = 1000
    seeds: int = 2
    jobs: int = 10
    steps: int = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a run has found."""

    traces: Table
    cases: Sequence[Small]
    gaps: page.Gaps
    amiss: Sequence[Series]
    worst: Worst

    def verdicts(self) -> list[Verdict]:
        return [*page.small_verdicts(self.gaps), *verdicts(self.traces)]


SMALL: Final = [
    *OURS,
    *picked("cluster only", "lambda only", "batch only", "skedulix", "oscar topsis"),
]


def outcome(size: Size) -> Outcome:
    """Run it all, on two processors."""
    with ProcessPoolExecutor(2) as pool:
        amiss = pool.submit(series, size.calls, 1)
        traces = [pool.submit(one_trace, name, size) for name in TRACES]
        small = pool.submit(small_cases, size)
        worst = pool.submit(worst_case, size)
        cases, gaps = small.result()
        rows = {name: found for one in traces for name, found in one.result().items()}
        return Outcome(rows, cases, gaps, amiss.result(), worst.result())


def one_trace(name: str, size: Size) -> dict[str, list[Row]]:
    """Everybody on one of the traces."""
    seeds = range(1, size.seeds + 1)
    drawn = [[one for one in scenarios(size.calls, seed) if one.name == name] for seed in seeds]
    return table(EVERYBODY, drawn, seeds)


def small_cases(size: Size) -> tuple[list[Small], dict[str, list[Gap]]]:
    """The small cases, and how far everybody is from the best of them."""
    cases = smalls(size.jobs, [1])
    return cases, {one.name: [gap(case, one) for case in cases] for one in SMALL}


def worst_case(size: Size) -> Worst:
    return search(OURS[0], SMALL[len(OURS) :], size.steps, 1)


def blocks(found: Outcome, size: Size) -> dict[str, str]:
    """The parts of the page that a run makes."""
    who = page.markdown(("", "what it does"), [(one.name, one.about) for one in EVERYBODY])
    worst = found.worst
    return {
        "size": f"{size.calls} calls a trace, mean of {size.seeds} seeds; small cases of "
        f"{size.jobs} jobs; {size.steps} steps of the search.",
        "who": who,
        "verdicts": page.verdict_table(found.verdicts()),
        "small": page.small_cases(found.gaps),
        "traces": page.traces(found.traces),
        "amiss": page.robustness(found.amiss),
        "worst": f"Of {worst.tried} instances, `balanced` was worst on this one: "
        f"{worst.instance}. There its joint cost and p95 is {worst.factor:.2f} times that of "
        f"{worst.rival}.",
    }


def plots(found: Outcome) -> dict[str, str]:
    """The figures, by file name."""
    shown = [case for case in found.cases if "2 cores" in case.name][:PLOTTED]
    played = {one.name: [_point(case, one) for case in shown] for one in SMALL}
    return {
        "placement-traces.svg": page.trace_plot(found.traces),
        "placement-small.svg": page.small_plot(shown, played),
        "placement-amiss.svg": page.robust_plot(found.amiss),
    }


def _point(case: Small, who: Contestant) -> tuple[float, float]:
    result = who.play(case.world, case.trace, Setting())
    tail = percentile((result.end - result.arrival).tolist(), TAIL)
    return float(result.cost.sum()) * 1000, tail


def main(argv: Sequence[str] | None = None) -> None:
    usual = Size()
    parser = argparse.ArgumentParser(prog="python benchmarks/placement", description=__doc__)
    parser.add_argument("--calls", type=int, default=usual.calls, help="calls of each trace")
    parser.add_argument("--seeds", type=int, default=usual.seeds, help="how often it is drawn")
    parser.add_argument("--jobs", type=int, default=usual.jobs, help="jobs of a small case")
    parser.add_argument("--steps", type=int, default=usual.steps, help="steps of the search")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where page and plots are written")
    args = parser.parse_args(argv)
    size = Size(args.calls, args.seeds, args.jobs, args.steps)
    began = time.perf_counter()
    found = outcome(size)
    made = blocks(found, size)
    for name in ("traces", "small", "amiss", "worst", "verdicts"):
        print(f"\n{made[name]}")
    page.fill(args.docs / "placement-evaluation.md", made)
    for file, text in plots(found).items():
        (args.docs / file).write_text(text)
    print(f"\n{time.perf_counter() - began:.0f} s; page and plots are in {args.docs}")
