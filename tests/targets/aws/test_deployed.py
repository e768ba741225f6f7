"""Services that a stack has deployed: what it has written down, and targets that only use it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.errors import NotFoundError, PermanentError
from bridge.events import decode
from bridge.fdl.model import TargetSpec
from bridge.targets import Job, JobState
from bridge.targets.aws import Account, BatchTarget, Deployed, LambdaTarget
from bridge.targets.aws.deployed import deployed_document, deployed_services

FDL = """
functions:
  bridge:
  - {name: grey, image: busybox, cpu: "1", memory: 256Mi, script: run.sh}
"""


def test_a_parameter_is_read_with_what_it_leaves_out() -> None:
    text = json.dumps({"function": "grey", "targets": ["aws-lambda"], "queue": None})
    found = Deployed.read("/p/services/grey", text)
    assert found == Deployed("grey", function="grey", targets=("aws-lambda",))


@pytest.mark.parametrize("text", ["", "[]", "null", '{"targets": 3}'])
def test_one_that_makes_no_sense_is_named(text: str) -> None:
    with pytest.raises(PermanentError, match="/p/services/grey"):
        Deployed.read("/p/services/grey", text)


def test_all_services_of_a_prefix_and_their_documents(account: Account) -> None:
    for number in range(12):
        account.client("ssm").put_parameter(
            Name=f"/oscar-bridge/services/s{number}", Value="{}", Type="String"
        )
    account.client("ssm").put_parameter(
        Name="/oscar-bridge-2/services/x", Value="{}", Type="String"
    )
    assert len(deployed_services(account)) == 12
    url = account.put("doc.json", json.dumps({"fdl": FDL, "script": "true"}).encode())
    assert deployed_document(account, url).service("grey").script_text == "true"
    with pytest.raises(PermanentError, match="not the document of a service"):
        deployed_document(account, account.put("bad.json", b"{}"))
    with pytest.raises(NotFoundError):
        deployed_document(account, f"s3://{account.bucket}/none.json")


def job(service: str) -> Job:
    (event,) = decode("data")
    return Job("job-1", service, event)


def test_a_target_sends_only_to_what_it_was_told(account: Account) -> None:
    lambdas = LambdaTarget(TargetSpec("aws-lambda", "lambda"), account, {})
    batches = BatchTarget(TargetSpec("aws-batch", "batch"), account, {})
    for target in (lambdas, batches):
        target.adopt([Deployed("grey", function="other"), Deployed("heavy", queue="q")])
    with pytest.raises(NotFoundError, match="heavy is not deployed on Lambda"):
        lambdas.submit(job("heavy"))
    with pytest.raises(NotFoundError, match="heavy is not deployed on Batch"):
        batches.submit(job("heavy"))
    seen: list[Any] = []
    account.client("lambda").meta.events.register(
        "provide-client-params.lambda.Invoke", lambda params, **_: seen.append(params)
    )
    with pytest.raises(NotFoundError):
        lambdas.submit(job("grey"))
    assert seen[0]["FunctionName"] == "other"


def test_news_that_was_pushed_needs_no_memory(account: Account) -> None:
    lambdas = LambdaTarget(TargetSpec("aws-lambda", "lambda"), account, {})
    lambdas.adopt([Deployed("grey", function="grey")])
    record = {
        "requestContext": {"requestId": "r-1", "functionArn": "arn:aws:lambda:r:1:function:grey:1"},
        "requestPayload": {"job_id": "job-1", "attempt": 2},
        "responseContext": {"functionError": "Unhandled"},
        "responsePayload": {"errorMessage": "it broke", "errorType": "X"},
    }
    update = lambdas.read(record)
    assert update is not None
    assert (update.job, update.attempt, update.state) == ("job-1", 2, JobState.FAILED)
    assert (update.handle, update.reason) == ("r-1", "it broke")
    assert lambdas.read({**record, "requestPayload": {"x": 1}}) is None
    batches = BatchTarget(TargetSpec("aws-batch", "batch"), account, {})
    found = {"jobId": "b-1", "status": "FAILED", "container": {"exitCode": 3, "reason": "no"}}
    told = batches.read(found, "job-1", 2)
    assert (told.state, told.exit_code, told.attempt) == (JobState.FAILED, 3, 2)
