"""`run`: the whole pipeline once on this machine, with live progress and a summary at the end."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import typer

from bridge.cli.check import load_pipeline
from bridge.cli.output import console, print_json, seconds, size, table
from bridge.cli.progress import Live, Silent
from bridge.dispatch import JobRecord
from bridge.errors import UsageError
from bridge.local.session import Result, Session
from bridge.scheduler import as_json as decision_json
from bridge.targets import JobState

__all__ = ["run"]

_ENGINES = ("auto", "container", "process")
_LOG_LINES = 20
_COLUMNS = ("service", "target", "state", "exit", "wait", "run", "when", "input", "outputs")
INTERRUPTED = 130


def run(
    path: Path,
    inputs: Sequence[Path],
    output: Path,
    *,
    engine: str,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Run the pipeline of `path` on the inputs; the exit status."""
    document, _ = load_pipeline(path)
    if engine not in _ENGINES:
        raise UsageError(f"--engine {engine}: there is no such engine", hint=", ".join(_ENGINES))
    missing = [str(each) for each in inputs if not each.exists()]
    if missing:
        raise UsageError(f"--input {missing[0]}: no such file or folder")
    started = time.time()
    try:
        with (
            _terminated_as_interrupt(),
            Silent() if as_json else Live() as watch,
            Session(document, engine=engine, watch=watch) as session,
        ):
            session.feed(inputs)
            complete = session.wait(timeout)
            results = session.fetch(output)
            report = _Report(session, results, complete, started)
    except KeyboardInterrupt:
        typer.echo("oscar-bridge: interrupted; everything that was started is stopped", err=True)
        return INTERRUPTED
    if as_json:
        print_json(report.as_json())
    else:
        report.show()
    return 0 if report.ok else 1


@contextmanager
def _terminated_as_interrupt() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does: everything is stopped first."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Report:
    """What is said at the end, taken while the session still lives."""

    def __init__(
        self, session: Session, results: Sequence[Result], complete: bool, started: float
    ) -> None:
        self.jobs = session.jobs()
        self.results = results
        self.complete = complete
        self.started = started
        self.engine = session.engine
        self.decisions = session.decisions
        self.kinds = {name: spec.kind for name, spec in session.document.targets.items()}
        self.failed = [job for job in self.jobs if job.state is not JobState.SUCCEEDED]
        self.tails = {job.id: session.logs(job)[-_LOG_LINES:] for job in self.failed[:5]}
        self.problems = session.problems()

    @property
    def ok(self) -> bool:
        return self.complete and not self.failed and not self.problems

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "complete": self.complete,
            "engine": self.engine,
            "seconds": round(time.time() - self.started, 3),
            "decisions": [decision_json(d) for d in self.decisions.values()],
            "jobs": [self._job_json(job) for job in self.jobs],
            "results": [
                {"service": r.service, "job": r.job, "path": str(r.path), "size": r.size}
                for r in self.results
            ],
            "problems": self.problems,
        }

    def _job_json(self, job: JobRecord) -> dict[str, Any]:
        moments = (job.accepted, job.placed, job.submitted, job.started, job.ended)
        names = ("accepted", "placed", "submitted", "started", "ended")
        return {
            "id": job.id,
            "service": job.service,
            "input": _input(job),
            "target": job.target,
            "kind": self.kinds.get(job.target, ""),
            "state": str(job.state),
            "attempt": job.attempt,
            "exit_code": job.exit_code,
            "reason": job.reason,
            "wait": _between(job.accepted, job.started),
            "run": _between(job.started, job.ended),
            "timeline": {
                name: round(moment - self.started, 3)
                for name, moment in zip(names, moments, strict=True)
                if moment is not None
            },
            "outputs": _outputs(job),
            "log": self.tails.get(job.id, []),
        }

    def show(self) -> None:
        out = console()
        out.print(
            table(_COLUMNS, [self._row(job) for job in self.jobs], folding=("input", "outputs"))
        )
        for decision in self.decisions.values():
            out.print(f"  {decision.service} → {decision.reason}", markup=False)
        for job in self.failed[:5]:
            out.print(f"\n{job.id} {job.state}: {job.reason}", markup=False, style="red")
            for line in self.tails[job.id]:
                out.print(f"    {line}", markup=False)
        for problem in self.problems:
            out.print(problem, markup=False, style="red")
        if self.results:
            out.print("\nresults:")
            for result in self.results:
                out.print(f"  {result.path} ({size(result.size)})", markup=False)
        out.print(self._sentence(), markup=False)

    def _sentence(self) -> str:
        total = f"{len(self.jobs)} jobs in {seconds(time.time() - self.started)} ({self.engine})"
        if self.ok:
            return f"\n{total}, all succeeded"
        if not self.complete:
            return f"\n{total}: not complete when the time was up"
        return f"\n{total}, {len(self.failed)} did not succeed"

    def _row(self, job: JobRecord) -> tuple[str, ...]:
        return (
            job.service,
            f"{job.target} ({self.kinds.get(job.target, '')})",
            str(job.state),
            "" if job.exit_code is None else str(job.exit_code),
            seconds(_between(job.accepted, job.started)),
            seconds(_between(job.started, job.ended)),
            self._bar(job),
            _input(job),
            "\n".join(_outputs(job)),
        )

    def _bar(self, job: JobRecord, width: int = 24) -> str:
        """When the job waited (·) and ran (█) on the time line of the whole run."""
        end = max((j.ended or j.accepted for j in self.jobs), default=self.started)
        begin = min((j.accepted for j in self.jobs), default=self.started)
        scale = width / max(end - begin, 0.001)
        first = int((job.accepted - begin) * scale)
        ran = int(((job.started or job.ended or end) - begin) * scale)
        last = max(ran + 1, round(((job.ended or end) - begin) * scale))
        return (" " * first + "·" * max(0, ran - first) + "█" * (last - ran))[:width]


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round(max(0.0, end - start), 3)


def _input(job: JobRecord) -> str:
    event = job.event
    return f"{event.bucket}/{event.key}" if event.bucket else (event.name or "request")


def _outputs(job: JobRecord) -> list[str]:
    return [f"{o['bucket']}/{o['key']}" for o in job.report.get("outputs", ())]
