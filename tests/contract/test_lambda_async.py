"""Functions that are only told: retries, destinations, dead letters, event sources."""

from __future__ import annotations

import json

import pytest

from tests.contract.endpoint import Endpoint, name

pytestmark = [pytest.mark.contract("lambda-image"), pytest.mark.any_engine]


def tell(aws: Endpoint, function: str, event: object) -> None:
    answer = aws.client("lambda").invoke(
        FunctionName=function, InvocationType="Event", Payload=json.dumps(event)
    )
    assert answer["StatusCode"] == 202
    assert answer["Payload"].read() == b""


def test_an_event_is_worked_off_later(aws: Endpoint) -> None:
    function = aws.function()
    mark, held = aws.mark(), aws.mark()
    tell(aws, function, {"hold": held.get, "late": mark.put})
    assert mark.text() is None  # the answer did not wait
    held.release()
    assert aws.eventually(mark.text) == "too late"


def test_a_failure_is_tried_three_times_and_then_sent_on(aws: Endpoint) -> None:
    function = aws.function()
    queue, arn = aws.queue("lambda.amazonaws.com")
    aws.client("lambda").put_function_event_invoke_config(
        FunctionName=function, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    event = {"fail": "never works", "n": [1, "ü"]}
    tell(aws, function, event)
    record = aws.messages(queue)[0]["Body"]
    assert record["version"] == "1.0"
    context = record["requestContext"]
    assert (context["condition"], context["approximateInvokeCount"]) == ("RetriesExhausted", 3)
    assert context["functionArn"].endswith(f":function:{function}:$LATEST")
    assert record["requestPayload"] == event
    assert record["responseContext"]["functionError"] == "Unhandled"
    assert record["responsePayload"]["errorMessage"] == "never works"
    starts = [one for one in aws.function_lines(function) if one.startswith("START ")]
    assert starts == [starts[0]] * 3  # the same request each time


def test_the_number_of_retries_can_be_set(aws: Endpoint) -> None:
    function = aws.function()
    queue, arn = aws.queue("lambda.amazonaws.com")
    aws.client("lambda").put_function_event_invoke_config(
        FunctionName=function,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": arn}},
    )
    tell(aws, function, {"exit": 3})
    record = aws.messages(queue)[0]["Body"]
    assert record["requestContext"]["approximateInvokeCount"] == 1
    assert record["responsePayload"]["errorType"] == "Runtime.ExitError"


def test_a_success_is_sent_on(aws: Endpoint) -> None:
    function = aws.function()
    queue, arn = aws.queue("lambda.amazonaws.com")
    aws.client("lambda").put_function_event_invoke_config(
        FunctionName=function, DestinationConfig={"OnSuccess": {"Destination": arn}}
    )
    tell(aws, function, {"fine": True})
    record = aws.messages(queue)[0]["Body"]
    assert record["requestContext"]["condition"] == "Success"
    assert record["requestContext"]["approximateInvokeCount"] == 1
    assert record["responsePayload"]["echo"] == {"fine": True}


def test_a_dead_letter_is_the_event_with_its_error(aws: Endpoint) -> None:
    queue, arn = aws.queue("lambda.amazonaws.com")
    function = aws.function(DeadLetterConfig={"TargetArn": arn})
    tell(aws, function, {"fail": "dead"})
    [letter] = aws.messages(queue)
    assert letter["Body"] == {"fail": "dead"}
    attributes = {key: one["StringValue"] for key, one in letter["MessageAttributes"].items()}
    assert attributes["ErrorMessage"] == "dead"
    assert attributes["ErrorCode"] == "200"
    assert attributes["RequestID"]


def test_throttled_events_wait(aws: Endpoint) -> None:
    function = aws.function()
    client = aws.client("lambda")
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=1)
    marks = [aws.mark() for _ in range(3)]
    for mark in marks:
        tell(aws, function, {"put": mark.put, "body": "done", "sleep": 0.2})
    aws.eventually(lambda: all(mark.text() == "done" for mark in marks))
    starts = [one for one in aws.function_lines(function) if one.startswith("START ")]
    assert len(set(starts)) == len(starts) == 3


def mapped(aws: Endpoint, function: str, visibility: int) -> tuple[str, str, str]:
    """A queue whose messages start a function once: its URL and ARN, and that of dead letters."""
    sqs = aws.client("sqs")
    dead, dead_arn = aws.queue("lambda.amazonaws.com")
    queue, arn = aws.queue("lambda.amazonaws.com")
    redrive = {"deadLetterTargetArn": dead_arn, "maxReceiveCount": "1"}
    attributes = {"RedrivePolicy": json.dumps(redrive), "VisibilityTimeout": str(visibility)}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes=attributes)
    aws.client("lambda").create_event_source_mapping(
        EventSourceArn=arn, FunctionName=function, BatchSize=1
    )
    return queue, arn, dead


def test_messages_of_a_queue_start_a_function(aws: Endpoint) -> None:
    function = aws.function()
    queue, arn, dead = mapped(aws, function, 60)
    aws.client("sqs").send_message(QueueUrl=queue, MessageBody='"from the queue"')
    aws.eventually(lambda: any("from the queue" in one for one in aws.function_lines(function)))
    events = [one for one in aws.function_lines(function) if one.startswith("event ")]
    [record] = json.loads(events[0].removeprefix("event "))["Records"]
    assert record["body"] == '"from the queue"'
    assert (record["eventSource"], record["eventSourceARN"]) == ("aws:sqs", arn)
    assert record["messageId"]
    assert record["receiptHandle"]
    assert aws.received(dead) == []


def test_a_message_whose_function_fails_goes_to_the_dead_letters(aws: Endpoint) -> None:
    function = aws.function(Environment={"Variables": {"START": "exit"}}, Timeout=3)
    queue, _, dead = mapped(aws, function, 3)
    aws.client("sqs").send_message(QueueUrl=queue, MessageBody='"nobody can read this"')
    [letter] = aws.messages(dead)
    assert letter["Body"] == "nobody can read this"


def test_a_rule_of_the_event_bus_starts_a_function(aws: Endpoint) -> None:
    function = aws.function()
    events = aws.client("events")
    rule = name("rule")
    arn = events.put_rule(
        Name=rule, EventPattern=json.dumps({"source": ["contract"], "detail": {"n": [1]}})
    )["RuleArn"]
    aws.client("lambda").add_permission(
        FunctionName=function,
        StatementId="events",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=arn,
    )
    target = aws.client("lambda").get_function(FunctionName=function)["Configuration"]
    events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": target["FunctionArn"]}])
    entry = {"Source": "contract", "DetailType": "a kind"}
    events.put_events(
        Entries=[entry | {"Detail": json.dumps({"n": n, "text": "☃"})} for n in (2, 1)]
    )
    lines = aws.eventually(
        lambda: [one for one in aws.function_lines(function) if one.startswith("event ")]
    )
    [event] = [json.loads(one.removeprefix("event ")) for one in lines]
    assert event["detail"] == {"n": 1, "text": "☃"}
    assert (event["source"], event["detail-type"]) == ("contract", "a kind")
    assert event["account"] == aws.account
