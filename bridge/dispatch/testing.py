"""A target that runs nothing and obeys the contract: for tests, and for trying out a dispatcher."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.dispatch.model import Output
from bridge.errors import BridgeError, NotFoundError
from bridge.fdl.model import Service, TargetKind, TargetSpec
from bridge.targets import Job, JobState, JobUpdate

__all__ = ["BusyTarget", "FakeTarget", "Outcome"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of one attempt of a job.

    `refuse` is raised by `submit`. Otherwise the job runs for `polls` calls of `poll` (None: drawn
    from the target's seed) and ends in `state`; with `hold` it runs until `FakeTarget.let_go`.
    """

    state: JobState = JobState.SUCCEEDED
    exit_code: int | None = 0
    reason: str = ""
    temporary: bool = False
    outputs: tuple[Output, ...] = ()
    polls: int | None = None
    hold: bool = False
    refuse: BridgeError | None = None


@dataclass(slots=True)
class _Run:
    job: Job
    outcome: Outcome
    left: int
    handle: str
    told: JobState = JobState.SUBMITTED
    cancelled: bool = False


@dataclass(slots=True)
class FakeTarget:
    """A Target in memory. `script` says what becomes of each submit; all succeed without one.

    Time is virtual: it goes by one with each `poll`, and a run takes 1 to `longest` of it, drawn
    from `seed` and the job. `submits` and `cancels` record the calls that reached it, `runs` the
    runs that began: a second submit of a job and attempt is the same run and begins none.
    With `push`, the dispatcher is told when there is something to poll.
    """

    name: str = "fake"
    kind: TargetKind = "local"
    slots: int | None = None
    script: Callable[[Job], Outcome] | None = None
    seed: int = 0
    longest: int = 3
    push: bool = False
    spec: TargetSpec = field(init=False)
    submits: list[Job] = field(default_factory=list)
    runs: list[Job] = field(default_factory=list)
    cancels: list[str] = field(default_factory=list)
    deployed: set[str] = field(default_factory=set)
    closed: bool = False
    _open: dict[str, _Run] = field(default_factory=dict)
    _known: dict[str, _Run] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _wake: Callable[[], None] | None = None
    _free: bool = False

    def __post_init__(self) -> None:
        self.spec = TargetSpec(self.name, self.kind, slots=self.slots)

    def deploy(self, services: Sequence[Service]) -> None:
        """Remember the names."""
        self.deployed |= {service.name for service in services}

    def remove(self, services: Sequence[str]) -> None:
        """Forget the names."""
        self.deployed -= set(services)

    def on_news(self, wake: Callable[[], None]) -> None:
        """See bridge.dispatch.Notifies; used with `push`."""
        self._wake = wake

    def submit(self, job: Job) -> str:
        """Begin a run as the script says; the handle is `<target>/<job>/<attempt>`."""
        with self._lock:
            self.submits.append(job)
            known = self._known.get(job.id)
            if known is not None and known.job.attempt >= job.attempt:
                return known.handle
            outcome = self.script(job) if self.script else Outcome()
            if outcome.refuse is not None:
                raise outcome.refuse
            run = _Run(
                job, outcome, self._polls(job, outcome), f"{self.name}/{job.id}/{job.attempt}"
            )
            self.runs.append(job)
            self._known[job.id] = self._open[job.id] = run
        if self.push and self._wake:
            self._wake()
        return run.handle

    def _polls(self, job: Job, outcome: Outcome) -> int:
        if outcome.polls is not None:
            return outcome.polls
        chance = random.Random(f"{self.seed}:{job.id}:{job.attempt}")  # noqa: S311  a fake delay
        return chance.randint(1, self.longest)

    def poll(self) -> Iterable[JobUpdate]:
        """Let time go by one, and tell what changed; final states until `forget`."""
        with self._lock:
            updates = [u for run in self._open.values() if (u := self._step(run)) is not None]
        if self.push and self._wake and updates:
            self._wake()
        return updates

    def _step(self, run: _Run) -> JobUpdate | None:
        run.left -= 1
        if run.cancelled:
            return JobUpdate(run.job.id, JobState.CANCELLED, handle=run.handle, reason="cancelled")
        if run.left <= 0 and (self._free or not run.outcome.hold):
            return self._final(run)
        if run.told is JobState.RUNNING:
            return None
        run.told = JobState.RUNNING
        return JobUpdate(run.job.id, JobState.RUNNING, handle=run.handle)

    def _final(self, run: _Run) -> JobUpdate:
        outcome = run.outcome
        return JobUpdate(
            run.job.id,
            outcome.state,
            handle=run.handle,
            exit_code=outcome.exit_code,
            reason=outcome.reason,
            temporary=outcome.temporary,
            log=f"log/{run.handle}",
            report=self._report(run),
        )

    def _report(self, run: _Run) -> dict[str, Any]:
        outputs = [
            {"provider": o.provider, "bucket": o.bucket, "key": o.key, "size": o.size}
            | {"etag": o.etag}
            for o in run.outcome.outputs
        ]
        return {
            "job": run.job.id,
            "attempt": run.job.attempt,
            "service": run.job.service,
            "state": run.outcome.state.value,
            "exit_code": run.outcome.exit_code,
            "reason": run.outcome.reason,
            "outputs": outputs,
        }

    def let_go(self) -> None:
        """End the runs that are held, at the next poll; from now on none is held."""
        with self._lock:
            self._free = True
        if self.push and self._wake:
            self._wake()

    def forget(self, job: str) -> None:
        """See bridge.dispatch.Forgets."""
        with self._lock:
            self._open.pop(job, None)

    def cancel(self, job: str) -> None:
        """Stop a run; its final state is `cancelled`."""
        with self._lock:
            self.cancels.append(job)
            if job in self._open:
                self._open[job].cancelled = True

    def logs(self, job: str) -> Iterator[str]:
        """One line for each run of the job."""
        runs = [run for run in self.runs if run.id == job]
        if not runs:
            raise NotFoundError(f"there is no log of job {job} on {self.name}")
        return iter([f"attempt {run.attempt} of {run.id}" for run in runs])

    def close(self) -> None:
        """Remember that it was called."""
        self.closed = True


