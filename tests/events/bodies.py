"""Bodies of events as their sources send them, for the tests of this folder."""

from __future__ import annotations

import json
from typing import Any

from bridge.events import s3_record

MINIO: dict[str, Any] = {
    "EventName": "s3:ObjectCreated:Put",
    "Key": "images/in/a b.txt",
    "Records": [
        {
            "eventVersion": "2.0",
            "eventSource": "minio:s3",
            "awsRegion": "",
            "eventTime": "2026-01-02T03:04:05.678Z",
            "eventName": "s3:ObjectCreated:Put",
            "userIdentity": {"principalId": "writer"},
            "requestParameters": {
                "principalId": "writer",
                "region": "",
                "sourceIPAddress": "10.0.0.1",
            },
            "responseElements": {"x-amz-request-id": "16B3"},
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "Config",
                "bucket": {
                    "name": "images",
                    "ownerIdentity": {"principalId": "writer"},
                    "arn": "arn:aws:s3:::images",
                },
                "object": {
                    "key": "in%2Fa+b.txt",
                    "size": 12,
                    "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                    "contentType": "text/plain",
                    "userMetadata": {"content-type": "text/plain"},
                    "sequencer": "16B3A1D2E3F4A5B6",
                },
            },
            "source": {"host": "10.0.0.1", "port": "", "userAgent": "MinIO"},
        }
    ],
}

EVENTBRIDGE: dict[str, Any] = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "account": "111122223333",
    "time": "2026-01-02T03:04:05Z",
    "region": "eu-west-1",
    "resources": ["arn:aws:s3:::images"],
    "detail": {
        "version": "0",
        "bucket": {"name": "images"},
        "object": {
            "key": "in/50%25 a+b.txt",
            "size": 5,
            "etag": "b1946ac92492d2347c6235b4d2611184",
            "version-id": "v7",
            "sequencer": "617f08299329d189",
        },
        "request-id": "N4N7GDK58NMKJ12R",
        "requester": "111122223333",
        "reason": "PutObject",
    },
}

ONEDATA: dict[str, Any] = {
    "Key": "/my-space/files/file+1.txt",
    "Records": [
        {
            "objectKey": "file+1.txt",
            "objectId": "0000034500046EE9C6775",
            "eventTime": "2019-02-07T09:51:04.347823",
            "eventSource": "OneTrigger",
        }
    ],
}

DCACHE: dict[str, Any] = {
    "event": {"name": "image2.jpg", "mask": ["IN_CREATE"]},
    "subscription": "https://dcache.example.org:3880/api/v1/events/channels/x/subscriptions/y",
}

RUCIO: dict[str, Any] = {
    "event_type": "transfer-done",
    "created_at": "2026-01-02 03:04:05",
    "payload": {"scope": "user.jdoe", "name": "dataset1"},
}


def s3(key: str = "in/a.txt", **more: Any) -> dict[str, Any]:
    """An S3 notification with an ETag and a sequencer."""
    return s3_record("images", key, **{"etag": "e1", "sequencer": "0A", **more})


def http_v1(body: object, **more: Any) -> dict[str, Any]:
    """A request as API Gateway's first format has it."""
    return {
        "httpMethod": "POST",
        "headers": {"Content-Type": "application/octet-stream"},
        "queryStringParameters": None,
        "isBase64Encoded": False,
        "body": body,
        **more,
    }


def http_v2(body: object, **more: Any) -> dict[str, Any]:
    """A request as API Gateway's second format and function URLs have it."""
    request = {
        "version": "2.0",
        "rawPath": "/",
        "headers": {"content-type": "application/json"},
        "requestContext": {"http": {"method": "POST", "path": "/"}},
        "isBase64Encoded": False,
    }
    return request | ({} if body is None else {"body": body}) | more


def sqs(*bodies: object) -> dict[str, Any]:
    """A batch of SQS messages."""
    records = [
        {"messageId": f"m{n}", "eventSource": "aws:sqs", "body": _text(body)}
        for n, body in enumerate(bodies)
    ]
    return {"Records": records}


def sns(body: object) -> dict[str, Any]:
    """An SNS message as Lambda gets it."""
    message = {"Type": "Notification", "MessageId": "n1", "Message": _text(body)}
    return {"Records": [{"EventSource": "aws:sns", "Sns": message}]}


def cloudevent(**more: Any) -> dict[str, Any]:
    """A structured CloudEvent."""
    return {
        "specversion": "1.0",
        "id": "42",
        "source": "urn:test",
        "type": "org.example.thing",
        "time": "2026-01-02T03:04:05Z",
        **more,
    }


def _text(body: object) -> str:
    return body if isinstance(body, str) else json.dumps(body)
