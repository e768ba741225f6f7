"""What the dispatcher needs from others, each as small as it can be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from bridge.dispatch.model import (
    Accepted,
    Change,
    Expected,
    Ignored,
    JobDetail,
    JobEvent,
    JobRecord,
    Lesson,
    NewJob,
    Refusal,
    Usage,
    Waiting,
)
from bridge.events import Event
from bridge.fdl.model import Service
from bridge.scheduler.model import Decision, Snapshot
from bridge.storage.protocol import ObjectInfo
from bridge.targets import Job, JobState

__all__ = [
    "Bundles",
    "Decide",
    "Forgets",
    "JobStore",
    "Leases",
    "Listing",
    "Notifies",
    "Place",
    "Routes",
    "Tracing",
    "Withdraws",
]

Place = tuple[str, str, str]
"""Where objects are looked for: provider, bucket, prefix."""

Listing = Callable[[str, str, str], Iterable[ObjectInfo]]
"""(provider, bucket, prefix) → the objects there now."""


class Routes(Protocol):
    """Which services an object starts."""

    def match(self, provider: str, bucket: str, key: str) -> tuple[str, ...]:
        """Names of the services that have an input path which this object is in."""
        ...


class Decide(Protocol):
    """Placement: a pure function of its arguments. PlacementError when nothing can run it."""

    def __call__(
        self, service: Service, event: Event | None, snapshot: Snapshot, /, *, seed: int = 0
    ) -> Decision:
        """Choose a target for one job."""
        ...


class Tracing(Protocol):
    """Says in which trace jobs are."""

    def accepting(
        self, items: Sequence[NewJob], parent: str
    ) -> AbstractContextManager[Sequence[NewJob]]:
        """Around the commit of these jobs: the same with their `trace`; `parent` is a caller's."""
        ...


@runtime_checkable
class Notifies(Protocol):
    """A target that can say when `poll` has news, so that nobody waits for the next tick."""

    def on_news(self, wake: Callable[[], None]) -> None:
        """Call `wake`, from any thread, whenever there is news; it returns at once."""
        ...


@runtime_checkable
class Forgets(Protocol):
    """A target that repeats final states until it is told that they are recorded."""

    def forget(self, job: str) -> None:
        """Do not report this job any more."""
        ...


@runtime_checkable
class Leases(Protocol):
    """A target that may have a job that it did not confirm; asked before another gets the job."""

    def has_let_go(self, job: Job, since: float | None) -> bool:
        """Whether the attempt will not run there any more, or nobody could know for too long.

        `since` is when the target confirmed it, in seconds since the epoch; None when it did not.
        """
        ...


@runtime_checkable
class Withdraws(Protocol):
    """A target that can give an attempt back which has not begun."""

    def withdraw(self, job: Job, handle: str) -> bool | None:
        """Ask for the attempt back, if need be more than once; also what another process submitted.

        True: it does not run there and never will; False: it has begun, or is over; None: it is
        not known yet, so ask again. Nobody submits the attempt while its target is asked. `handle`
        is what `submit` has answered, "" when that is not known. TemporaryError when the target
        cannot be asked.
        """
        ...


@runtime_checkable
class Bundles(Protocol):
    """A target that takes many jobs of one service in one call. They are followed one by one."""

    @property
    def bundle_sizes(self) -> tuple[int, int]:
        """How few and how many jobs a bundle may have."""
        ...

    def prepare(self, jobs: Sequence[Job]) -> str:
        """Make a bundle ready; its root, which is never the same twice. Nothing of it runs yet."""
        ...

    def launch(self, service: str, root: str, size: int) -> str:
        """Submit a bundle; the root of the handles of its jobs, `<root>:<number>` from 0."""
        ...

    def settle(self, service: str, root: str) -> str:
        """What `launch` has answered; "" when it was not called and cannot succeed any more.

        TemporaryError as long as that is not known.
        """
        ...

    def follow(self, job: str, attempt: int, handle: str, service: str) -> None:
        """Tell of this run as of one that `submit` has answered for."""
        ...


