"""Image functions through the AWS API: they really run, and fail as on AWS."""

from __future__ import annotations

import base64
import io
import json
import re
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.local.aws.endpoint import Aws, alive
from tests.waiting import eventually


@pytest.fixture
def name() -> str:
    return f"f-{uuid.uuid4().hex[:10]}"


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


def test_an_invocation_gets_its_event_environment_and_headers(aws: Aws, name: str) -> None:
    aws.function(name, Environment={"Variables": {"GREETING": "hé"}}, MemorySize=300)
    reply, error = aws.invoke(name, {"a": "ü", "n": 1.5})
    assert error == ""
    assert reply["event"] == {"a": "ü", "n": 1.5}
    env, headers = reply["env"], reply["headers"]
    assert env["GREETING"] == "hé"
    assert env["AWS_LAMBDA_FUNCTION_NAME"] == name
    assert env["AWS_LAMBDA_FUNCTION_VERSION"] == "$LATEST"
    assert env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "300"
    assert env["AWS_LAMBDA_LOG_GROUP_NAME"] == f"/aws/lambda/{name}"
    assert env["AWS_ENDPOINT_URL"] == aws.endpoint.url
    assert env["_HANDLER"] == "handler"
    assert env["AWS_REGION"] == "us-east-1"
    assert env["AWS_ACCESS_KEY_ID"] and env["AWS_SECRET_ACCESS_KEY"] and env["AWS_SESSION_TOKEN"]
    assert "BRIDGE_AWS_SECRET_KEY" not in env
    assert headers["Lambda-Runtime-Invoked-Function-Arn"].endswith(f":function:{name}")
    assert int(headers["Lambda-Runtime-Deadline-Ms"]) > 1_700_000_000_000
    assert headers["Lambda-Runtime-Trace-Id"].startswith("Root=1-")
    assert uuid.UUID(headers["Lambda-Runtime-Aws-Request-Id"])


def test_an_environment_is_kept_warm_and_one_serves_one_at_a_time(aws: Aws, name: str) -> None:
    aws.function(name)
    first, _ = aws.invoke(name, {})
    second, _ = aws.invoke(name, {})
    assert (second["pid"], second["count"]) == (first["pid"], 2)
    with ThreadPoolExecutor(3) as pool:
        more = list(pool.map(lambda _: aws.invoke(name, {"sleep": 0.5})[0], range(3)))
    assert len({one["pid"] for one in more}) == 3


def test_text_and_null_answers_come_through(aws: Aws, name: str) -> None:
    aws.function(name)
    assert aws.invoke(name, {"text": '"plain"'}) == ("plain", "")
    assert aws.invoke(name, {"text": "null"}) == (None, "")
    answer = aws.client("lambda").invoke(FunctionName=name, Payload='{"text": "no json"}')
    assert answer["Payload"].read() == b"no json"


def test_an_error_of_the_function_is_reported_and_it_stays_warm(aws: Aws, name: str) -> None:
    aws.function(name)
    first, _ = aws.invoke(name, {})
    body, error = aws.invoke(name, {"fail": "no luck"})
    assert error == "Unhandled"
    assert body == {"errorType": "My.Error", "errorMessage": "no luck"}
    assert aws.invoke(name, {})[0]["pid"] == first["pid"]


