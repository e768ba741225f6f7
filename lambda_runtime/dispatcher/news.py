"""What functions' destinations and Batch say about jobs, as messages."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from bridge.dispatch.model import JobDetail, JobRecord
from bridge.errors import EventError, PermanentError
from bridge.targets import JobState, JobUpdate
from bridge.targets.aws.arrays import Member, array_root, child_of, member_of
from lambda_runtime.dispatcher.burst import Part
from lambda_runtime.dispatcher.moving import Moving
from lambda_runtime.dispatcher.worker import GO_ON, Worker
from lambda_runtime.dispatcher.world import World

__all__ = ["News"]

LOG: Final = logging.getLogger("oscar-bridge")
_BATCH_EVENT: Final = "Batch Job State Change"
_OVER: Final = ("SUCCEEDED", "FAILED")


class News:
    """Records what messages say. The same message again changes nothing."""

    def __init__(self, world: World, worker: Worker, moving: Moving) -> None:
        self._world = world
        self._worker = worker
        self._moving = moving

    def take(self, message: object, part: Part) -> None:
        """One message, as its JSON. EventError when it is not one that we know.

        A job that goes on may be left to the message's `part` of a burst.
        """
        if not isinstance(message, dict):
            raise EventError("a message about jobs must be a JSON object")
        if isinstance(own := message.get(GO_ON), dict):
            self._worker.resume(str(own.get("job")), int(own.get("attempt") or 0), part=part)
        elif message.get("detail-type") == _BATCH_EVENT:
            detail = message.get("detail")
            if not isinstance(detail, dict) or not {"jobId", "jobName", "status"} <= detail.keys():
                raise EventError("the event of Batch names no job")
            self.of_batch(detail)
        elif "requestPayload" in message and "requestContext" in message:
            self._of_function(message)
        else:
            raise EventError("the message is neither a function's record nor an event of Batch")

    def _of_function(self, message: Mapping[str, Any]) -> None:
        self._world.services()
        payload = message.get("requestPayload")
        job = str(payload.get("job_id", "")) if isinstance(payload, dict) else ""
        detail = self._world.table.detail(job) if job else None
        if detail is None:
            LOG.info("an invocation that is none of our jobs has ended")
            return
        if detail.job.state.final:
            return
        update = self._read(message, detail)
        if update is not None:
            self._worker.learn(update, detail)

    def _read(self, message: Mapping[str, Any], detail: JobDetail) -> JobUpdate | None:
        """What the record says; a hand-over that is refused for good ends the attempt."""
        try:
            return self._world.lambdas.read(message)
        except PermanentError as error:
            why = f"it came to a limit and Batch does not take it: {error.message}"
            return JobUpdate(detail.job.id, JobState.FAILED, reason=why)

    def of_batch(self, found: Mapping[str, Any]) -> None:
        """Batch's own words about a job of it: a described job, or the detail of an event."""
        handle, name = str(found["jobId"]), str(found["jobName"])
        number = child_of(handle)[1]
        if (found.get("arrayProperties") or {}).get("size") and not number:
            self._of_array(handle, found)
            return
        child = member_of(self._world.account, name, int(number)) if number else None
        detail = self._world.table.detail(child.job if child else name)
        if detail is None:
            LOG.info("Batch job %s (%s) is none of ours", handle, name)
        elif not detail.job.state.final and (
            self._is_present_child(handle, name, child, detail.job)
            if child
            else self._is_present(handle, detail)
        ):
            self.learn_of_batch(found, detail)

    def _of_array(self, handle: str, found: Mapping[str, Any]) -> None:
        """An array is over: so are its children, should one's own news be lost."""
        if found["status"] not in _OVER:
            return
        children = [f"{handle}:{number}" for number in range(found["arrayProperties"]["size"])]
        for one in self._world.batches.describe(children):
            self.of_batch(one)

    def learn_of_batch(self, found: Mapping[str, Any], detail: JobDetail) -> None:
        """The same, when it is known to be about the job's present attempt."""
        world, job = self._world, detail.job
        if job.moving and found["status"] == "FAILED" and not found.get("startedAt"):
            # It was cancelled because we asked for it.
            self._moving.ask(job)
            return
        known, claim = world.service(job.service), None
        if found["status"] in _OVER and (known is None or known.at.hands_over):
            claim = world.account.claims.read(job.id, job.attempt)
        before = claim.run if claim else {}
        self._worker.learn(world.batches.read(found, job.id, job.attempt, before), detail)

    @staticmethod
    def _is_present_child(handle: str, name: str, child: Member, job: JobRecord) -> bool:
        """The same of a child of an array, which may not be on record as submitted yet."""
        number = child_of(handle)[1]
        there = job.handle in (handle, f"{array_root(name)}:{number}")
        return there and child.attempt == job.attempt

    def _is_present(self, handle: str, detail: JobDetail) -> bool:
        """Whether this Batch job runs the present attempt.

        Its handle may not be recorded yet; then the claim of the attempt knows it.
        """
        job = detail.job
        if handle == job.handle:
            return True
        if any(handle == earlier.handle for earlier in detail.attempts[:-1]):
            return False
        claim = self._world.account.claims.read(job.id, job.attempt)
        return claim is not None and claim.batch_job in (handle, "")
