"""The HTTP face through Chalice's own test client, and what the handlers are called by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from chalice.test import Client
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bridge.dispatch.tracing import Tracing
from bridge.errors import TargetUnavailable
from bridge.events import s3_record
from bridge.targets import JobState
from bridge.targets.aws.functions import Reply
from lambda_runtime import app as module
from tests.lambda_runtime.dispatcher.world import Lab, created, ended, queued, report

TOKENS = {"grey": "token-of-grey", "*": "token-of-all"}
GREY = {"Authorization": "Bearer token-of-grey", "Content-Type": "text/plain"}


@pytest.fixture
def client(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    lab.deploy("grey")
    lab.account.client("secretsmanager").create_secret(
        Name="lab/tokens", SecretString=json.dumps(TOKENS)
    )
    monkeypatch.setattr(module, "dispatcher", lambda: lab.dispatcher)
    with Client(module.app) as made:
        yield made


def said(answer: Any) -> Any:
    return json.loads(answer.body)


def test_a_body_starts_a_job_that_can_be_asked_for(lab: Lab, client: Client) -> None:
    answer = client.http.post("/job/grey", headers=GREY, body=b"\xff\x00data")
    assert answer.status_code == 201
    name = said(answer)["job"]
    assert lab.job().event.body == b"\xff\x00data" and lab.lambdas.noted.runs == [(name, 1)]
    report(lab, lab.job())
    lab.dispatcher.states(queued(ended(lab.job())))
    shown = said(client.http.get(f"/jobs/{name}", headers=GREY))
    assert (shown["job"], shown["state"], shown["exit_code"]) == (name, "succeeded", 0)
    assert "data" not in json.dumps(shown)


def test_a_callers_trace_goes_with_the_job_and_gets_its_spans(lab: Lab, client: Client) -> None:
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {**GREY, "traceparent": caller}
    # Without OpenTelemetry it is handed on.
    client.http.post("/job/grey", headers=headers, body=b"one")
    assert [job.trace for job in lab.lambdas.noted.jobs] == [caller]
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(spans))
    lab.world.tracing = Tracing(provider)
    name = said(client.http.post("/job/grey", headers=headers, body=b"two"))["job"]
    (accept,) = spans.get_finished_spans()
    (_, sent) = lab.lambdas.noted.jobs
    assert accept.context is not None and sent.trace.split("-")[1:3] == [
        f"{accept.context.trace_id:032x}",
        f"{accept.context.span_id:016x}",
    ]
    job = lab.world.table.job(name)
    assert job is not None and job.trace == sent.trace
    phases = {"stage_in": 0.1, "script": 0.5, "stage_out": 0.1}
    report(lab, job, phases=phases)
    lab.dispatcher.states(queued(ended(job)))
    told = spans.get_finished_spans()
    names = {one.name for one in told}
    assert names == {"accept", "place", "submit", "run", "stage_in", "script", "stage_out"}
    traces = {one.context.trace_id for one in told if one.context is not None}
    assert traces == {int(caller.split("-")[1], 16)}


def test_an_event_as_a_body_is_its_object(lab: Lab, client: Client) -> None:
    body = json.dumps(s3_record("b", "k", etag="e", sequencer="1")).encode()
    answers = [client.http.post("/job/grey", headers=GREY, body=body) for _ in range(2)]
    assert [one.status_code for one in answers] == [201, 201]
    assert len(lab.runs) == 1 and lab.job().event.key == "k"


def test_equal_bodies_are_two_jobs_unless_the_caller_names_the_call(
    lab: Lab, client: Client
) -> None:
    for _ in range(2):
        client.http.post("/job/grey", headers=GREY, body=b"same")
    for _ in range(2):
        client.http.post("/job/grey", headers={**GREY, "Idempotency-Key": "k1"}, body=b"same")
    assert len(lab.runs) == 3


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic token-of-grey"},
        {"Authorization": "token-of-grey"},
    ],
)
def test_without_the_services_token_nothing_is_told(
    lab: Lab, client: Client, headers: dict[str, str]
) -> None:
    for answer in (
        client.http.post("/job/grey", headers=headers, body=b"x"),
        client.http.post("/run/grey", headers=headers, body=b"x"),
        client.http.post("/job/nothing", headers=headers, body=b"x"),
        client.http.get("/jobs/nothing", headers=headers),
    ):
        assert answer.status_code == 401
        assert "token-of" not in answer.body.decode()
    assert lab.jobs() == []


def test_a_token_is_for_its_service_and_one_may_be_for_all(lab: Lab, client: Client) -> None:
    lab.deploy("blur")
    everything = {**GREY, "Authorization": "Bearer token-of-all"}
    assert client.http.post("/job/blur", headers=GREY, body=b"x").status_code == 401
    made = client.http.post("/job/blur", headers=everything, body=b"x")
    assert made.status_code == 201
    name = said(made)["job"]
    assert client.http.get(f"/jobs/{name}", headers=GREY).status_code == 401
    assert client.http.get(f"/jobs/{name}", headers=everything).status_code == 200
    assert client.http.get("/jobs/none", headers=everything).status_code == 404
    assert client.http.post("/job/none", headers=everything, body=b"x").status_code == 404


def test_a_token_that_was_changed_counts_at_once(lab: Lab, client: Client) -> None:
    assert client.http.post("/job/grey", headers=GREY, body=b"x").status_code == 201
    lab.account.client("secretsmanager").put_secret_value(
        SecretId="lab/tokens", SecretString=json.dumps({"grey": "newer"})
    )
    lab.dispatcher.web._tokens._at -= 30.0
    newer = {"Authorization": "Bearer newer"}
    assert client.http.post("/job/grey", headers=newer, body=b"x").status_code == 201
    assert client.http.post("/job/grey", headers=GREY, body=b"x").status_code == 401


def test_a_run_is_the_functions_answer_and_a_record(
    lab: Lab, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def run(service: str, request: Any) -> Reply:
        seen.append(request)
        headers = {"amz-lambda-request-id": "r-1"}
        value = {"statusCode": 200, "headers": headers, "body": "b3V0", "isBase64Encoded": True}
        return Reply(value, False, "r-1")

    monkeypatch.setattr(lab.lambdas, "run", run)
    answer = client.http.post("/run/grey?a=1", headers=GREY, body=b"in")
    assert (answer.status_code, answer.body) == (200, b"b3V0")
    assert answer.headers["amz-lambda-request-id"] == "r-1"
    assert (
        "authorization" not in seen[0]["headers"] and seen[0]["queryStringParameters"]["a"] == "1"
    )
    job = lab.job()
    assert job.id == answer.headers["X-Oscar-Bridge-Job"]
    assert (job.state, job.target, job.handle) == (JobState.SUCCEEDED, "aws-lambda", "r-1")


def test_a_run_that_fails_says_why(
    lab: Lab, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = {"errorMessage": "Task timed out after 3 seconds", "errorType": "Sandbox.Timedout"}
    monkeypatch.setattr(lab.lambdas, "run", lambda *_: Reply(value, True, "r-1"))
    answer = client.http.post("/run/grey", headers=GREY, body=b"in")
    assert answer.status_code == 502 and "timed out" in said(answer)["error"]
    assert (lab.job().state, lab.job().reason) == (JobState.FAILED, value["errorMessage"])


def test_a_service_without_a_function_is_not_run(lab: Lab, client: Client) -> None:
    lab.deploy("heavy", targets=("aws-batch",), sides=("batch",))
    headers = {"Authorization": "Bearer token-of-all"}
    answer = client.http.post("/run/heavy", headers=headers, body=b"in")
    assert answer.status_code == 409 and "/job/heavy" in said(answer)["error"]


def test_what_may_pass_is_503_and_what_is_no_event_is_400(
    lab: Lab, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = b'{"Records": [{"eventSource": "aws:s3"}]}'
    assert client.http.post("/job/grey", headers=GREY, body=bad).status_code == 400

    def full(*_: object) -> None:
        raise TargetUnavailable("throttled")

    monkeypatch.setattr(lab.world.table, "accept", full)
    answer = client.http.post("/job/grey", headers=GREY, body=b"x")
    assert answer.status_code == 503 and answer.headers["Retry-After"] == "1"


def test_the_handlers_are_plain_functions_of_event_and_context(lab: Lab, client: Client) -> None:
    event = client.events.generate_sqs_event([json.dumps(created("grey/in/x"))])
    assert client.lambda_.invoke("events", event).payload == {"batchItemFailures": []}
    report(lab, lab.job())
    client.lambda_.invoke(
        "states", client.events.generate_sqs_event([json.dumps(ended(lab.job()))])
    )
    assert lab.job().state is JobState.SUCCEEDED
    assert client.lambda_.invoke("reconcile", {}).payload == {}
