"""Functions that are invoked and waited for: they run, fail, end and log as on AWS."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.endpoint import OTHER_IMAGE, Endpoint, code, message, name
from tests.contract.program import ZIP_FUNCTION

image = pytest.mark.contract("lambda-image")


@pytest.fixture
def function(aws: Endpoint) -> str:
    return aws.function()


@image
def test_an_invocation_writes_answers_and_knows_its_function(aws: Endpoint) -> None:
    function = aws.function(Environment={"Variables": {"OWN": "ü b"}}, Timeout=20)
    mark = aws.mark()
    before = time.time()
    answer, error = aws.invoke(function, {"put": mark.put, "body": "written", "text": "ñ ☃"})
    assert (mark.text(), error) == ("written", "")
    assert answer["echo"]["text"] == "ñ ☃"
    assert before * 1000 < int(answer["deadline"]) <= (time.time() + 20) * 1000
    assert answer["arn"] == f"arn:aws:lambda:us-east-1:{aws.account}:function:{function}"
    env = answer["env"]
    assert env["OWN"] == "ü b"
    assert env["AWS_LAMBDA_FUNCTION_NAME"] == function
    assert env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert env["AWS_LAMBDA_LOG_GROUP_NAME"] == f"/aws/lambda/{function}"
    assert env["_HANDLER"] == "the.handler"
    assert env["AWS_ACCESS_KEY_ID"]
    assert env["AWS_REGION"] == "us-east-1"


@image
def test_a_warm_environment_is_used_again_and_serves_one_at_a_time(
    aws: Endpoint, function: str
) -> None:
    first, _ = aws.invoke(function, {})
    second, _ = aws.invoke(function, {})
    assert (second["me"], second["count"]) == (first["me"], 2)
    mark = aws.mark()
    with background(aws, function, {"hold": mark.get}) as held:
        aws.eventually(lambda: any(mark.key in line for line in aws.function_lines(function)))
        other, _ = aws.invoke(function, {})
        assert other["me"] != first["me"]
        mark.release()
    assert held.answer[0]["me"] == first["me"]


@image
def test_a_new_configuration_ends_the_old_environments(aws: Endpoint, function: str) -> None:
    first, _ = aws.invoke(function, {})
    aws.client("lambda").update_function_configuration(
        FunctionName=function, Environment={"Variables": {"NEW": "yes"}}
    )
    second, _ = aws.invoke(function, {})
    assert second["me"] != first["me"]
    assert second["env"]["NEW"] == "yes"


@image
def test_new_code_ends_the_old_environments(aws: Endpoint, function: str) -> None:
    first, _ = aws.invoke(function, {})
    client = aws.client("lambda")
    client.update_function_code(FunctionName=function, ImageUri=aws.image)
    client.get_waiter("function_updated_v2").wait(FunctionName=function)
    assert aws.invoke(function, {})[0]["me"] != first["me"]
    assert client.get_function(FunctionName=function)["Code"]["ImageUri"] == aws.image


@pytest.mark.contract("lambda-image", "images-unused")
def test_a_function_runs_in_the_image_that_it_names(aws: Endpoint) -> None:
    function = aws.function(OTHER_IMAGE)  # where there is no Python to run the program with
    _, error = aws.invoke(function, {})
    assert error == "Unhandled"


@pytest.mark.contract("lambda-image-check", "images-unused")
@pytest.mark.parametrize("how", ["create", "update"])
def test_an_image_that_is_not_there_is_refused(aws: Endpoint, how: str) -> None:
    unknown = f"{aws.account}.dkr.ecr.us-east-1.amazonaws.com/not-here:none"
    with pytest.raises(ClientError) as caught:
        if how == "create":
            aws.function(unknown)
        else:
            aws.client("lambda").update_function_code(FunctionName=aws.function(), ImageUri=unknown)
    assert code(caught.value) == "InvalidParameterValueException"
    assert f"Source image {unknown} does not exist" in message(caught.value)


@image
def test_a_version_and_its_alias_stay_what_they_were(aws: Endpoint) -> None:
    function = aws.function(Environment={"Variables": {"WHICH": "one"}})
    client = aws.client("lambda")
    version = client.publish_version(FunctionName=function)["Version"]
    client.create_alias(FunctionName=function, Name="live", FunctionVersion=version)
    client.update_function_configuration(
        FunctionName=function, Environment={"Variables": {"WHICH": "two"}}
    )
    assert aws.invoke(function, {})[0]["env"]["WHICH"] == "two"
    answer, _ = aws.invoke(function, {}, Qualifier="live")
    assert answer["env"]["WHICH"] == "one"
    assert answer["env"]["AWS_LAMBDA_FUNCTION_VERSION"] == version
    assert answer["arn"].endswith(f":function:{function}:live")


@image
def test_an_error_of_the_function_comes_with_its_type(aws: Endpoint, function: str) -> None:
    answer, error = aws.invoke(function, {"fail": "not today"})
    assert error == "Unhandled"
    assert (answer["errorType"], answer["errorMessage"]) == ("My.Error", "not today")
    assert aws.invoke(function, {})[0]["count"] == 2


@image
@pytest.mark.parametrize("status", [0, 7])
def test_a_runtime_that_exits_is_an_exit_error(aws: Endpoint, function: str, status: int) -> None:
    answer, error = aws.invoke(function, {"exit": status})
    assert (error, answer["errorType"]) == ("Unhandled", "Runtime.ExitError")
    text = f"exit status {status}" if status else "without providing a reason"
    assert text in answer["errorMessage"]
    assert aws.invoke(function, {})[1] == ""


@image
def test_a_runtime_that_does_not_start_is_told(aws: Endpoint) -> None:
    function = aws.function(Environment={"Variables": {"START": "exit"}})
    answer, error = aws.invoke(function, {})
    assert (error, answer["errorType"]) == ("Unhandled", "Runtime.ExitError")
    aws.eventually(lambda: "cannot start" in aws.function_lines(function))


@image
def test_a_timeout_ends_the_work_and_says_so(aws: Endpoint) -> None:
    function = aws.function(Timeout=1)
    mark = aws.mark()
    answer, error = aws.invoke(function, {"sleep": 1.8, "late": mark.put})
    assert (error, answer["errorType"]) == ("Unhandled", "Sandbox.Timedout")
    assert answer["errorMessage"].endswith("Task timed out after 1.00 seconds")
    aws.eventually(lambda: any("Task timed out" in one for one in aws.function_lines(function)))
    time.sleep(1)
    assert mark.text() is None


@image
def test_memory_above_the_limit_ends_the_environment(aws: Endpoint) -> None:
    function = aws.function(MemorySize=128)
    answer, error = aws.invoke(function, {"eat": 300})
    assert error == "Unhandled"
    assert answer["errorType"] == "Runtime.OutOfMemory"
    assert "signal: killed" in answer["errorMessage"]
    assert aws.invoke(function, {})[0]["count"] == 1


@image
def test_reserved_concurrency_throttles(aws: Endpoint, function: str) -> None:
    client = aws.client("lambda")
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=1)
    mark = aws.mark()
    with background(aws, function, {"hold": mark.get}) as held:
        aws.eventually(lambda: any(mark.key in line for line in aws.function_lines(function)))
        with pytest.raises(ClientError) as caught:
            aws.invoke(function, {})
        mark.release()
    assert code(caught.value) == "TooManyRequestsException"
    assert caught.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert held.answer[1] == ""
    assert aws.invoke(function, {})[1] == ""


@image
def test_a_dry_run_runs_nothing(aws: Endpoint, function: str) -> None:
    mark = aws.mark()
    client = aws.client("lambda")
    body = json.dumps({"put": mark.put})
    answer = client.invoke(FunctionName=function, InvocationType="DryRun", Payload=body)
    assert answer["StatusCode"] == 204
    assert aws.invoke(function, {})[0]["count"] == 1
    assert mark.text() is None


def test_a_function_that_is_not_there_is_not_found(aws: Endpoint) -> None:
    for ask in ("get_function", "invoke", "delete_function"):
        with pytest.raises(ClientError) as caught:
            getattr(aws.client("lambda"), ask)(FunctionName=name("none"))
        assert code(caught.value) == "ResourceNotFoundException"


@image
def test_a_deleted_function_runs_no_more(aws: Endpoint, function: str) -> None:
    aws.invoke(function, {})
    aws.client("lambda").delete_function(FunctionName=function)
    with pytest.raises(ClientError) as caught:
        aws.invoke(function, {})
    assert code(caught.value) == "ResourceNotFoundException"


@image
def test_the_log_has_start_end_and_report_around_the_output(aws: Endpoint, function: str) -> None:
    answer = aws.client("lambda").invoke(FunctionName=function, Payload='{"a": 1}')
    number = answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
    lines = aws.eventually(lambda: ended(aws, function))
    start = lines.index(f"START RequestId: {number} Version: $LATEST")
    assert 'event {"a": 1}' in lines[start:]
    end = lines.index(f"END RequestId: {number}")
    report = lines[end + 1]
    assert report.startswith(f"REPORT RequestId: {number}\tDuration: ")
    assert "Memory Size: 256 MB" in report
    assert "Init Duration: " in report
    [stream] = aws.client("logs").describe_log_streams(logGroupName=f"/aws/lambda/{function}")[
        "logStreams"
    ]
    assert "[$LATEST]" in stream["logStreamName"]


@image
def test_the_log_can_be_read_while_the_function_runs(aws: Endpoint, function: str) -> None:
    mark = aws.mark()
    with background(aws, function, {"hold": mark.get}) as held:
        lines = aws.eventually(
            lambda: [one for one in aws.function_lines(function) if mark.key in one]
        )
        assert lines[0].startswith("event ")
        assert not ended(aws, function)
        mark.release()
    assert held.answer[1] == ""


@image
def test_the_end_of_the_log_comes_with_the_answer(aws: Endpoint, function: str) -> None:
    answer = aws.client("lambda").invoke(
        FunctionName=function, LogType="Tail", Payload='{"find": "me"}'
    )
    text = base64.b64decode(answer["LogResult"]).decode()
    assert 'event {"find": "me"}' in text
    assert "REPORT RequestId: " in text


@pytest.mark.contract("lambda-zip")
def test_a_zip_function_runs_and_fails(aws: Endpoint) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", ZIP_FUNCTION)
    function = name("zip")
    client = aws.client("lambda")
    client.create_function(
        FunctionName=function,
        Role=aws.role,
        Runtime="python3.11",
        Handler="app.handler",
        Code={"ZipFile": packed.getvalue()},
        Timeout=20,
    )
    client.get_waiter("function_active_v2").wait(FunctionName=function)
    mark = aws.mark()
    answer, error = aws.invoke(function, {"put": mark.put, "body": "zipped"})
    assert (error, answer["name"], mark.text()) == ("", function, "zipped")
    aws.eventually(lambda: any("in a zip zipped" in one for one in aws.function_lines(function)))
    answer, error = aws.invoke(function, {"fail": "no"})
    assert (error, answer["errorMessage"]) == ("Unhandled", "no")


def ended(aws: Endpoint, function: str) -> list[str]:
    """The log when the invocation is over, else nothing."""
    lines = aws.function_lines(function)
    return lines if any(one.startswith("REPORT") for one in lines) else []


class background:
    """Invokes while the block runs; `answer` is there after it."""

    def __init__(self, aws: Endpoint, function: str, event: Any) -> None:
        self.answer: tuple[Any, str] = (None, "never answered")
        self._thread = threading.Thread(target=self._run, args=(aws, function, event))

    def __enter__(self) -> background:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(60)

    def _run(self, aws: Endpoint, function: str, event: Any) -> None:
        self.answer = aws.invoke(function, event)
