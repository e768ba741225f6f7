"""What a bucket tells queues, functions and the event bus about its objects."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import pytest
from botocore.exceptions import ClientError

from tests.contract.endpoint import Endpoint, code, message, name

pytestmark = pytest.mark.any_engine
KEYS = ["in/a b.txt", "in/a+b.txt", "in/50%.txt", "in/ünï ☃.txt", "in/x=1&y='2'.txt", "in/deep/er"]
CREATED = ["s3:ObjectCreated:*"]


def rule(arn: str, prefix: str = "", suffix: str = "", events: list[str] = CREATED) -> Any:
    """A rule for a queue."""
    filters = [{"Name": "prefix", "Value": prefix}] if prefix else []
    filters += [{"Name": "suffix", "Value": suffix}] if suffix else []
    found: dict[str, Any] = {"QueueArn": arn, "Events": events}
    return found | ({"Filter": {"Key": {"FilterRules": filters}}} if filters else {})


def notify(aws: Endpoint, bucket: str, **configuration: Any) -> None:
    aws.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration=configuration
    )


def records(aws: Endpoint, queue: str, count: int) -> list[dict[str, Any]]:
    """The records that come, without the test event."""
    found: list[dict[str, Any]] = []

    def enough() -> bool:
        for one in aws.received(queue):
            found.extend(one["Body"].get("Records", ()))
        return len(found) >= count

    aws.eventually(enough)
    return found


def test_a_new_rule_is_announced_with_a_test_event(aws: Endpoint) -> None:
    bucket, (queue, arn) = aws.new_bucket(), aws.queue()
    notify(aws, bucket, QueueConfigurations=[rule(arn)])
    [told] = aws.messages(queue)
    event = told["Body"]
    assert (event["Service"], event["Event"]) == ("Amazon S3", "s3:TestEvent")
    assert event["Bucket"] == bucket
    assert event["Time"]
    assert "Records" not in event


def test_an_event_tells_bucket_key_size_and_tag(aws: Endpoint) -> None:
    bucket, (queue, arn) = aws.new_bucket(), aws.queue()
    notify(aws, bucket, QueueConfigurations=[rule(arn) | {"Id": "my-rule"}])
    s3 = aws.client("s3")
    tag = s3.put_object(Bucket=bucket, Key="in.txt", Body=b"12345")["ETag"].strip('"')
    [record] = records(aws, queue, 1)
    assert (record["eventSource"], record["eventName"]) == ("aws:s3", "ObjectCreated:Put")
    assert record["awsRegion"] == "us-east-1"
    assert record["eventVersion"].startswith("2.")
    assert record["eventTime"].endswith("Z")
    place = record["s3"]
    assert (place["bucket"]["name"], place["bucket"]["arn"]) == (bucket, f"arn:aws:s3:::{bucket}")
    assert place["configurationId"] == "my-rule"
    assert place["object"] | {"key": "in.txt", "size": 5, "eTag": tag} == place["object"]


@pytest.mark.contract("s3-event-fields")
def test_an_event_tells_who_and_in_which_order(aws: Endpoint) -> None:
    bucket, (queue, arn) = aws.new_bucket(), aws.queue()
    notify(aws, bucket, QueueConfigurations=[rule(arn)])
    [told] = aws.messages(queue)
    assert {"RequestId", "HostId"} <= set(told["Body"])
    for _ in range(2):
        aws.client("s3").put_object(Bucket=bucket, Key="same", Body=b"x")
    one, two = records(aws, queue, 2)
    assert one["s3"]["object"]["sequencer"] != two["s3"]["object"]["sequencer"]
    assert one["userIdentity"]["principalId"]
    assert one["requestParameters"]["sourceIPAddress"]
    assert one["responseElements"]["x-amz-request-id"]
    assert one["s3"]["bucket"]["ownerIdentity"]["principalId"]


def test_keys_are_encoded_so_that_decoding_gives_them_back(aws: Endpoint) -> None:
    bucket, (queue, arn) = aws.new_bucket(), aws.queue()
    notify(aws, bucket, QueueConfigurations=[rule(arn)])
    for key in KEYS:
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    told = [one["s3"]["object"]["key"] for one in records(aws, queue, len(KEYS))]
    assert sorted(map(unquote_plus, told)) == sorted(KEYS)
    assert not any(" " in one for one in told)


@pytest.mark.contract("s3-key-slash")
def test_keys_keep_their_slashes(aws: Endpoint) -> None:
    bucket, (queue, arn) = aws.new_bucket(), aws.queue()
    notify(aws, bucket, QueueConfigurations=[rule(arn)])
    for key in KEYS:
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    told = [one["s3"]["object"]["key"] for one in records(aws, queue, len(KEYS))]
    assert sorted(told) == sorted(quote_plus(key, safe="/") for key in KEYS)


def test_only_what_fits_prefix_and_suffix_is_told(aws: Endpoint) -> None:
    bucket, (queue, arn) = aws.new_bucket(), aws.queue()
    notify(aws, bucket, QueueConfigurations=[rule(arn, "in put/", ".txt")])
    s3 = aws.client("s3")
    for key in ("in put/a.txt", "in put/b.csv", "out/c.txt", "x/in put/d.txt", "in put/e.txt"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    found = records(aws, queue, 2)
    keys = {unquote_plus(one["s3"]["object"]["key"]) for one in found}
    assert keys == {"in put/a.txt", "in put/e.txt"}
    assert aws.received(queue) == []


def test_the_kinds_of_creation_have_their_names(aws: Endpoint) -> None:
    bucket, (queue, arn) = aws.new_bucket(), aws.queue()
    notify(aws, bucket, QueueConfigurations=[rule(arn, events=["s3:ObjectCreated:*"])])
    s3 = aws.client("s3")
    s3.put_object(Bucket=bucket, Key="one", Body=b"x")
    s3.copy_object(Bucket=bucket, Key="two", CopySource={"Bucket": bucket, "Key": "one"})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="three")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="three", UploadId=upload, PartNumber=1, Body=b"x")
    parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
    s3.complete_multipart_upload(
        Bucket=bucket, Key="three", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    names = {one["s3"]["object"]["key"]: one["eventName"] for one in records(aws, queue, 3)}
    assert names == {
        "one": "ObjectCreated:Put",
        "two": "ObjectCreated:Copy",
        "three": "ObjectCreated:CompleteMultipartUpload",
    }


def test_removals_are_told_to_who_asked_for_them(aws: Endpoint) -> None:
    bucket, (queue, arn) = aws.new_bucket(), aws.queue()
    notify(aws, bucket, QueueConfigurations=[rule(arn, events=["s3:ObjectRemoved:*"])])
    s3 = aws.client("s3")
    s3.put_object(Bucket=bucket, Key="a b", Body=b"x")
    s3.delete_object(Bucket=bucket, Key="a b")
    [record] = records(aws, queue, 1)
    assert record["eventName"] == "ObjectRemoved:Delete"
    assert unquote_plus(record["s3"]["object"]["key"]) == "a b"


OVERLAPS = [
    [("in/", ""), ("in/deep/", "")],
    [("", ""), ("in/", "")],
    [("in/", ".txt"), ("in/", "t")],
    [("", ".txt"), ("in/", ".txt")],
]


@pytest.mark.contract("s3-overlap")
@pytest.mark.parametrize("filters", OVERLAPS)
def test_rules_that_overlap_are_refused_and_change_nothing(
    aws: Endpoint, filters: list[tuple[str, str]]
) -> None:
    bucket, (_, arn) = aws.new_bucket(), aws.queue()
    notify(aws, bucket, QueueConfigurations=[rule(arn, "kept/")])
    with pytest.raises(ClientError) as caught:
        notify(aws, bucket, QueueConfigurations=[rule(arn, *one) for one in filters])
    assert code(caught.value) == "InvalidArgument"
    assert message(caught.value).startswith("Configuration is ambiguously defined")
    kept = aws.client("s3").get_bucket_notification_configuration(Bucket=bucket)
    [found] = kept["QueueConfigurations"]
    [only] = found["Filter"]["Key"]["FilterRules"]
    assert (only["Name"].lower(), only["Value"]) == ("prefix", "kept/")


def test_rules_that_only_look_alike_are_taken(aws: Endpoint) -> None:
    bucket, (queue, arn) = aws.new_bucket(), aws.queue()
    other, other_arn = aws.queue()
    rules = [
        rule(arn, "in/", ".txt"),
        rule(other_arn, "in/", ".csv"),
        rule(other_arn, "out/", ".txt"),
        rule(other_arn, "in/", ".txt", ["s3:ObjectRemoved:*"]),
    ]
    notify(aws, bucket, QueueConfigurations=rules)
    for key in ("in/a.txt", "in/b.csv", "out/c.txt"):
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    assert [one["s3"]["object"]["key"] for one in records(aws, queue, 1)] != []
    keys = {unquote_plus(one["s3"]["object"]["key"]) for one in records(aws, other, 2)}
    assert keys == {"in/b.csv", "out/c.txt"}


@pytest.mark.contract("s3-destinations")
def test_a_queue_that_is_not_there_or_does_not_let_s3_in_is_refused(aws: Endpoint) -> None:
    bucket = aws.new_bucket()
    _, closed = aws.queue("sns.amazonaws.com")
    missing = closed.replace(closed.rpartition(":")[2], name("none"))
    for arn in (missing, closed):
        with pytest.raises(ClientError) as caught:
            notify(aws, bucket, QueueConfigurations=[rule(arn)])
        assert code(caught.value) == "InvalidArgument"
        assert arn in message(caught.value)


@pytest.mark.contract("lambda-image", "s3-destinations")
def test_a_function_that_does_not_let_s3_in_is_refused(aws: Endpoint) -> None:
    bucket, function = aws.new_bucket(), aws.function()
    arn = function_arn(aws, function)
    with pytest.raises(ClientError) as caught:
        notify(
            aws,
            bucket,
            LambdaFunctionConfigurations=[{"LambdaFunctionArn": arn, "Events": CREATED}],
        )
    assert code(caught.value) == "InvalidArgument"
    assert message(caught.value).startswith("Unable to validate the following destination")


@pytest.mark.contract("lambda-image")
def test_a_new_object_starts_a_function(aws: Endpoint) -> None:
    bucket, function = aws.new_bucket(), aws.function()
    aws.client("lambda").add_permission(
        FunctionName=function,
        StatementId="s3",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn=f"arn:aws:s3:::{bucket}",
    )
    one = {
        "LambdaFunctionArn": function_arn(aws, function),
        "Events": CREATED,
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}},
    }
    notify(aws, bucket, LambdaFunctionConfigurations=[one])
    aws.client("s3").put_object(Bucket=bucket, Key="out/no", Body=b"x")
    for key in KEYS:
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")

    def all_told() -> list[str]:
        lines = [one for one in aws.function_lines(function) if one.startswith("event ")]
        return lines if len(lines) == len(KEYS) else []

    events = [json.loads(one.removeprefix("event ")) for one in aws.eventually(all_told)]
    found = [one["Records"][0] for one in events]
    assert {one["eventName"] for one in found} == {"ObjectCreated:Put"}
    keys = sorted(one["s3"]["object"]["key"] for one in found)
    assert keys == sorted(quote_plus(key, safe="/") for key in KEYS)


@pytest.mark.contract("s3-bus-reason")
def test_the_event_bus_is_told_with_plain_keys_and_the_reason(aws: Endpoint) -> None:
    bucket, (queue, arn) = aws.new_bucket(), aws.queue("events.amazonaws.com")
    notify(aws, bucket, EventBridgeConfiguration={})
    events = aws.client("events")
    given = name("rule")
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [bucket]}, "object": {"key": [{"prefix": "in/"}]}},
    }
    events.put_rule(Name=given, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=given, Targets=[{"Id": "1", "Arn": arn}])
    s3 = aws.client("s3")
    s3.put_object(Bucket=bucket, Key="out/no", Body=b"x")
    s3.put_object(Bucket=bucket, Key="in/ä +%.txt", Body=b"123")
    [told] = aws.messages(queue)
    event = told["Body"]
    assert (event["source"], event["detail-type"]) == ("aws.s3", "Object Created")
    assert event["resources"] == [f"arn:aws:s3:::{bucket}"]
    detail = event["detail"]
    assert (detail["bucket"]["name"], detail["reason"]) == (bucket, "PutObject")
    assert (detail["object"]["key"], detail["object"]["size"]) == ("in/ä +%.txt", 3)
    assert detail["object"]["etag"]


def function_arn(aws: Endpoint, function: str) -> str:
    found = aws.client("lambda").get_function(FunctionName=function)
    return str(found["Configuration"]["FunctionArn"])
