"""What a run has come to, as values: for the tables of `show` and for --json."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge.dispatch import JobRecord
from bridge.local.session import Result, Session
from bridge.scheduler import Decision, as_json
from bridge.targets import JobState

__all__ = ["Line", "Summary", "summary_of"]

_TAIL: Final = 20
_TAILS: Final = 20
_MOMENTS: Final = ("accepted", "placed", "submitted", "started", "ended")


@dataclass(frozen=True, slots=True)
class Line:
    """One job. `moments` are seconds since the run began, as far as they were reached.

    `outputs` are `<bucket>/<key>`; `log` is the end of the log of a job that did not succeed.
    """

    job: JobRecord
    kind: str
    input: str
    outputs: tuple[str, ...]
    moments: Mapping[str, float]
    decision: Mapping[str, Any]
    log: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True when the job succeeded."""
        return self.job.state is JobState.SUCCEEDED

    @property
    def wait(self) -> float | None:
        """Seconds from the event to the start of the script's supervisor."""
        return _between(self.moments, "accepted", "started")

    @property
    def run(self) -> float | None:
        """Seconds from there to the end of the job."""
        return _between(self.moments, "started", "ended")

    def as_json(self) -> dict[str, Any]:
        """Plain values with stable keys."""
        job = self.job
        return {
            "id": job.id,
            "service": job.service,
            "input": self.input,
            "target": job.target,
            "kind": self.kind,
            "state": str(job.state),
            "attempt": job.attempt,
            "exit_code": job.exit_code,
            "reason": job.reason,
            "wait": self.wait,
            "run": self.run,
            "phases": dict(job.report.get("phases", {})),
            "timeline": dict(self.moments),
            "outputs": list(self.outputs),
            "decision": dict(self.decision),
            "log": list(self.log),
        }


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole run. `complete` is False when its time was up before all jobs were over."""

    engine: str
    complete: bool
    seconds: float
    decisions: tuple[Decision, ...]
    lines: tuple[Line, ...]
    results: tuple[Result, ...]
    problems: tuple[str, ...]

    @property
    def failed(self) -> list[Line]:
        """The jobs that did not succeed."""
        return [line for line in self.lines if not line.ok]

    @property
    def ok(self) -> bool:
        """True when every job succeeded and nothing else went wrong."""
        return self.complete and not self.failed and not self.problems

    def as_json(self) -> dict[str, Any]:
        """Plain values with stable keys."""
        return {
            "ok": self.ok,
            "complete": self.complete,
            "engine": self.engine,
            "seconds": self.seconds,
            "decisions": [as_json(decision) for decision in self.decisions],
            "jobs": [line.as_json() for line in self.lines],
            "results": [
                {"service": r.service, "job": r.job, "path": str(r.path), "size": r.size}
                for r in self.results
            ],
            "problems": list(self.problems),
        }


def summary_of(session: Session, results: Sequence[Result], *, complete: bool) -> Summary:
    """Ask a session that still lives for all that is shown of it."""
    jobs = session.jobs()
    failed = [job.id for job in jobs if job.state is not JobState.SUCCEEDED]
    told = frozenset(failed[:_TAILS])
    return Summary(
        engine=session.engine,
        complete=complete,
        seconds=round(time.time() - session.began, 3),
        decisions=tuple(session.decisions.values()),
        lines=tuple(_line(session, job, with_log=job.id in told) for job in jobs),
        results=tuple(results),
        problems=tuple(session.problems()),
    )


def _line(session: Session, job: JobRecord, *, with_log: bool) -> Line:
    spec = session.document.targets.get(job.target)
    moments = {name: getattr(job, name) for name in _MOMENTS}
    return Line(
        job=job,
        kind=spec.kind if spec else "",
        input=session.input_name(job),
        outputs=tuple(f"{o['bucket']}/{o['key']}" for o in job.report.get("outputs", ())),
        moments={n: round(at - session.began, 3) for n, at in moments.items() if at is not None},
        decision=session.decision(job),
        log=tuple(session.logs(job)[-_TAIL:]) if with_log else (),
    )


def _between(moments: Mapping[str, float], start: str, end: str) -> float | None:
    if start not in moments or end not in moments:
        return None
    return round(max(0.0, moments[end] - moments[start]), 3)
