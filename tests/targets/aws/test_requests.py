"""What the caller of a service on Lambda is answered."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from bridge.errors import TargetUnavailable, TemporaryError
from bridge.targets.aws.account import translated
from bridge.targets.aws.requests import reply_of, unanswered


def said(status: int, body: Any) -> bytes:
    return json.dumps({"statusCode": status, "body": json.dumps(body)}).encode()


@pytest.mark.parametrize(
    ("payload", "failed", "status", "body"),
    [
        (said(500, {"message": "job x: exit code 3"}), False, 500, b"job x: exit code 3\n"),
        (said(504, {"message": "too long"}), False, 504, b"too long\n"),
        (said(202, {"jobs": []}), False, 202, b'{"jobs": []}'),
        (b'{"errorType": "Sandbox.Timedout", "errorMessage": "late"}', True, 504, b"late\n"),
        (b'{"errorMessage": "x Task timed out after 3.00 seconds"}', True, 504, b""),
        (b'{"errorType": "Runtime.ExitError", "errorMessage": "gone"}', True, 502, b"gone\n"),
        (b"", True, 502, b""),
        (b"not JSON", False, 502, b""),
        (b'["an answer of something else"]', False, 502, b""),
    ],
)
def test_an_answer_is_the_one_that_a_server_of_ours_would_give(
    payload: bytes, failed: bool, status: int, body: bytes
) -> None:
    reply = reply_of(payload, failed=failed)
    text = b"".join(reply.body)
    assert reply.status == status
    assert text == body if body else text
    assert reply.headers["content-length"] == str(len(text))


def test_bytes_come_as_they_are() -> None:
    made = {"statusCode": 200, "body": b64encode(b"\0\xff").decode(), "isBase64Encoded": True}
    assert b"".join(reply_of(json.dumps(made).encode(), failed=False).body) == b"\0\xff"


def refused(status: int, code: str) -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Invoke")


def asked(error: Exception) -> TargetUnavailable:
    with pytest.raises(TargetUnavailable) as found, translated("invoke f"):
        raise error
    return found.value


def test_no_answer_is_late_full_or_not_there() -> None:
    late = asked(ReadTimeoutError(endpoint_url="http://x"))
    assert unanswered(late, 5.0).status == 504
    with pytest.raises(TemporaryError) as full:
        unanswered(asked(refused(429, "TooManyRequestsException")), 5.0)
    # The target is well: others get their answers.
    assert not isinstance(full.value, TargetUnavailable)
    assert full.value.delay > 0
    with pytest.raises(TargetUnavailable):
        unanswered(asked(refused(503, "ServiceException")), 5.0)