def test_a_timeout_kills_the_whole_tree_and_says_so(aws: Aws, name: str, tmp_path: Path) -> None:
    aws.function(name, Timeout=1)
    note = tmp_path / "pid"
    body, error = aws.invoke(name, {"daemon": str(note), "sleep": 600})
    assert error == "Unhandled"
    assert body["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert not alive(int(note.read_text()))
    assert any("Task timed out after 1.00 seconds" in x for x in aws.lines(f"/aws/lambda/{name}"))
    reply, error = aws.invoke(name, {})
    assert (error, reply["count"]) == ("", 1)


def test_memory_above_the_limit_ends_the_environment(aws: Aws, name: str) -> None:
    aws.function(name, MemorySize=128)
    body, error = aws.invoke(name, {"eat": 300_000_000})
    assert error == "Unhandled"
    assert body["errorType"] == "Runtime.OutOfMemory"
    assert body["errorMessage"].endswith("Runtime exited with error: signal: killed")


def test_a_runtime_that_exits_is_an_exit_error(aws: Aws, name: str) -> None:
    aws.function(name)
    body, error = aws.invoke(name, {"exit": 4})
    assert error == "Unhandled"
    assert body["errorType"] == "Runtime.ExitError"
    assert re.fullmatch(
        r"RequestId: [0-9a-f-]{36} Error: Runtime exited with error: exit status 4",
        body["errorMessage"],
    )


@pytest.mark.parametrize(
    ("how", "kind", "text"),
    [
        ("exit", "Runtime.ExitError", "exit status 9"),
        ("error", "My.Init", "bad start"),
        ("hang", "Sandbox.Timedout", "Task timed out after 1.00 seconds"),
    ],
)
def test_a_failed_start_is_told(aws: Aws, name: str, how: str, kind: str, text: str) -> None:
    aws.function(name, Timeout=1, Environment={"Variables": {"INIT": how}})
    body, error = aws.invoke(name, {})
    assert error == "Unhandled"
    assert body["errorType"] == kind
    assert text in body["errorMessage"]


def test_a_program_that_is_not_there_is_a_clear_error(aws: Aws, name: str) -> None:
    aws.function(name, command=["/no/such/program"])
    body, error = aws.invoke(name, {})
    assert error == "Unhandled"
    assert "/no/such/program cannot be started" in body["errorMessage"]


def test_logs_can_be_read_while_the_function_runs(aws: Aws, name: str, tmp_path: Path) -> None:
    aws.function(name)
    hold = tmp_path / "hold"
    hold.touch()
    with ThreadPoolExecutor(1) as pool:
        invoked = pool.submit(aws.invoke, name, {"say": "working on it", "hold": str(hold)})
        eventually(lambda: "working on it" in aws.lines(f"/aws/lambda/{name}"))
        assert not invoked.done()
        hold.unlink()
        reply, _ = invoked.result()
    number = reply["headers"]["Lambda-Runtime-Aws-Request-Id"]
    lines = aws.lines(f"/aws/lambda/{name}", reply["env"]["AWS_LAMBDA_LOG_STREAM_NAME"])
    assert lines[:3] == [
        f"START RequestId: {number} Version: $LATEST",
        "working on it",
        f"END RequestId: {number}",
    ]
    assert lines[3].startswith(f"REPORT RequestId: {number}\tDuration: ")
    assert "Init Duration" in lines[3]
    assert "Memory Size: 512 MB\tMax Memory Used: " in lines[3]


def test_the_tail_of_the_log_comes_with_the_answer(aws: Aws, name: str) -> None:
    aws.function(name)
    answer = aws.client("lambda").invoke(
        FunctionName=name, Payload='{"say": "hear me"}', LogType="Tail"
    )
    tail = base64.b64decode(answer["LogResult"]).decode()
    assert "hear me" in tail
    assert tail.index("START") < tail.index("hear me") < tail.index("END") < tail.index("REPORT")


def test_payloads_above_the_limits_are_refused(aws: Aws, name: str) -> None:
    aws.function(name)
    most = 6_291_456
    for kind, size in (("RequestResponse", most), ("Event", 1_048_576)):
        with pytest.raises(ClientError) as caught:
            aws.client("lambda").invoke(
                FunctionName=name, InvocationType=kind, Payload=json.dumps("x" * size)
            )
        assert code_of(caught) == "RequestTooLargeException"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    body, error = aws.invoke(name, {"size": 6_291_556})
    assert error == "Unhandled"
    assert body["errorType"] == "Function.ResponseSizeTooLarge"
    reply, error = aws.invoke(name, {"size": 6_000_000})
    assert (error, len(reply)) == ("", 6_000_000)


def test_a_payload_that_is_no_json_is_refused(aws: Aws, name: str) -> None:
    aws.function(name)
    with pytest.raises(ClientError) as caught:
        aws.client("lambda").invoke(FunctionName=name, Payload=b"{no json")
    assert code_of(caught) == "InvalidRequestContentException"


@pytest.mark.parametrize(
    "settings",
    [
        {"MemorySize": 20_000},
        {"MemorySize": 64},
        {"Timeout": 5_000},
        {"Environment": {"Variables": {"A": "x" * 5_000}}},
    ],
)
def test_limits_of_a_definition_are_enforced(aws: Aws, name: str, settings: dict) -> None:
    with pytest.raises(ClientError) as caught:
        aws.function(name, **settings)
    assert code_of(caught) in {"ValidationException", "InvalidParameterValueException"}
    with pytest.raises(ClientError):
        aws.client("lambda").get_function(FunctionName=name)


def test_reserved_concurrency_throttles(aws: Aws, name: str, tmp_path: Path) -> None:
    aws.function(name)
    aws.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    hold, note = tmp_path / "hold", tmp_path / "note"
    hold.touch()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(aws.invoke, name, {"write": str(note), "hold": str(hold)})
        eventually(note.exists)
        with pytest.raises(ClientError) as caught:
            aws.invoke(name, {})
        hold.unlink()
        assert first.result()[1] == ""
    assert code_of(caught) == "TooManyRequestsException"


@pytest.mark.parametrize("what", ["configuration", "code", "delete"])
def test_a_change_retires_the_environments(aws: Aws, name: str, what: str) -> None:
    aws.function(name)
    before, _ = aws.invoke(name, {})
    client = aws.client("lambda")
    if what == "configuration":
        client.update_function_configuration(
            FunctionName=name, Environment={"Variables": {"NEW": "1"}}
        )
    elif what == "code":
        client.update_function_code(FunctionName=name, ImageUri="other")
    else:
        client.delete_function(FunctionName=name)
    eventually(lambda: not alive(before["pid"]))
    if what != "delete":
        after, _ = aws.invoke(name, {})
        assert after["pid"] != before["pid"]
        assert after["env"].get("NEW") == ("1" if what == "configuration" else None)


def test_an_asynchronous_failure_is_tried_three_times_and_ends_at_its_destinations(
    aws: Aws, name: str, tmp_path: Path
) -> None:
    failed, failed_arn = aws.queue(f"{name}-failed")
    dead, dead_arn = aws.queue(f"{name}-dead")
    aws.function(name, DeadLetterConfig={"TargetArn": dead_arn})
    client = aws.client("lambda")
    client.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnFailure": {"Destination": failed_arn}}
    )
    note = tmp_path / "note"
    event = {"write": str(note), "fail": "never"}
    answer = client.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event))
    assert answer["StatusCode"] == 202
    [(record, _)] = aws.messages(failed, 1)
    ids = note.read_text().split()
    assert len(ids) == 3
    assert len(set(ids)) == 1
    context = record["requestContext"]
    assert record["version"] == "1.0"
    assert context["requestId"] == ids[0]
    assert context["functionArn"].endswith(f":function:{name}:$LATEST")
    assert (context["condition"], context["approximateInvokeCount"]) == ("RetriesExhausted", 3)
    assert record["requestPayload"] == event
    assert record["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    assert record["responsePayload"]["errorMessage"] == "never"
    [(body, attributes)] = aws.messages(dead, 1)
    assert body == event
    assert attributes["ErrorMessage"]["StringValue"] == "never"
    assert attributes["RequestID"]["StringValue"] == ids[0]


def test_an_asynchronous_success_ends_at_its_destination(aws: Aws, name: str) -> None:
    url, arn = aws.queue(f"{name}-ok")
    aws.function(name)
    client = aws.client("lambda")
    client.put_function_event_invoke_config(
        FunctionName=name,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnSuccess": {"Destination": arn}},
    )
    client.invoke(FunctionName=name, InvocationType="Event", Payload='{"text": "[1]"}')
    [(record, _)] = aws.messages(url, 1)
    assert record["requestContext"]["condition"] == "Success"
    assert record["requestContext"]["approximateInvokeCount"] == 1
    assert record["responsePayload"] == [1]
    assert "functionError" not in record["responseContext"]


def test_throttled_asynchronous_events_wait_and_do_not_count(
    aws: Aws, name: str, tmp_path: Path
) -> None:
    url, arn = aws.queue(f"{name}-ok")
    aws.function(name)
    client = aws.client("lambda")
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    client.put_function_event_invoke_config(
        FunctionName=name,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnSuccess": {"Destination": arn}},
    )
    note = tmp_path / "note"
    for _ in range(6):
        event = {"write": str(note), "sleep": 0.05, "text": "1"}
        client.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event))
    records = aws.messages(url, 6)
    assert len(set(note.read_text().split())) == 6
    assert {r["requestContext"]["approximateInvokeCount"] for r, _ in records} == {1}


