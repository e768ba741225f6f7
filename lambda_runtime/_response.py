"""The answers of an invocation: SCAR's for a run, HTTP's for a request, SQS's for a batch."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Mapping, Sequence

from lambda_runtime._client import Failure, Invocation
from lambda_runtime._elsewhere import Elsewhere

# Not every failure of a request is ours: the status by the failure's type.
_STATUS: Mapping[str, int] = {"EventError": 400, "ScriptTimeout": 504}


def succeeded(invocation: Invocation, output: bytes) -> bytes:
    """SCAR's response: status 200, where the log is, and what the script printed in base64."""
    return json.dumps(
        {
            "statusCode": 200,
            "headers": _headers(invocation),
            "body": b64encode(output).decode(),
            "isBase64Encoded": True,
        }
    ).encode()


def elsewhere(invocation: Invocation, jobs: Sequence[Elsewhere]) -> bytes:
    """Status 202: some of the jobs are not over. The body names them, as JSON."""
    return json.dumps(
        {
            "statusCode": 202,
            "headers": {**_headers(invocation), "content-type": "application/json"},
            "body": json.dumps({"jobs": [job.as_json() for job in jobs]}),
            "isBase64Encoded": False,
        }
    ).encode()


def refused(invocation: Invocation, failure: Failure) -> bytes:
    """The HTTP form of a failure, for an invocation by API Gateway or a function URL."""
    body = {"error": failure.type, "message": failure.message, "log": list(failure.trace)}
    return json.dumps(
        {
            "statusCode": _STATUS.get(failure.type, 500),
            "headers": {**_headers(invocation), "content-type": "application/json"},
            "body": json.dumps(body),
            "isBase64Encoded": False,
        }
    ).encode()


def batch(failed: Sequence[str]) -> bytes:
    """SQS's partial batch response: the messages that must come again."""
    return json.dumps({"batchItemFailures": [{"itemIdentifier": name} for name in failed]}).encode()


def _headers(invocation: Invocation) -> dict[str, str]:
    return {
        "amz-lambda-request-id": invocation.id,
        "amz-log-group-name": os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", ""),
        "amz-log-stream-name": os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", ""),
    }