@dataclass(slots=True)
class BusyTarget(FakeTarget):
    """A FakeTarget that takes all jobs, runs `room` at a time, and gives back those that wait.

    Of `answers` the first is taken for each `withdraw` that finds its job waiting; without any, it
    gives the job back at once. Time is counted in polls, as in a FakeTarget.
    """

    room: int = 1
    answers: list[bool | None] = field(default_factory=list)
    withdrawn: list[Job] = field(default_factory=list)
    _fenced: set[tuple[str, int]] = field(default_factory=set)

    def submit(self, job: Job) -> str:
        """As FakeTarget, but never what was given back."""
        with self._lock:
            if (job.id, job.attempt) in self._fenced:
                self.submits.append(job)
                return f"{self.name}/{job.id}/{job.attempt}"
            return FakeTarget.submit(self, job)

    def withdraw(self, job: Job, handle: str) -> bool | None:
        """See bridge.dispatch.protocol.Withdraws."""
        del handle
        with self._lock:
            run = self._open.get(job.id)
            if run is not None and run.told is JobState.RUNNING:
                return False
            answer = self.answers.pop(0) if self.answers else True
            if answer:
                self._open.pop(job.id, None)
                self._fenced.add((job.id, job.attempt))
                self.withdrawn.append(job)
            return answer

    def _step(self, run: _Run) -> JobUpdate | None:
        running = sum(one.told is JobState.RUNNING for one in self._open.values())
        if run.told is JobState.RUNNING or run.cancelled or running < self.room:
            return FakeTarget._step(self, run)
        return None
