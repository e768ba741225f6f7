"""Buckets, notifications and the events that are pulled."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from bridge.errors import AccessError
from bridge.pipeline import NotificationRule
from bridge.targets.aws import Account, Buckets, QueueSource

RULE = NotificationRule("s3.default", "photos", "in/", ".jpg", ("grayify",))


def _notifications(account: Account, bucket: str) -> dict[str, object]:
    found: dict[str, object] = account.client("s3").get_bucket_notification_configuration(
        Bucket=bucket
    )
    return {name: value for name, value in found.items() if name != "ResponseMetadata"}


def test_a_rule_becomes_a_notification_with_its_filters(account: Account) -> None:
    buckets = Buckets(account)
    buckets.ensure("photos")
    buckets.ensure_rules("photos", [RULE])
    (config,) = _notifications(account, "photos")["QueueConfigurations"]  # type: ignore[attr-defined]
    assert config["QueueArn"] == account.queue("events")[1]
    assert config["Events"] == ["s3:ObjectCreated:*"]
    rules = {r["Name"].lower(): r["Value"] for r in config["Filter"]["Key"]["FilterRules"]}
    assert rules == {"prefix": "in/", "suffix": ".jpg"}


def test_what_others_have_configured_stays(account: Account) -> None:
    buckets = Buckets(account)
    buckets.ensure("photos")
    sqs = account.client("sqs")
    url = sqs.create_queue(QueueName="of-others")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    theirs = attributes["Attributes"]["QueueArn"]
    topic = account.client("sns").create_topic(Name="of-others")["TopicArn"]
    account.client("s3").put_bucket_notification_configuration(
        Bucket="photos",
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": theirs, "Events": ["s3:ObjectRemoved:*"]}],
            "TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectRemoved:*"]}],
        },
    )
    buckets.ensure_rules("photos", [RULE])
    buckets.ensure_rules("photos", [RULE])
    found = _notifications(account, "photos")
    arns = [c["QueueArn"] for c in found["QueueConfigurations"]]  # type: ignore[attr-defined]
    assert sorted(arns) == sorted([theirs, account.queue("events")[1]])
    (kept,) = found["TopicConfigurations"]  # type: ignore[attr-defined]
    assert kept["TopicArn"] == topic


def test_a_refusal_does_not_end_the_pulling(
    account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bridge.targets.aws.source._LONG_PAUSE", 0.0)
    url, _ = account.queue("events")
    sqs = account.client("sqs")
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    taken, receive = threading.Event(), sqs.receive_message
    answers = iter([AccessError("the key has expired")])

    def refusing(**asked: Any) -> Any:
        for error in answers:
            raise error
        return receive(**asked)

    monkeypatch.setattr(sqs, "receive_message", refusing)
    source = QueueSource(account, lambda body, headers: taken.set(), wait=0)
    source.start()
    assert taken.wait(20)
    source.close()
    assert "the key has expired" in caplog.text


def test_a_listing_leaves_folder_markers_out(account: Account) -> None:
    buckets = Buckets(account)
    buckets.ensure("photos")
    for key in ("in/", "in/a b.jpg", "in/é.jpg", "out/x"):
        account.client("s3").put_object(Bucket="photos", Key=key, Body=b"123")
    found = list(buckets.listing("photos", "in/"))
    assert [(o.key, o.size) for o in found] == [("in/a b.jpg", 3), ("in/é.jpg", 3)]
    assert all(len(o.etag) == 32 for o in found)


def test_a_message_is_deleted_only_after_it_was_accepted(account: Account) -> None:
    url, _ = account.queue("events")
    sqs = account.client("sqs")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "0"})
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"n": 1}))
    bodies: list[bytes] = []
    done = threading.Event()

    def accept(body: bytes, headers: Mapping[str, str]) -> None:
        from bridge.errors import TemporaryError  # noqa: PLC0415

        bodies.append(body)
        if len(bodies) == 1:
            raise TemporaryError("the disk is full for now")
        done.set()

    source = QueueSource(account, accept, wait=0)
    source.start()
    assert done.wait(20)
    source.close()
    assert bodies[:2] == [b'{"n": 1}', b'{"n": 1}']
    left = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])[
        "Attributes"
    ]
    assert left["ApproximateNumberOfMessages"] == "0"
