"""Small tools for the benchmarks: time commands, know their peak memory, print ratios.

Every figure is only meaningful beside another one of the same run, so a report always has a
baseline and prints the ratio to it. Nothing here asserts.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Measure", "report", "run", "skipped"]

# macOS counts ru_maxrss in bytes, Linux in KiB.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True)
class Measure:
    """Median wall seconds of some runs, and the most resident memory in bytes (0: not known)."""

    name: str
    seconds: float
    peak: int = 0
    runs: int = 1
    note: str = ""


def run(
    name: str,
    argv: Sequence[str | Path],
    *,
    runs: int = 5,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    note: str = "",
) -> Measure:
    """Run a command `runs` times, one after the other, with its output thrown away.

    `env` is added to this process's environment. RuntimeError when a run does not exit with 0.
    The peak memory counts the command itself, not the processes that it starts; keep the calling
    process small, because on Linux a child's peak is never below its parent's at the start.
    """
    seconds, peak = [], 0
    for _ in range(runs):
        elapsed, memory = _once([str(part) for part in argv], env, cwd)
        seconds.append(elapsed)
        peak = max(peak, memory)
    return Measure(name, statistics.median(seconds), peak, runs, note)


def _once(argv: list[str], env: Mapping[str, str] | None, cwd: Path | None) -> tuple[float, int]:
    start = time.perf_counter()
    child = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
        cwd=cwd,
    )
    _, status, usage = os.wait4(child.pid, 0)
    elapsed = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} ended with status {child.returncode}")
    return elapsed, usage.ru_maxrss * _RSS_UNIT


def report(title: str, rows: Sequence[Measure], baseline: str) -> None:
    """Print a table with one line per measure; `baseline` names the row that all are divided by."""
    base = next(row for row in rows if row.name == baseline)
    width = max(len(row.name) for row in rows)
    print(f"\n{title}")
    print(f"  {'':<{width}}  {'median':>10}  {'ratio':>8}  {'peak':>8}  runs")
    for row in rows:
        ratio = row.seconds / base.seconds if base.seconds else float("inf")
        peak = f"{row.peak / 2**20:.0f} MiB" if row.peak else "-"
        line = f"  {row.name:<{width}}  {_seconds(row.seconds):>10}  {ratio:>7.2f}x  {peak:>8}"
        print(f"{line}  {row.runs:>4}  {row.note}".rstrip())


def _seconds(value: float) -> str:
    return f"{value:.3f} s" if value >= 1 else f"{value * 1000:.2f} ms"


def skipped(name: str, why: str) -> None:
    """Say that a figure is missing, so that nobody takes silence for success."""
    print(f"  skipped: {name}: {why}")
