"""The one protocol that every target implements, and the values that pass through it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from bridge.events import Event
from bridge.fdl.model import Service, TargetSpec


class JobState(StrEnum):
    """The life of a job. The last four are final."""

    ACCEPTED = "accepted"
    PLACED = "placed"
    SUBMITTED = "submitted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"

    @property
    def final(self) -> bool:
        """True when the job will not change any more."""
        return self in _FINAL


_FINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.DEAD})


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one service for one event. `id` is derived from both (see bridge.events).

    `trace` is the `traceparent` that goes with the event, "" for none.
    """

    id: str
    service: str
    event: Event
    attempt: int = 1
    trace: str = ""


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """News of one job from its target. Only what is known is set.

    `started` and `ended` are seconds since the epoch. `report` is the supervisor's report
    (see bridge.supervisor.report) as a plain mapping. `handle` is the target's own name of the run
    (Batch job id, Lambda request id, process id), `log` names where its log is.
    `temporary` says that a failure is not the job's own fault and may be tried again.
    `attempt` is the one that the news is about, 0 when that is not known.
    """

    job: str
    state: JobState
    handle: str = ""
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    reason: str = ""
    temporary: bool = False
    log: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 0


class Target(Protocol):
    """A place that runs services.

    `deploy` and `remove` are idempotent. `submit` returns once the target has the job, and a second
    submit of the same job id is the same run. News come from `poll`, which never blocks for long
    and may repeat itself; final states are reported until `forget` is called for the job.
    Errors: PermanentError when the job can never run there, TemporaryError otherwise.
    """

    spec: TargetSpec

    def deploy(self, services: Sequence[Service]) -> None:
        """Make the services runnable here, creating or updating what they need."""
        ...

    def remove(self, services: Sequence[str]) -> None:
        """Undo `deploy`; never deletes data."""
        ...

    def submit(self, job: Job) -> str:
        """Hand the job over; the answer is the target's handle of it."""
        ...

    def poll(self) -> Iterable[JobUpdate]:
        """What has changed since the last call, for all jobs at once."""
        ...

    def cancel(self, job: str) -> None:
        """Stop a job; no error when it is over."""
        ...

    def logs(self, job: str) -> Iterator[str]:
        """Lines of the job's log so far, without line ends."""
        ...

    def close(self) -> None:
        """Stop what this target started on this machine; jobs elsewhere go on."""
        ...


@runtime_checkable
class KeepsLogs(Protocol):
    """A target that can tell a job that has said nothing from one whose log is gone."""

    def has_log(self, job: str) -> bool:
        """Whether what the job said, if anything, can still be read."""
        ...


@runtime_checkable
class FindsLogs(Protocol):
    """A target that finds the log of a job which another process has followed."""

    def logs_at(self, job: str, log: str) -> Iterator[str]:
        """As `Target.logs`, by where the job's news said that its log is (`JobUpdate.log`)."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of a synchronous call: its head, and a body that comes as it is read.

    Names of headers are in small letters. `body` raises TargetUnavailable when it is broken off.
    `close` lets go of the call, also before its end: the script is then ended.
    """

    status: int
    headers: Mapping[str, str]
    body: Iterator[bytes]
    close: Callable[[], None]


@runtime_checkable
class Invokes(Protocol):
    """A target that also answers synchronous calls."""

    def invoke(
        self,
        service: str,
        body: bytes | Iterator[bytes],
        headers: Mapping[str, str],
        timeout: float,
        *,
        query: str = "",
        gone: Callable[[], bool] | None = None,
    ) -> Reply:
        """Run the service for this request and give its answer, whatever its status is.

        The caller's credentials are not passed on. The head of the answer is waited for up to
        `timeout` seconds; after that the answer is a 504. NotFoundError when the service is not
        deployed here, TargetUnavailable when no copy of it can be reached in that time, and soon
        after `gone` says that nobody waits for the answer any more: the script is then ended.
        """
        ...
