"""500 inputs of 10 KB through one service on this machine, against the bare script.

The platform: upload → event → job → output, jobs as processes, from the first upload until every
job is over. The baseline: `xargs -P2` runs the same script on the same files, with no platform.

    python benchmarks/throughput.py [inputs] [rounds]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from _measure import Measure, report

from bridge.dispatch import JobEvent, JobRecord
from bridge.fdl import load
from bridge.local.session import Session

SIZE = 10 * 1024
SCRIPT = 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/${INPUT_FILE_PATH##*/}"\n'
FDL = """
functions:
  oscar:
  - here:
      name: shout
      image: none
      memory: 64Mi
      cpu: '0.1'
      log_level: CRITICAL
      script: shout.sh
      input:
      - {storage_provider: minio, path: data/in}
      output:
      - {storage_provider: minio, path: data/out}
"""
PHASES = ("stage_in", "script", "stage_out")
BASELINE = "xargs -P2, no platform"
PLATFORM = "oscar-bridge, processes"


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds until all was uploaded, and until all jobs were over; the jobs; CPU by program."""

    uploaded: float
    elapsed: float
    jobs: list[JobRecord]
    processors: dict[str, float]


class Quiet:
    """Watches a session without a word."""

    def phase(self, text: str) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def fed(self, size: int) -> None:
        """Nothing."""

    def fetched(self, size: int) -> None:
        """Nothing."""

    def job(self, event: JobEvent) -> None:
        """Nothing."""


def make(folder: Path, count: int) -> Path:
    """The FDL file, its script and the inputs; the folder of the inputs."""
    (folder / "fdl.yaml").write_text(FDL)
    (folder / "shout.sh").write_text(SCRIPT)
    inputs = folder / "inputs"
    inputs.mkdir()
    for number in range(count):
        (inputs / f"{number:04}.txt").write_bytes(b"abcdefgh" * (SIZE // 8))
    return inputs


def bare(folder: Path, inputs: Path) -> float:
    """Seconds of `xargs -P2` with one shell per input."""
    output = folder / "bare"
    output.mkdir(exist_ok=True)
    names = "\0".join(str(path) for path in sorted(inputs.iterdir())).encode()
    command = ["xargs", "-0", "-P2", "-I{}", "env", "INPUT_FILE_PATH={}", "sh"]
    begin = time.perf_counter()
    subprocess.run(
        [*command, str(folder / "shout.sh")],
        input=names,
        env=os.environ | {"TMP_OUTPUT_DIR": str(output)},
        check=True,
    )
    elapsed = time.perf_counter() - begin
    assert len(list(output.iterdir())) == len(list(inputs.iterdir()))
    return elapsed


def through(folder: Path, inputs: Path) -> Run:
    """One session: all inputs are fed in, all jobs awaited."""
    session = Session(load(folder / "fdl.yaml"), engine="process", watch=Quiet())
    handovers = session.plan([inputs])
    with session:
        begin, idle = time.perf_counter(), time.process_time()
        session.feed(handovers)
        uploaded = time.perf_counter() - begin
        assert session.wait(600)
        elapsed = time.perf_counter() - begin
        busy = processors(idle)
        jobs = session.jobs()
    assert [job.state for job in jobs] == ["succeeded"] * len(handovers), "not every job succeeded"
    return Run(uploaded, elapsed, jobs, busy)


def processors(before: float) -> dict[str, float]:
    """CPU seconds of this process since `before` and of its living children, by program (Linux)."""
    used = {"this process (uploads, ingest, dispatch)": time.process_time() - before}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            name = "supervisors and scripts" if b"bridge.supervisor" in words else "object store"
            ticks = sum(map(int, fields[11:15]))
            used[name] = used.get(name, 0.0) + ticks / os.sysconf("SC_CLK_TCK")
    return used


def breakdown(run: Run) -> None:
    """Where the time went, as the jobs' records tell it."""
    jobs, slots = run.jobs, os.cpu_count() or 1
    print(f"  uploading took the first {run.uploaded:.2f} s of {run.elapsed:.2f} s")
    waits = sorted((job.started or 0) - job.accepted for job in jobs)
    print(f"  accepted to started: median {statistics.median(waits):.2f} s, most {waits[-1]:.2f} s")
    share = slots * run.elapsed / len(jobs)
    print(f"  of {share * 1000:.1f} ms that each of {slots} slots has for a job:")
    parts = [(name, [job.report["phases"][name] for job in jobs]) for name in PHASES]
    whole = [(job.ended or 0) - (job.started or 0) for job in jobs]
    inside = [sum(values) for values in zip(*(values for _, values in parts), strict=True)]
    parts.append(("supervisor besides", [w - i for w, i in zip(whole, inside, strict=True)]))
    parts.append(("slot between jobs", [share - w for w in whole]))
    for name, values in parts:
        mean = statistics.fmean(values)
        print(f"    {name:<20} {mean * 1000:6.2f} ms  {100 * mean / share:5.1f} %")
    for name, seconds in run.processors.items():
        print(f"  CPU of {name}: {seconds / len(jobs) * 1000:.1f} ms per job")


def main(count: int = 500, rounds: int = 3) -> None:
    """Measure both in turn, print the ratio of the medians and the median run's breakdown."""
    with tempfile.TemporaryDirectory(prefix="bench-throughput-") as name:
        folder = Path(name)
        inputs = make(folder, count)
        bares, runs = [], []
        for _ in range(rounds):
            bares.append(bare(folder, inputs))
            runs.append(through(folder, inputs))
    base, run = statistics.median(bares), sorted(runs, key=lambda run: run.elapsed)[rounds // 2]
    rows = [
        Measure(BASELINE, base, runs=rounds, note=f"{count / base:.0f} jobs/s"),
        Measure(PLATFORM, run.elapsed, runs=rounds, note=f"{count / run.elapsed:.0f} jobs/s"),
    ]
    report(f"throughput: {count} inputs of {SIZE // 1024} KB", rows, BASELINE)
    print(f"  jobs per second against the baseline: {base / run.elapsed:.3f}x")
    breakdown(run)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
