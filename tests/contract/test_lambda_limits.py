"""What Lambda refuses, with AWS's codes."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from bridge.fdl import limits
from tests.contract.endpoint import Endpoint, code, message

pytestmark = pytest.mark.any_engine
image = pytest.mark.contract("lambda-image")
checked = pytest.mark.contract("lambda-limits")


def most(limit: str) -> int:
    return limits()[limit].max or 0


@checked
@pytest.mark.parametrize(
    ("settings", "refusal"),
    [
        ({"MemorySize": 64}, "ValidationException"),
        ({"MemorySize": 20_000}, "ValidationException"),
        ({"Timeout": 5_000}, "ValidationException"),
        ({"Environment": {"Variables": {"A": "x" * 4_096}}}, "InvalidParameterValueException"),
    ],
    ids=["little memory", "much memory", "long", "environment"],
)
def test_settings_out_of_bounds_are_refused(
    aws: Endpoint, settings: dict[str, Any], refusal: str
) -> None:
    with pytest.raises(ClientError) as caught:
        aws.function(**settings)
    assert code(caught.value) == refusal


@checked
def test_an_update_out_of_bounds_changes_nothing(aws: Endpoint) -> None:
    function = aws.function(Environment={"Variables": {"A": "kept"}})
    client = aws.client("lambda")
    with pytest.raises(ClientError) as caught:
        client.update_function_configuration(
            FunctionName=function, Environment={"Variables": {"A": "x" * 4_096}}
        )
    assert code(caught.value) == "InvalidParameterValueException"
    assert "4KB" in message(caught.value)
    kept = client.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    assert kept == {"A": "kept"}


@image
@pytest.mark.parametrize(
    ("kind", "limit"),
    [("RequestResponse", "lambda.payload_sync"), ("Event", "lambda.payload_async")],
)
def test_a_payload_above_the_limit_is_refused_and_one_below_is_not(
    aws: Endpoint, kind: str, limit: str
) -> None:
    function = aws.function()
    client = aws.client("lambda")
    text = '{"a": "%s"}'
    room = most(limit) - len(text % "")
    with pytest.raises(ClientError) as caught:
        client.invoke(FunctionName=function, InvocationType=kind, Payload=text % ("x" * (room + 1)))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert code(caught.value) == "RequestTooLargeException"
    # Half of it: the function's answer, which has the event in it, must fit as well.
    answer = client.invoke(
        FunctionName=function, InvocationType=kind, Payload=text % ("x" * (room // 2))
    )
    assert answer["StatusCode"] == (200 if kind == "RequestResponse" else 202)


@image
def test_an_answer_above_the_limit_is_an_error(aws: Endpoint) -> None:
    function = aws.function()
    answer, error = aws.invoke(function, {"size": most("lambda.payload_response") + 1})
    assert (error, answer["errorType"]) == ("Unhandled", "Function.ResponseSizeTooLarge")
    answer, error = aws.invoke(function, {"size": 1_000_000})
    assert (error, len(answer)) == ("", 1_000_000)


@image
def test_a_payload_that_is_no_json_is_refused(aws: Endpoint) -> None:
    with pytest.raises(ClientError) as caught:
        aws.client("lambda").invoke(FunctionName=aws.function(), Payload="{no json")
    assert code(caught.value) == "InvalidRequestContentException"


@pytest.mark.contract("lambda-names")
def test_a_name_is_taken_once(aws: Endpoint) -> None:
    function = aws.function()
    with pytest.raises(ClientError) as caught:
        aws.function(FunctionName=function)
    assert code(caught.value) == "ResourceConflictException"
