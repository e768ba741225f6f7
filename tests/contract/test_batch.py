"""Single jobs: they run, write, fail, try again, are stopped and log as on AWS."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.contract.batch import GROUP, Batch, make, needs
from tests.contract.endpoint import OTHER_IMAGE, Endpoint, name


def test_a_job_runs_writes_logs_and_succeeds(batch: Batch) -> None:
    mark = batch.aws.mark()
    job = batch.run(f"echo one; echo two >&2; put '{mark.put}' written; echo 'drei ü'")
    assert mark.text() == "written"
    assert job["status"] == "SUCCEEDED"
    assert job["startedAt"] <= job["stoppedAt"]
    # Standard output and error are two streams: between them there is no order.
    assert sorted(batch.lines(job)) == ["drei ü", "one", "two"]


@pytest.mark.contract("batch-exit-code")
def test_the_exit_code_of_a_job_is_told(batch: Batch) -> None:
    job = batch.run("echo no; exit 42")
    assert (job["status"], batch.lines(job)) == ("FAILED", ["no"])
    assert job["container"]["exitCode"] == 42
    assert job["statusReason"] == "Essential container in task exited"
    assert [one["container"]["exitCode"] for one in job["attempts"]] == [42]


@pytest.mark.contract("batch-variables")
def test_a_job_knows_itself(batch: Batch) -> None:
    job = batch.run("env")
    env = dict(line.split("=", 1) for line in batch.lines(job) if "=" in line)
    assert env["AWS_BATCH_JOB_ID"] == job["jobId"]
    assert env["AWS_BATCH_JOB_ATTEMPT"] == "1"
    assert env["AWS_BATCH_JQ_NAME"] == batch.queue
    assert env["AWS_BATCH_CE_NAME"] == batch.environment


def test_parameters_and_overrides_change_the_run(batch: Batch) -> None:
    job = batch.run(
        "",
        parameters={"a": "1", "b": "2"},
        container={
            "command": ["sh", "-c", "echo $0 $1 $OWN $NEW", "Ref::a", "Ref::b"],
            "environment": [{"name": "OWN", "value": "old"}],
        },
        submit={
            "parameters": {"b": "3 4"},
            "containerOverrides": {
                "environment": [
                    {"name": "OWN", "value": "new"},
                    {"name": "NEW", "value": "added"},
                ],
                "resourceRequirements": needs("2", "200"),
            },
        },
    )
    assert batch.lines(job) == ["1 3 4 new added"]


def test_a_command_can_be_replaced(batch: Batch) -> None:
    command = ["sh", "-c", "echo replaced"]
    job = batch.run("exit 1", submit={"containerOverrides": {"command": command}})
    assert (job["status"], batch.lines(job)) == ("SUCCEEDED", ["replaced"])


@pytest.mark.contract("batch-retries")
def test_attempts_go_on_until_one_succeeds(batch: Batch) -> None:
    script = "echo attempt $AWS_BATCH_JOB_ATTEMPT; [ $AWS_BATCH_JOB_ATTEMPT = 3 ] || exit 5"
    job = batch.run(script, retryStrategy={"attempts": 4})
    assert job["status"] == "SUCCEEDED"
    assert [one["container"]["exitCode"] for one in job["attempts"]] == [5, 5, 0]
    streams = [one["container"]["logStreamName"] for one in job["attempts"]]
    logged = [batch.aws.lines(GROUP, one) for one in streams]
    assert logged == [["attempt 1"], ["attempt 2"], ["attempt 3"]]


@pytest.mark.contract("batch-rules")
@pytest.mark.parametrize(
    ("rules", "attempts"),
    [
        ([{"onExitCode": "7", "action": "RETRY"}, {"onExitCode": "*", "action": "EXIT"}], 2),
        ([{"onExitCode": "7*", "action": "EXIT"}], 1),
        ([{"onStatusReason": "Essential container*", "action": "EXIT"}], 1),
        ([{"onReason": "OutOfMemory*", "action": "EXIT"}], 2),
    ],
)
def test_rules_decide_which_exits_are_tried_again(
    batch: Batch, rules: list[dict[str, str]], attempts: int
) -> None:
    strategy = {"attempts": 2, "evaluateOnExit": rules}
    job = batch.run("echo ran; exit 7", submit={"retryStrategy": strategy})
    assert len(job["attempts"]) == attempts
    for one in job["attempts"]:
        assert batch.aws.lines(GROUP, one["container"]["logStreamName"]) == ["ran"]


@pytest.mark.contract("batch-timeout")
def test_a_timeout_ends_the_work_and_is_not_tried_again(batch: Batch) -> None:
    mark = batch.aws.mark()
    job = batch.run(
        f"(sleep 2; put '{mark.put}' late) & echo started; wait",
        timeout={"attemptDurationSeconds": 1},
        retryStrategy={"attempts": 3},
    )
    assert job["status"] == "FAILED"
    assert job["statusReason"] == "Job attempt duration exceeded timeout"
    assert (len(job["attempts"]), batch.lines(job)) == (1, ["started"])
    time.sleep(1.5)
    assert mark.text() is None


@pytest.mark.contract("batch-memory")
def test_memory_above_the_limit_ends_the_job(batch: Batch) -> None:
    script = "python3 -c 'import time; x = b\"x\" * 400000000; time.sleep(60)'; exit $?"
    job = batch.run(script)
    assert (job["status"], job["container"]["exitCode"]) == ("FAILED", 137)
    assert job["container"]["reason"].startswith("OutOfMemoryError")


@pytest.mark.contract("images-unused")
def test_a_job_runs_in_the_image_that_it_names(batch: Batch) -> None:
    job = batch.run("command -v python3 || echo none", container={"image": OTHER_IMAGE})
    assert batch.lines(job) == ["none"]


@pytest.mark.contract("batch-reason", "images-unused")
def test_an_image_that_is_not_there_fails_the_job(batch: Batch) -> None:
    job = batch.run("true", container={"image": "not-here/at-all:none"})
    assert job["status"] == "FAILED"
    assert job["container"]["reason"].startswith("CannotPullContainerError")
    assert "exitCode" not in job["container"]


@pytest.mark.contract("batch-log-late")
def test_the_log_can_be_read_while_the_job_runs(batch: Batch, aws: Endpoint) -> None:
    mark = aws.mark()
    number = batch.submit(batch.define(f"echo waiting; hold '{mark.get}'; echo done"))
    job = batch.reach(number, "RUNNING")
    aws.eventually(lambda: batch.lines(batch.job(number)) == ["waiting"])
    assert batch.job(number)["status"] == "RUNNING"
    mark.release()
    assert batch.ended(number)["status"] == "SUCCEEDED"
    assert batch.lines(job) == ["waiting", "done"]


def test_terminate_ends_what_runs(batch: Batch) -> None:
    mark = batch.aws.mark()
    number = batch.submit(batch.define(f"sleep 2; put '{mark.put}' late"))
    batch.reach(number, "RUNNING")
    batch.client.terminate_job(jobId=number, reason="enough of it")
    job = batch.ended(number)
    assert (job["status"], job["statusReason"]) == ("FAILED", "enough of it")
    time.sleep(2)
    assert mark.text() is None


def test_cancel_ends_what_waits_and_leaves_what_runs(batch: Batch) -> None:
    held, never = batch.aws.mark(), batch.aws.mark()
    first = batch.submit(batch.define(f"hold '{held.get}'"))
    second = batch.submit(batch.define(f"put '{never.put}' ran"), dependsOn=[{"jobId": first}])
    batch.reach(first, "RUNNING")
    for number in (first, second):
        batch.client.cancel_job(jobId=number, reason="not needed")
    job = batch.ended(second)
    assert (job["status"], job["statusReason"]) == ("FAILED", "not needed")
    held.release()
    assert batch.ended(first)["status"] == "SUCCEEDED"
    assert never.text() is None


@pytest.mark.contract("batch-secrets")
def test_secrets_become_variables_and_are_not_shown(batch: Batch, aws: Endpoint) -> None:
    secret = aws.client("secretsmanager").create_secret(
        Name=name("secret"), SecretString=json.dumps({"user": "me", "word": "sesame"})
    )["ARN"]
    parameter = f"/{name('parameter')}"
    aws.client("ssm").put_parameter(Name=parameter, Type="SecureString", Value="from ssm")
    arn = f"arn:aws:ssm:us-east-1:{aws.account}:parameter{parameter}"
    secrets = {"WHOLE": secret, "PART": f"{secret}:word::", "NAMED": parameter, "BY_ARN": arn}
    listed = [{"name": key, "valueFrom": where} for key, where in secrets.items()]
    job = batch.run(
        'echo "$WHOLE|$PART|$NAMED|$BY_ARN"',
        container={"secrets": listed, "executionRoleArn": aws.role},
    )
    whole = '{"user": "me", "word": "sesame"}'
    assert batch.lines(job) == [f"{whole}|sesame|from ssm|from ssm"]
    assert job["container"]["secrets"] == listed
    assert "sesame" not in json.dumps(job["container"])


@pytest.mark.contract("batch-secrets")
def test_a_secret_that_is_not_there_fails_the_job(batch: Batch, aws: Endpoint) -> None:
    where = f"arn:aws:secretsmanager:us-east-1:{aws.account}:secret:none-AbCdEf"
    secrets = [{"name": "A", "valueFrom": where}]
    mark = aws.mark()
    job = batch.run(
        f"put '{mark.put}' ran",
        container={"secrets": secrets, "executionRoleArn": aws.role},
    )
    assert (job["status"], mark.text()) == ("FAILED", None)
    assert job["container"]["reason"].startswith("ResourceInitializationError")


@pytest.mark.contract("batch-events")
def test_changes_of_state_are_events(aws: Endpoint) -> None:
    batch = make(aws)
    events = aws.client("events")
    queue, arn = aws.queue("events.amazonaws.com")
    rule = name("rule")
    detail = {"jobQueue": [{"suffix": batch.queue}]}
    pattern: dict[str, Any] = {"source": ["aws.batch"], "detail": detail}
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": arn}])
    job = batch.run("exit 4")
    found: list[dict[str, Any]] = []

    def last() -> bool:
        found.extend(one["Body"] for one in aws.received(queue))
        return any(one["detail"]["status"] == "FAILED" for one in found)

    aws.eventually(last)
    states = {one["detail"]["status"] for one in found}
    assert states == {"SUBMITTED", "RUNNABLE", "STARTING", "RUNNING", "FAILED"}
    [end] = [one for one in found if one["detail"]["status"] == "FAILED"]
    assert end["detail-type"] == "Batch Job State Change"
    assert (end["resources"], end["account"]) == ([job["jobArn"]], aws.account)
    assert end["detail"]["jobId"] == job["jobId"]
    assert end["detail"]["container"]["exitCode"] == 4
    assert end["detail"]["attempts"][0]["container"]["exitCode"] == 4
