"""accepted → placed → submitted: each step is recorded, and may be taken again by anybody.

Between any two lines the process may end. What was accepted is in the table, and the message that
brought it comes again, or the reconciliation finds it: then the work goes on at the step where it
stopped, with the target that was recorded. Of an attempt that was submitted twice one run goes on
(see `bridge.storage.claims`).
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace
from typing import Final

from bridge.dispatch import steps
from bridge.dispatch.model import Change, JobDetail, JobRecord, NewJob
from bridge.errors import BridgeError, PermanentError, TemporaryError
from bridge.events import Event, job_id
from bridge.scheduler import Decision
from bridge.targets import JobState, JobUpdate
from bridge.targets.aws.account import translated
from bridge.targets.aws.arrays import child_of, members_of
from bridge.targets.aws.common import update_from_report
from bridge.targets.aws.submission import find_job
from lambda_runtime.dispatcher.burst import Part, Placing, job_of
from lambda_runtime.dispatcher.registry import Known
from lambda_runtime.dispatcher.world import World

__all__ = ["GO_ON", "Worker"]

LOG: Final = logging.getLogger("oscar-bridge")

GO_ON: Final = "oscar-bridge"
"""The key of our own messages: a job whose next try is due."""

_LONGEST_DELAY: Final = 900
# Lambda keeps an asynchronous event for six hours.
_LONGEST_EVENT: Final = 7 * 3600.0
_FENCE: Final = "dispatcher"
_NOT_WITH_A_TARGET: Final = (JobState.ACCEPTED, JobState.PLACED)


class Worker:
    """Makes jobs of events and takes each as far as its target."""

    def __init__(self, world: World) -> None:
        self._world = world

    # --- accepting --------------------------------------------------------------------------

    def accept(
        self,
        service: str,
        event: Event,
        *,
        again: bool,
        part: Part | None = None,
        parent: str = "",
    ) -> str:
        """Make a job and hand it over; its name. Durable as soon as it is in the table.

        A job that is known is somebody's already, unless the message that brings it comes `again`:
        then whoever had it may have died. With a `part` of a burst it may be left to that;
        `parent` is a caller's `traceparent`.
        """
        job = NewJob(job_id(service, event), service, event)
        now = self._world.clock()
        with self._world.accepting(job, parent) as traced:
            new = self._world.table.accept(traced, now)
        if new:
            state = JobState.ACCEPTED
            record = JobRecord(job.id, service, event, state, accepted=now, due=now)
            self.advance(replace(record, trace=traced.trace), part=part)
        elif again:
            self.resume(job.id, part=part)
        return job.id

    def resume(self, job: str, attempt: int = 0, *, part: Part | None = None) -> None:
        """Go on with a job that is not with its target yet, as far as anybody knows."""
        record = self._world.table.job(job)
        if record is None or record.state not in _NOT_WITH_A_TARGET or record.moving:
            return
        if attempt in (0, record.attempt):
            self.advance(record, again=True, part=part)

    # --- placing ----------------------------------------------------------------------------

    def advance(self, job: JobRecord, *, again: bool = False, part: Part | None = None) -> None:
        """Take the next steps of an open job, up to its target or into a burst."""
        if job.state is not JobState.ACCEPTED:
            if not (again and self._is_over(job)):
                self.submit(job)
            return
        decided = self._decide(job)
        if decided is not None and not (part and part.takes(decided)):
            self.place(decided)

    def place(self, one: Placing) -> None:
        """Put its target on record and submit it, alone."""
        placed = self.keep(one)
        if placed is not None:
            self.submit(placed)

    def keep(self, one: Placing, handle: str = "") -> JobRecord | None:
        """Put its target on record; None when another was faster."""
        change = steps.placed(one.job, one.decision, self._world.clock())
        change = replace(change, handle=handle or None)
        if not self._world.table.change(change, only_from=(JobState.ACCEPTED,)):
            return None
        target = one.decision.target
        return replace(one.job, state=JobState.PLACED, target=target, tries=0, handle=handle)

    def _decide(self, job: JobRecord) -> Placing | None:
        """None when it cannot be placed (now)."""
        world = self._world
        known = world.service(job.service)
        if known is None:
            self.fail(job, f"service {job.service} is not deployed here")
            return None
        try:
            decision = self._decided(job, known)
        except PermanentError as error:
            self.fail(job, error.message)
            return None
        if decision.waits:
            later = steps.waiting(job, decision, world.clock(), world.settings)
            if world.table.change(later, only_from=(JobState.ACCEPTED,)):
                self.wake(later)
            return None
        if not decision.target:
            self.fail(job, decision.reason, decision)
            return None
        world.reserve(decision.target)
        return Placing(job, known, decision)

    def _decided(self, job: JobRecord, known: Known) -> Decision:
        """Without the targets that the job has been to in vain, if any other can run it."""
        world, seed = self._world, steps.seed(job.id)
        snapshot, decided = world.snapshot(known), world.environment.trial.decide
        left = steps.left_by(world.table.detail(job.id) if job.attempt > 1 else None)
        if left:
            found = decided(known.service, job.event, steps.without(snapshot, left), seed=seed)
            if found.target:
                return found
        return decided(known.service, job.event, snapshot, seed=seed)

    def fail(self, job: JobRecord, why: str, decision: Decision | None = None) -> None:
        """The end of a job that nothing can run; the reason is in the dead-letter queue."""
        self.end(job, steps.failed(job, why, self._world.clock(), decision))

    def end(self, job: JobRecord, change: Change) -> bool:
        """Leave a letter and record the end, in this order: a second letter is better than none.

        False when another has recorded one.
        """
        self._world.letters.send(
            change.reason or "no reason given",
            source="dispatcher",
            service=job.service,
            job=job.id,
            body=_described(job),
        )
        return self._change(job, change)

    def _change(self, job: JobRecord, change: Change) -> bool:
        """A change that may end an attempt: what that has cost is counted with it."""
        done = self._world.table.change(change, costs=self._world.cost_of(job, change))
        if done and change.state.final and job.trace:
            self._world.ended(job.id)
        return done

    # --- submitting -------------------------------------------------------------------------

    def _is_over(self, job: JobRecord) -> bool:
        """Whether an attempt that was submitted, but not recorded, has left its report already."""
        account = self._world.account
        update = update_from_report(account, job.id, job.attempt, job.handle, job.log)
        return update is not None and self.learn(update, JobDetail(job))

    def submit(self, job: JobRecord) -> None:
        """Hand a placed job to its target; one of an array when it is settled that it goes alone.

        What goes wrong is on record.
        """
        world = self._world
        known = world.service(job.service)
        target = known and world.target(known, job.target)
        if not known or not target:
            self.fail(job, f"service {job.service} is not deployed on {job.target}")
            return
        try:
            if job.handle and (child := self._launched(job)):
                self.submitted(job, child)
            elif not job.handle or self._leaves_array(job):
                with world.breakers.around(job.target):
                    handle = target.submit(job_of(job))
                self.submitted(job, handle)
        except (TemporaryError, PermanentError) as error:
            self.not_taken(job, known, error)

    def not_taken(self, job: JobRecord, known: Known, error: BridgeError) -> None:
        """The target has answered a submit with this."""
        if isinstance(error, TemporaryError):
            self._refused(job, known, error)
        else:
            self.fail(job, f"{job.target} does not take it: {error.message}")

    def _launched(self, job: JobRecord) -> str:
        """The handle of a job that was placed in an array; "" when that is never submitted.

        An array that is whole is submitted now, whoever has made it and was stopped, or refused.
        """
        root = job.handle.rpartition(":")[0]
        size = self._whole(root)
        if not size:
            return self._settled(job)
        with self._world.breakers.around(job.target):
            launched = self._world.batches.launch(job.service, root, size)
        return f"{launched}:{job.handle.rpartition(':')[2]}"

    def _whole(self, root: str) -> int:
        """How many jobs an array has; 0 unless all are placed in it.

        A job leaves one only when it is settled that this is never submitted.
        """
        world = self._world
        members = members_of(world.account, child_of(root)[0])
        for number, one in enumerate(members):
            job = world.table.job(one.job)
            there = job is not None and job.state is JobState.PLACED and not job.moving
            if not there or job is None or job.handle != f"{root}:{number}":
                return 0
        return len(members)

    def _settled(self, job: JobRecord) -> str:
        """The handle of a job in an array that was submitted; "" when it never will be."""
        root, _, number = job.handle.rpartition(":")
        launched = self._world.batches.settle(job.service, root)
        return f"{launched}:{number}" if launched else ""

    def _leaves_array(self, job: JobRecord) -> bool:
        """From now on the job goes alone; False when somebody else has seen to it."""
        change = Change(job.id, job.attempt, JobState.PLACED, self._world.clock(), handle="")
        return self._world.table.change(change, only_from=(JobState.PLACED,), handle=job.handle)

    def submitted(self, job: JobRecord, handle: str) -> None:
        """The target has it."""
        world = self._world
        state, now = JobState.SUBMITTED, world.clock()
        world.table.change(
            Change(job.id, job.attempt, state, now, handle=handle or None, tries=job.tries)
        )

    def _refused(self, job: JobRecord, known: Known, error: TemporaryError) -> None:
        """Try again after a while; then go to the fallback target, or be dead."""
        world = self._world
        later = steps.submit_later(job, error, world.clock(), world.settings)
        if later is not None:
            if world.table.change(later):
                self.wake(later)
            return
        tries = job.tries + 1
        why = f"{job.target} did not take it in {tries} tries; the last: {error.message}"
        arrived = self._arrived(job, known)
        if arrived is not None:
            self.submitted(job, arrived)
            return
        detail = world.table.detail(job.id)
        names = [name for name in known.document.targets if world.target(known, name)]
        fallback = steps.next_fallback(detail, names)
        elsewhere = steps.can_go_elsewhere(detail, names)
        if fallback and not world.spending.allows(known.service, steps.cost_on(detail, fallback)):
            # A new decision knows until when that is so.
            fallback, elsewhere = "", True
        given = replace(job, tries=tries)
        change = steps.given_up(given, why, fallback, world.clock(), elsewhere=elsewhere)
        if change.state.final:
            self.end(job, change)
        elif world.table.change(change):
            self.advance(_next(job, change))

    def place_anew(self, job: JobRecord) -> None:
        """Its target has given the attempt back: it has not run there, and will not."""
        change = steps.placed_anew(job, job.reason, self._world.clock())
        if self._world.table.change(change):
            self.advance(_next(job, change))

    def hand_over(self, job: JobRecord) -> None:
        """Finish a hand-over to Batch that stopped half-way."""
        world = self._world
        handle = world.batches.submit(job_of(job))
        state, now = JobState.RUNNING, world.clock()
        world.table.change(Change(job.id, job.attempt, state, now, handle=handle))

    def _arrived(self, job: JobRecord, known: Known) -> str | None:
        """The handle of a submit that was refused and did arrive, "" when only that is known.

        None when it did not, and then it does not run later either: its claim is ours.
        """
        world = self._world
        alone = world.target(known, job.target) is world.batches
        if alone and job.handle:
            return self._settled(job) or None
        claim = world.account.claims.take(
            job.id, job.attempt, _FENCE, world.clock() + _LONGEST_EVENT
        )
        if alone and claim.holder == _FENCE and claim.again and not claim.batch_job:
            return find_job(world.account, known.at.queue, job.id) or None
        return None if claim.holder == _FENCE else claim.batch_job

    def wake(self, change: Change) -> None:
        """Send ourselves a message for when the job is due again.

        Should it be lost, the reconciliation takes its place.
        """
        world = self._world
        attempt = change.attempt + change.again
        wait = math.ceil(max(0.0, (change.due or 0.0) - world.clock()))
        try:
            with translated("queue of job states"):
                world.account.client("sqs").send_message(
                    QueueUrl=world.environment.states,
                    MessageBody=json.dumps({GO_ON: {"job": change.job, "attempt": attempt}}),
                    DelaySeconds=min(wait, _LONGEST_DELAY),
                )
        except BridgeError as error:
            LOG.warning("job %s waits for the reconciliation: %s", change.job, error)

    # --- news -------------------------------------------------------------------------------

    def learn(self, update: JobUpdate, detail: JobDetail) -> bool:
        """Record what a target said; False when it says nothing new."""
        change = steps.change_of(update, steps.watched_of(detail), self._world)
        if change is None:
            return False
        if change.state is JobState.DEAD:
            recorded = self.end(detail.job, change)
        else:
            recorded = self._change(detail.job, change)
        if recorded and change.again:
            self.wake(change)
        return True


def _next(job: JobRecord, change: Change) -> JobRecord:
    """The job as it is after a change that begins another attempt."""
    fresh = replace(job, attempt=job.attempt + 1, tries=0, handle="", log="", moving=False)
    return replace(fresh, state=change.state, target=change.target or "")


def _described(job: JobRecord) -> str:
    """The job's event, for whoever reads the letter and wants it to run after all."""
    event = job.event
    if event.is_storage:
        return json.dumps(event.record, default=str)
    return (event.body or b"").decode(errors="replace")
