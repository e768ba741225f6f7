"""AWS's own services answer 429 or 5xx: nothing is lost, nothing is twice, nothing is silent."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from bridge.errors import TargetUnavailable
from bridge.targets import JobState
from bridge.targets.aws import LambdaTarget
from tests.lambda_runtime.dispatcher.world import Lab, created, failed, queued

FAULTS = [
    (400, "ProvisionedThroughputExceededException"),
    (400, "ThrottlingException"),
    (429, "TooManyRequestsException"),
    (500, "InternalServerError"),
    (503, "ServiceUnavailable"),
]


class Raw(io.BytesIO):
    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.read()


@contextmanager
def broken(
    lab: Lab, service: str, status: int, code: str, when: Callable[[str], bool] = lambda _: True
) -> Iterator[None]:
    """The service answers with this, whatever `when` says yes to."""
    client = lab.account.client(service)
    # botocore's own patience would only make this slow.
    client.meta.events.register("needs-retry", lambda **_: None, unique_id="x")

    def answer(request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        if not when(event_name.rpartition(".")[2]):
            return None
        body = json.dumps({"__type": code, "message": "not now"}).encode()
        return AWSResponse(request.url, status, {"x-amzn-errortype": code}, Raw(body))

    client.meta.events.register("before-send", answer, unique_id="fault")
    yield
    client.meta.events.unregister("before-send", unique_id="fault")


@pytest.mark.parametrize(("status", "code"), FAULTS)
@pytest.mark.parametrize("operation", ["PutItem", "UpdateItem"])
def test_the_table_is_throttled_and_the_message_comes_again(
    lab: Lab, operation: str, status: int, code: str
) -> None:
    lab.deploy("grey")
    event = created("grey/in/x")
    with broken(lab, "dynamodb", status, code, lambda name: name == operation):
        assert failed(lab.dispatcher.events(queued(event))) == ["message-0"]
    assert failed(lab.dispatcher.events(queued(event, number=2))) == []
    assert lab.job().state is JobState.SUBMITTED and len(set(lab.runs)) == 1
    assert lab.letters() == []


@pytest.mark.parametrize(("status", "code"), FAULTS[1:])
def test_lambda_is_throttled_and_the_job_waits(lab: Lab, status: int, code: str) -> None:
    lab.deploy("grey")
    lab.lambdas.submit = lambda job: LambdaTarget.submit(lab.lambdas, job)  # type: ignore[method-assign]
    with broken(lab, "lambda", status, code):
        assert failed(lab.dispatcher.events(queued(created("grey/in/x")))) == []
    job = lab.job()
    assert (job.state, job.tries) == (JobState.PLACED, 1) and "not now" in job.reason
    assert len(lab.messages(lab.states, wait=4)) == 1


def test_when_the_services_cannot_be_read_the_message_comes_again(lab: Lab) -> None:
    lab.deploy("grey")
    with broken(lab, "ssm", 503, "ServiceUnavailable"):
        assert failed(lab.dispatcher.events(queued(created("grey/in/x")))) == ["message-0"]
    lab.dispatcher.events(queued(created("grey/in/x"), number=2))
    assert len(lab.runs) == 1
    # What was read once goes on being used.
    lab.world.registry._cache.at = float("-inf")
    with broken(lab, "ssm", 503, "ServiceUnavailable"):
        assert failed(lab.dispatcher.events(queued(created("grey/in/y")))) == []
    assert len(lab.runs) == 2


def test_when_nobody_can_be_woken_the_reconciliation_goes_on(lab: Lab) -> None:
    lab.deploy("grey")
    lab.lambdas.noted.faults = [TargetUnavailable("throttled")]
    with broken(lab, "sqs", 503, "ServiceUnavailable"):
        assert failed(lab.dispatcher.events(queued(created("grey/in/x")))) == []
    assert lab.messages(lab.states) == []
    lab.now += 300
    lab.dispatcher.reconcile(30.0)
    assert lab.job().state is JobState.SUBMITTED


def test_a_letter_that_cannot_be_sent_keeps_the_message_and_the_job_open(lab: Lab) -> None:
    lab.deploy("grey", sides=())
    event = created("grey/in/x")
    with broken(lab, "sqs", 503, "ServiceUnavailable"):
        assert failed(lab.dispatcher.events(queued(event))) == ["message-0"]
    assert lab.job().state is JobState.ACCEPTED
    assert failed(lab.dispatcher.events(queued(event, number=2))) == []
    assert lab.job().state is JobState.FAILED and len(lab.letters()) == 1