class JobStore(Protocol):
    """The durable state of the queue. Thread-safe; many processes may share one.

    Writes are committed when a method returns. Errors: TemporaryError when the store cannot take
    a write now (locked, full, closed): nothing of it was kept. PermanentError when the store
    itself is broken or newer than this program.

    An owner is a dispatcher. Its jobs are free for others when it has no lease, or when the lease
    ran out.
    """

    def accept(self, items: Sequence[NewJob], at: float) -> list[Accepted]:
        """Make jobs of events, once each, all or none; survives the loss of power on return."""
        ...

    def refuse(self, refusal: Refusal) -> None:
        """Keep a malformed event, its body cut to 64 KiB; only the newest refusals are kept."""
        ...

    def ignore(self, events: Sequence[Ignored]) -> None:
        """Count events that no service asks for, and keep the newest of them."""
        ...

    def lease(self, owner: str, until: float) -> None:
        """Say that the owner lives until then."""
        ...

    def release(self, owner: str) -> None:
        """End the owner's lease: its jobs are free."""
        ...

    def owners(self) -> Mapping[str, float]:
        """Every owner that has a lease, and until when."""
        ...

    def claim(
        self,
        owner: str,
        state: JobState,
        now: float,
        limit: int,
        target: str = "",
    ) -> list[JobRecord]:
        """Take free jobs in this state (of this target) that are due, the longest due first.

        Where several shares have such jobs, each has as many turns as any other, from one call to
        the next, too.
        """
        ...

    def take(self, owner: str, job: JobRecord, now: float) -> bool:
        """Take this one job; False when it is not free any more, or not as it was."""
        ...

    def waiting(
        self, owner: str, services: Sequence[str], before: float, now: float, limit: int
    ) -> list[Waiting]:
        """Jobs of these services that were placed before that time and do not run yet.

        They are free, or with a target by this owner. For each service on each target `limit` at
        most, and of those the ones that most others are ahead of, the last one first. Those that
        are being taken back already are left out.
        """
        ...

    def change(self, changes: Sequence[Change]) -> list[JobEvent | None]:
        """Carry out each change that the rules allow; None where they do not.

        The rules: the change is about the job's present attempt; a final state never changes; a
        state never goes back within an attempt; the same state again only fills in fields (and
        the answer's `previous` equals its `state`).
        """
        ...

    def watch(self, callback: Callable[[Sequence[JobEvent]], None]) -> Callable[[], None]:
        """Call back after each commit of this process with what it changed, in order of commits.

        The callback must return at once and must not use the store. The answer ends it.
        """
        ...

    def stopped(self, job: str, *, done: bool = True) -> None:
        """The target was told to cancel the job; with `done=False`, it still has to be told."""
        ...

    def met(self, expected: Sequence[Expected]) -> None:
        """Do not expect these any more."""
        ...

    def next_due(self, state: JobState, now: float, target: str = "") -> float | None:
        """When the next free job in this state is due, a time that is past for one that is now;
        None when there is none."""
        ...

    def job(self, job: str) -> JobRecord | None:
        """One job, None when there is none of that name."""
        ...

    def detail(self, job: str) -> JobDetail | None:
        """One job with its attempts, decisions and outputs."""
        ...

    def jobs(
        self,
        *,
        states: Sequence[JobState] = (),
        service: str = "",
        target: str = "",
        caller: str = "",
        owned: Sequence[str] = (),
        stop: bool = False,
        shown: bool = False,
        newest: bool = False,
        after: str = "",
        limit: int = 1000,
    ) -> list[JobRecord]:
        """Jobs that match, in the order they were accepted; `after` continues behind that job.

        A `caller`'s jobs are those that he called, and with `owned` all jobs of these services,
        too. `shown` leaves out those that were hidden.
        """
        ...

    def left(self, service: str, after: str = "", *, caller: str = "") -> int:
        """How many jobs of the service (and the caller) are shown behind that job, or in all."""
        ...

    def hide(self, service: str, *, job: str = "", states: Sequence[JobState] = ()) -> None:
        """Put away jobs of the service (one, or those in some states); they stay known."""
        ...

    def counts(self) -> Mapping[tuple[str, JobState], int]:
        """How many jobs each service has in each state."""
        ...

    def usage(self, since: float, until: float, *, service: str = "") -> list[Usage]:
        """What the jobs (of one service) have used that were accepted in that time, hidden ones
        included."""
        ...

    def loads(
        self, heard: Callable[[Mapping[tuple[str, JobState], int]], None] | None = None
    ) -> Mapping[tuple[str, JobState], int]:
        """How many open jobs each target has in each state; target "" is not placed yet.

        `heard` gets the answer as `watch` gets news: in the order of this process's commits.
        """
        ...

    def expected(self, before: float | None = None) -> list[Expected]:
        """Follow-ups that have not come; only those since before that time when it is given."""
        ...

    def quiet(self) -> bool:
        """True when no job is open and no follow-up is missing."""
        ...

    def refusals(self, limit: int = 100) -> list[Refusal]:
        """The newest malformed events."""
        ...

    def ignored(self, limit: int = 100) -> list[Ignored]:
        """The newest events that no service asked for."""
        ...

    def totals(self) -> Mapping[str, int]:
        """Counters since the store was made: `refused` and `ignored`."""
        ...

    def lessons(self, limit: int) -> list[Lesson]:
        """Attempts that are over and that nothing was learned from yet, those of old jobs first."""
        ...

    def kept(self, since: int = 0) -> tuple[int, Mapping[str, str]]:
        """What was learned: its version, and the texts by name that changed after that version."""
        ...

    def learned(self, version: int, changes: Mapping[str, str], of: Sequence[Lesson]) -> bool:
        """Keep these texts as the next version (an empty one: no more), and be done with these
        lessons, both or neither.

        False, and nothing is kept, when the version is not `version` any more.
        """
        ...

    def relearn(self, mark: tuple[str, str]) -> None:
        """Forget what was learned and learn from history again (the newest 100,000 jobs), unless
        the text `mark` is kept already; it is kept then."""
        ...

    def close(self) -> None:
        """Finish what was begun, then refuse everything."""
        ...
