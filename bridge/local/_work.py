"""One attempt of a job on this machine, and what can run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bridge.local._layout import JobFiles, ServiceFiles
from bridge.targets.protocol import Job, JobState


class Cancelled(Exception):
    """Raised by `begun` when the job was cancelled while it was being started."""


Begun = Callable[[str], None]
"""Takes a name of the run once it has started; raises Cancelled when it must not go on."""


@dataclass(frozen=True, slots=True)
class Work:
    """What to run, and the files that it is made of."""

    job: Job
    service: ServiceFiles
    files: JobFiles


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went: the supervisor's report, else why there is none and whether that may pass."""

    report: Mapping[str, Any] | None = None
    reason: str = ""
    exit_code: int | None = None
    temporary: bool = False

    @property
    def succeeded(self) -> bool:
        """True when there is a report that says so."""
        return self.report is not None and self.report.get("state") == JobState.SUCCEEDED.value


class Runner(Protocol):
    """Runs one job at a time. Only `interrupt` may be called while `run` has not returned."""

    def run(self, work: Work, begun: Begun) -> Outcome:
        """Run to the end, and call `begun` on the way.

        Raises BridgeError when it could not be started, Cancelled when `begun` did.
        """
        ...

    def interrupt(self) -> None:
        """Kill what runs, with everything that it started, so that `run` returns."""
        ...

    def close(self) -> None:
        """Leave no process behind."""
        ...
