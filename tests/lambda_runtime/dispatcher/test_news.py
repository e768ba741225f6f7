"""What functions' destinations and Batch say becomes the record of the job."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from bridge.dispatch import JobRecord
from bridge.storage.claims import Claim
from bridge.targets import JobState
from tests.lambda_runtime.dispatcher.world import (
    HYBRID,
    Lab,
    batch_event,
    created,
    ended,
    failed,
    queued,
    report,
)


def submitted(lab: Lab, **deploy: object) -> JobRecord:
    """A job that is with its target."""
    lab.deploy("grey", **deploy)  # type: ignore[arg-type]
    lab.dispatcher.events(queued(created("grey/in/x")))
    return lab.job()


def told(lab: Lab, message: object) -> JobRecord:
    assert failed(lab.dispatcher.states(queued(message))) == []
    return lab.job()


def test_a_success_is_recorded_with_its_outputs(lab: Lab) -> None:
    job = submitted(lab)
    out = {"provider": "s3.default", "bucket": "data", "key": "grey/out/x", "size": 3, "etag": "e"}
    report(lab, job, outputs=[out])
    done = told(lab, ended(job))
    assert (done.state, done.exit_code, done.log) == (JobState.SUCCEEDED, 0, "/aws/lambda/grey")
    detail = lab.world.table.detail(job.id)
    assert detail is not None and [one.key for one in detail.outputs] == ["grey/out/x"]
    assert list(lab.world.table.open_since(lab.now + 10)) == []


def test_the_same_news_again_and_news_that_are_late_change_nothing(lab: Lab) -> None:
    job = submitted(lab)
    report(lab, job)
    done = told(lab, ended(job))
    assert told(lab, ended(job)) == done
    assert told(lab, ended(job, error="late")) == done


def test_a_script_that_fails_is_the_jobs_failure_and_no_dead_letter(lab: Lab) -> None:
    job = submitted(lab)
    report(lab, job, "failed")
    done = told(lab, ended(job, error="job: the script ended with 3"))
    assert (done.state, done.exit_code, done.attempt) == (JobState.FAILED, 3, 1)
    assert lab.letters() == []


def test_news_that_are_faster_than_the_record_of_the_submit_count(lab: Lab) -> None:
    job = submitted(lab)
    client = lab.account.client("dynamodb")
    client.update_item(
        TableName="lab-jobs",
        Key={"job": {"S": job.id}},
        UpdateExpression="SET #state = :placed REMOVE handle, submitted",
        ExpressionAttributeNames={"#state": "state"},
        ExpressionAttributeValues={":placed": {"S": "placed"}},
    )
    report(lab, job)
    assert told(lab, ended(job)).state is JobState.SUCCEEDED


def test_a_failure_that_may_pass_is_tried_again_then_dead_with_a_letter(lab: Lab) -> None:
    job = submitted(lab)
    report(lab, job, "failed", temporary=True, reason="the store was away")
    again = told(lab, ended(job, error="x"))
    assert (again.state, again.attempt, again.reason) == (
        JobState.ACCEPTED,
        2,
        "the store was away",
    )
    (wake,) = lab.messages(lab.states, wait=2)
    lab.now += 5
    second = told(lab, wake)
    assert (second.state, second.attempt) == (JobState.SUBMITTED, 2)
    assert lab.lambdas.noted.runs == [(job.id, 1), (job.id, 2)]
    assert told(lab, ended(job, error="late")) == second
    report(lab, second, "failed", temporary=True, reason="away again")
    dead = told(lab, ended(second, error="x"))
    assert dead.state is JobState.DEAD
    (letter,) = lab.letters()
    assert letter["job"] == job.id and "away again" in letter["reason"]
    detail = lab.world.table.detail(job.id)
    assert detail is not None
    assert [(one.number, one.handle) for one in detail.attempts] == [
        (1, "handle-1"),
        (2, "handle-2"),
    ]


def test_batch_tells_of_a_job_from_its_start_to_its_end(lab: Lab) -> None:
    job = submitted(lab, targets=("aws-batch",))
    assert told(lab, batch_event(job, "RUNNABLE")).state is JobState.SUBMITTED
    running = told(lab, batch_event(job, "RUNNING"))
    assert (running.state, running.log) == (JobState.RUNNING, "stream")
    report(lab, job)
    assert told(lab, batch_event(job, "SUCCEEDED")).state is JobState.SUCCEEDED


def test_a_batch_job_whose_machine_went_away_runs_again(lab: Lab) -> None:
    job = submitted(lab, targets=("aws-batch",))
    event = batch_event(job, "FAILED")
    event["detail"]["statusReason"] = "Host EC2 (instance i-1) terminated."
    again = told(lab, event)
    assert (again.state, again.attempt) == (JobState.ACCEPTED, 2)


def test_news_of_an_older_batch_job_are_not_the_present_attempts(lab: Lab) -> None:
    job = submitted(lab, targets=("aws-batch",))
    event = batch_event(job, "FAILED")
    event["detail"]["statusReason"] = "Host EC2 (instance i-1) terminated."
    told(lab, event)
    (wake,) = lab.messages(lab.states, wait=2)
    second = told(lab, wake)
    assert second.attempt == 2
    assert told(lab, batch_event(job, "FAILED")) == second
    other = replace(job, handle="unknown")
    assert told(lab, batch_event(other, "FAILED")) == second


def test_a_batch_job_that_only_the_claim_knows_is_the_jobs(lab: Lab) -> None:
    job = submitted(lab, targets=("aws-batch",))
    lab.account.claims.take(job.id, 1, "me", time.time() + 60)
    lab.account.claims.keep(job.id, 1, Claim("me", time.time() + 60, True, "other-id"))
    report(lab, job)
    other = replace(job, handle="other-id")
    assert told(lab, batch_event(other, "SUCCEEDED")).state is JobState.SUCCEEDED


def test_a_hand_over_is_followed_into_batch(lab: Lab) -> None:
    job = submitted(lab, fdl=HYBRID)
    message = ended(job)
    message["responsePayload"] = {
        "statusCode": 202,
        "body": f'{{"jobs": [{{"job": "{job.id}", "attempt": 1, "batch_job": "b-1"}}]}}',
    }
    running = told(lab, message)
    assert (running.state, running.handle) == (JobState.RUNNING, "b-1")
    run = {"state": "handed over", "reason": "out of time"}
    lab.account.claims.take(job.id, 1, "me", time.time() + 60)
    lab.account.claims.keep(job.id, 1, Claim("me", time.time() + 60, True, "b-1", run))
    report(lab, running)
    done = told(lab, batch_event(running, "SUCCEEDED"))
    assert done.state is JobState.SUCCEEDED
    assert [one["place"] for one in done.report["runs"]] == ["lambda", "batch"]


@pytest.mark.parametrize(
    "message", ["{", "[]", '{"x": 1}', '{"detail-type": "Batch Job State Change"}']
)
def test_messages_without_a_meaning_are_dead_letters(lab: Lab, message: str) -> None:
    assert failed(lab.dispatcher.states(queued(message))) == []
    (letter,) = lab.letters()
    assert letter["source"] == "states" and letter["body"] == message


def test_news_of_jobs_that_are_not_ours_are_left_alone(lab: Lab) -> None:
    job = submitted(lab)
    foreign = replace(job, id="somebody-elses", handle="b-9")
    messages = [ended(foreign), batch_event(foreign, "FAILED"), {**ended(job), "requestPayload": 1}]
    assert failed(lab.dispatcher.states(queued(*messages))) == []
    assert lab.job() == job and lab.letters() == []
