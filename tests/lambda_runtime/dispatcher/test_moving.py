"""Jobs that wait too long where they are: taken back, and only then placed anew."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import pytest

from bridge.dispatch import JobRecord
from bridge.targets import JobState
from tests.lambda_runtime.dispatcher.world import FDL, Killed, Lab, Queue, burst, queued

BOTH = ("aws-batch", "aws-lambda")
# The policy of the file first says Batch: it is the one of two that is free.
FASTEST = FDL.replace("placement: {{", "placement: {{policy: fastest, ")


def waiting(lab: Lab, *names: str, arrays: bool = False) -> Sequence[JobRecord]:
    """Jobs of a service that are in Batch's queue, with a Lambda side that could take them."""
    lab.now = time.time()
    lab.deploy("grey", fdl=FASTEST, targets=("aws-batch",), arrays=arrays)
    lab.restart()
    lab.dispatcher.events(queued(*burst(len(names), "grey")))
    lab.deploy("grey", fdl=FASTEST, targets=BOTH, arrays=arrays)
    lab.restart()
    jobs = lab.jobs()
    assert {(job.state, job.target) for job in jobs} == {(JobState.SUBMITTED, "aws-batch")}
    return sorted(jobs, key=lambda job: job.handle)


def look(lab: Lab, seconds: float) -> dict[str, int]:
    lab.now += seconds
    return lab.dispatcher.waiting()


def cancelled(queue: Queue, job: JobRecord) -> dict[str, Any]:
    """What Batch tells of a job that it did not begin."""
    detail = {"jobId": job.handle, "jobName": queue.jobs[0]["jobName"], "status": "FAILED"}
    number = job.handle.partition(":")[2]
    shape = {"arrayProperties": {"index": int(number)}} if number else {}
    kind = {"detail-type": "Batch Job State Change", "source": "aws.batch"}
    return queued({**kind, "detail": {**detail, **shape, "statusReason": "it waited too long"}})


@pytest.mark.parametrize("arrays", [False, True])
def test_what_waits_in_batch_goes_to_lambda_when_batch_has_given_it_back(
    lab: Lab, queue: Queue, *, arrays: bool
) -> None:
    jobs = waiting(lab, "a", "b", arrays=arrays)
    assert look(lab, 30.0) == {}, "it has not waited long"
    queue.running = {jobs[1].handle}
    assert look(lab, 300.0)["moved"] == 2
    # One had begun, the other is asked back; it is nobody's to run until Batch says so.
    first, second = (lab.world.table.job(job.id) for job in jobs)
    assert first is not None and second is not None
    assert (second.state, second.moving, second.target) == (JobState.RUNNING, False, "aws-batch")
    assert (first.state, first.moving) == (JobState.SUBMITTED, True)
    assert queue.cancelled == [jobs[0].handle] and lab.lambdas.noted.runs == []
    lab.dispatcher.states(cancelled(queue, first))
    lab.dispatcher.states(cancelled(queue, first))
    detail = lab.world.table.detail(first.id)
    assert detail is not None
    moved = detail.job
    assert (moved.state, moved.target, moved.attempt) == (JobState.SUBMITTED, "aws-lambda", 2)
    assert [one.state for one in detail.attempts] == [JobState.CANCELLED, JobState.SUBMITTED]
    assert "waited 3" in detail.attempts[0].reason
    # Every decision is kept, for whoever asks why.
    assert [one["target"] for one in detail.decisions] == ["aws-batch", "aws-lambda"]
    assert lab.lambdas.noted.runs == [(first.id, 2)] and lab.letters() == []


def test_killed_while_it_moves_a_job_it_runs_in_one_place(lab: Lab, queue: Queue) -> None:
    (job,) = waiting(lab, "a")
    cancel, left = queue.cancel_job, 0

    def burning(work: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return work(*args, **more)

        return call

    # Before the mark, before Batch is asked, not at all, before the next attempt and its target.
    for allowed, killed in ((0, True), (1, True), (1, False), (0, True), (1, True)):
        lab.now, left = lab.now + 300.0, allowed
        lab.world.table.change = burning(lab.world.table.change)  # type: ignore[method-assign]
        queue.cancel_job = burning(cancel)  # type: ignore[method-assign]
        with pytest.raises(Killed) if killed else nullcontext():
            lab.dispatcher.waiting()
        assert lab.lambdas.noted.runs == []
        lab.restart()
    queue.cancel_job = cancel  # type: ignore[method-assign]
    look(lab, 300.0)
    lab.dispatcher.reconcile(30.0)
    found = lab.world.table.job(job.id)
    assert found is not None
    assert (found.state, found.target, found.attempt) == (JobState.SUBMITTED, "aws-lambda", 2)
    assert lab.lambdas.noted.runs == [(job.id, 2)] and queue.cancelled == [job.handle]


def test_a_service_without_a_choice_and_one_that_is_pinned_wait(lab: Lab, queue: Queue) -> None:
    lab.now = time.time()
    lab.deploy("grey", targets=("aws-batch",))
    lab.dispatcher.events(queued(*burst(1, "grey")))
    assert look(lab, 3600.0) == {} and queue.cancelled == []
