"""The values of the queue: what is accepted, what a job has become, and what may change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from bridge.events import Event
from bridge.targets import JobState

__all__ = [
    "OPEN_STATES",
    "Accepted",
    "Attempt",
    "Change",
    "Expected",
    "Ignored",
    "IngestResult",
    "JobDetail",
    "JobEvent",
    "JobRecord",
    "Lesson",
    "NewJob",
    "Output",
    "Promised",
    "Refusal",
    "Usage",
    "Waiting",
    "Within",
]

OPEN_STATES: Final = (JobState.ACCEPTED, JobState.PLACED, JobState.SUBMITTED, JobState.RUNNING)
"""A job's states before its end, in order."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """One event for one service, to be accepted. `id` is `bridge.events.job_id` of both.

    `caller` is who called the service, "" for an event of a store. Those of one `share` wait for
    each other, and not for the jobs of other shares. `trace` is the W3C `traceparent` that the
    job's spans belong under, "" for none.
    """

    id: str
    service: str
    event: Event
    caller: str = ""
    share: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The durable answer to a NewJob. `new` is False when the job was there already.

    `job` may differ from the id that was asked for: an event made by listing and the notification
    of the same object are one job, under the name of whichever came first.
    """

    job: str
    service: str
    new: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """A malformed event, kept for inspection. `body` holds at most its first 64 KiB.

    `size` is the length of the whole body in bytes, `at` is in seconds since the epoch.
    """

    at: float
    source: str
    reason: str
    size: int
    body: bytes
    number: int = 0


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that is well formed and that no service asks for."""

    at: float
    source: str
    reason: str
    event: Event


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What one body of events became: jobs, and how many events no service asked for.

    `refused` is the reason why the body was kept as malformed instead; "" when it was understood.
    """

    accepted: tuple[Accepted, ...] = ()
    ignored: int = 0
    refused: str = ""

    @property
    def new(self) -> tuple[str, ...]:
        """Names of the jobs that did not exist before."""
        return tuple(a.job for a in self.accepted if a.new)


@dataclass(frozen=True, slots=True)
class Output:
    """An object that a job wrote. `size` in bytes, None when the report does not say."""

    provider: str
    bucket: str
    key: str
    size: int | None = None
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Expected:
    """A job that must come: `output` of job `producer` lies in an input path of `service`."""

    service: str
    producer: str
    output: Output
    since: float


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as the store knows it. Times are in seconds since the epoch, None when not reached.

    `tries` counts the submits of this attempt that the target refused for now; `due` is when the
    next step may be taken. `stop` says that the target still has to be told to cancel it, `moving`
    that its target is asked to give it back, `hidden` that users do not see it any more, `caller`
    who called the service, `trace` is a NewJob's.
    """

    id: str
    service: str
    event: Event
    state: JobState
    target: str = ""
    attempt: int = 1
    tries: int = 0
    due: float = 0.0
    handle: str = ""
    accepted: float = 0.0
    placed: float | None = None
    submitted: float | None = None
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    reason: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)
    log: str = ""
    stop: bool = False
    moving: bool = False
    hidden: bool = False
    caller: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that is placed and does not run. `ahead` jobs were placed there before it and wait too.

    `untouched` says that its target was never asked to take it in this attempt.
    """

    job: JobRecord
    ahead: int
    untouched: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run, or one try to run, of a job on one target.

    One that has not run, as its target did not take it or gave it back, is `cancelled`.
    """

    number: int
    target: str
    state: JobState
    handle: str = ""
    placed: float | None = None
    submitted: float | None = None
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    reason: str = ""
    log: str = ""


@dataclass(frozen=True, slots=True)
class JobDetail:
    """All that is known of one job. `decisions`, by attempt, are what `bridge.scheduler.as_json`
    made of them."""

    job: JobRecord
    attempts: tuple[Attempt, ...] = ()
    decisions: tuple[Mapping[str, Any], ...] = ()
    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True, slots=True)
class Lesson:
    """An attempt that is over and that nothing was learned from yet.

    `seq` is the store's number of the job. `last` says that the job ended with it; only then there
    is a report. `decision` is the stored one that began it, None without, or where many attempts
    end together and this one is not compared. `share` says who pays, "" for nobody.
    """

    seq: int
    service: str
    attempt: Attempt
    last: bool
    report: Mapping[str, Any] = field(default_factory=dict)
    decision: Mapping[str, Any] | None = None
    share: str = ""


@dataclass(frozen=True, slots=True)
class Promised:
    """USD that jobs of a service, and of a share, are expected to cost by their decisions, of which
    nothing was learned yet. `version` is that of what was learned (`JobStore.kept`)."""

    version: int
    service: Decimal
    share: Decimal


@dataclass(frozen=True, slots=True)
class Within:
    """What jobs of a service may be expected to cost together, in USD, by what was learned up to
    `version`: what is left of its budget."""

    version: int
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Change:
    """A wish to change a job, carried out only when its rules allow (see `JobStore.change`).

    `attempt` is the attempt that the wish is about. `again` begins attempt + 1; `unrun` says then
    that the attempt before has not run and will not. `None` leaves a field as it is. `decision` is
    a JSON value. `release` lets any owner claim the job. `cost` is what the attempt that is placed
    is expected to cost, in USD; `within` forbids the change when that is too much, or when more was
    learned meanwhile.
    """

    job: str
    attempt: int
    state: JobState
    at: float
    again: bool = False
    target: str | None = None
    tries: int | None = None
    due: float | None = None
    handle: str | None = None
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    reason: str | None = None
    report: Mapping[str, Any] | None = None
    log: str | None = None
    decision: Mapping[str, Any] | None = None
    outputs: tuple[Output, ...] = ()
    expected: tuple[Expected, ...] = ()
    release: bool = False
    stop: bool = False
    moving: bool | None = None
    unrun: bool = False
    cost: Decimal | None = None
    within: Within | None = None


@dataclass(frozen=True, slots=True)
class JobEvent:
    """News for whoever watches: job `job` went from `previous` (None: it is new) to `state`.

    A job that is tried again goes back to `accepted`, or to `placed` on its fallback target, with
    `attempt` one higher; `reason` then says what became of the attempt before. So `state` may
    equal `previous` when only the target is another.
    """

    job: str
    service: str
    state: JobState
    previous: JobState | None
    at: float
    target: str = ""
    attempt: int = 1
    exit_code: int | None = None
    reason: str = ""
    previous_target: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one caller's jobs of one service have used of one target ("" while not placed).

    `runs` are those of the `jobs` that began and are over, `seconds` how long they took together;
    of a job that was tried again only the last attempt counts.
    """

    service: str
    target: str
    caller: str
    jobs: int
    runs: int
    seconds: float
