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

# Before the folder of the benchmarks, one of which has the name of a package: manager.
sys.path.insert(0, str(Path(__file__).parent.parent))

# macOS counts ru_maxrss in bytes, Linux in KiB.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True)
class Measure:
    """Median wall seconds of some runs, and the most resident memory in bytes (0: not known).

    `cpu` is the median of the processor's seconds (0: not known): on a busy machine it is steadier.
    """

    name: str
    seconds: float
    peak: int = 0
    runs: int = 1
    note: str = ""
    cpu: float = 0.0


def run(
    name: str,
    argv: Sequence[str | Path],
    *,
    runs: int = 5,
    warm: int = 1,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    note: str = "",
) -> Measure:
    """Run a command `runs` times, one after the other, with its output thrown away.

    `warm` runs come first and do not count: they fill the caches of files and bytecode. `env` is
    added to this process's environment. RuntimeError when a run does not exit with 0. The peak
    memory counts the command itself, not the processes that it starts; keep the calling process
    small, because on Linux a child's peak is never below its parent's at the start.
    """
    parts = [str(part) for part in argv]
    for _ in range(warm):
        _once(parts, env, cwd)
    found = [_once(parts, env, cwd) for _ in range(runs)]
    wall = statistics.median(one[0] for one in found)
    cpu = statistics.median(one[1] for one in found)
    return Measure(name, wall, max(one[2] for one in found), runs, note, cpu)


def _once(
    argv: list[str], env: Mapping[str, str] | None, cwd: Path | None
) -> tuple[float, float, int]:
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
    return elapsed, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _RSS_UNIT


def report(title: str, rows: Sequence[Measure], baseline: str) -> None:
    """Print a table with one line per measure; `baseline` names the row that all are divided by."""
    base = next(row for row in rows if row.name == baseline)
    width = max(len(row.name) for row in rows)
    print(f"\n{title}")
    print(f"  {'':<{width}}  {'median':>10}  {'ratio':>8}  {'cpu':>8}  {'peak':>8}  runs")
    for row in rows:
        ratio = row.seconds / base.seconds if base.seconds else float("inf")
        cpu = f"{row.cpu / base.cpu:.2f}x" if row.cpu and base.cpu else "-"
        peak = f"{row.peak / 2**20:.0f} MiB" if row.peak else "-"
        line = f"  {row.name:<{width}}  {_seconds(row.seconds):>10}  {ratio:>7.2f}x  {cpu:>8}"
        print(f"{line}  {peak:>8}  {row.runs:>4}  {row.note}".rstrip())


def _seconds(value: float) -> str:
    return f"{value:.3f} s" if value >= 1 else f"{value * 1000:.2f} ms"


def skipped(name: str, why: str) -> None:
    """Say that a figure is missing, so that nobody takes silence for success."""
    print(f"  skipped: {name}: {why}")