def test_no_concurrency_at_all_sends_events_on_at_once(aws: Aws, name: str) -> None:
    url, arn = aws.queue(f"{name}-no")
    aws.function(name)
    client = aws.client("lambda")
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    client.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    client.invoke(FunctionName=name, InvocationType="Event", Payload="{}")
    [(record, _)] = aws.messages(url, 1)
    assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"


def test_an_object_in_a_bucket_starts_a_function(aws: Aws, name: str, tmp_path: Path) -> None:
    aws.function(name)
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=name)
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    aws.client("lambda").add_permission(
        FunctionName=name,
        StatementId="s3",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
    )
    s3.put_bucket_notification_configuration(
        Bucket=name,
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [
                {"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}
            ]
        },
    )
    s3.put_object(Bucket=name, Key="in/ä b.txt", Body=b"x")
    eventually(lambda: any("START" in x for x in aws.lines(f"/aws/lambda/{name}")))


def test_a_rule_of_the_event_bus_invokes_with_retries(aws: Aws, name: str, tmp_path: Path) -> None:
    aws.function(name)
    events = aws.client("events")
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    note = tmp_path / "note"
    target = {"Id": "1", "Arn": arn, "Input": json.dumps({"write": str(note), "fail": "no"})}
    events.put_targets(Rule=name, Targets=[target])
    events.put_events(Entries=[{"Source": name, "DetailType": "t", "Detail": "{}"}])
    eventually(lambda: note.exists() and len(note.read_text().split()) == 3)


def test_zip_functions_still_run(aws: Aws, name: str) -> None:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("index.py", "def handler(event, context):\n    return {'got': event}\n")
    aws.client("lambda").create_function(
        FunctionName=name,
        Role="arn:aws:iam::000000000000:role/test",
        Runtime="python3.11",
        Handler="index.handler",
        Code={"ZipFile": body.getvalue()},
        Timeout=30,
    )
    assert aws.invoke(name, {"a": 1}) == ({"got": {"a": 1}}, "")
