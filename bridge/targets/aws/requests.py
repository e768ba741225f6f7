"""A request as API Gateway gives it to a function, and the function's answer to it."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from bridge.errors import TargetUnavailable, TemporaryError
from bridge.fdl import limits
from bridge.targets.protocol import Reply

__all__ = ["gateway_request", "most_of_request", "refusal", "reply_of", "unanswered"]

_TEXT: Final = "text/plain; charset=utf-8"
_OK: Final = 200
_FULL: Final = 429
_PAUSE: Final = 2.0  # seconds after which there may be room again
_TOO_LATE: Final = ("Sandbox.Timedout", "Task timed out after")


def gateway_request(
    path: str, body: bytes, headers: Mapping[str, str], number: str, *, query: str = ""
) -> bytes:
    """The payload of an invocation: any bytes pass, and failures come back with their log."""
    pairs = dict(parse_qsl(query, keep_blank_values=True, errors="surrogateescape"))
    request = {
        "httpMethod": "POST",
        "path": path,
        "headers": dict(headers),
        "queryStringParameters": pairs or None,
        "requestContext": {"requestId": number},
        "body": b64encode(body).decode(),
        "isBase64Encoded": True,
    }
    return json.dumps(request).encode()


def most_of_request() -> int:
    """How many bytes Lambda takes in a synchronous invocation."""
    return limits()["lambda.payload_sync"].max or 0


def reply_of(payload: bytes, *, failed: bool) -> Reply:
    """What a function has answered, as the service's own server on a cluster would say it.

    200 with what the script gave back, 500 with what a failed one said, 504 when its time was over,
    400 for a body that cannot be understood. 502 when the function broke, or is none of ours.
    """
    said = _object(payload)
    if failed:
        reason = str(said.get("errorMessage") or "the function failed without a reason")
        late = any(word in f"{said.get('errorType')} {reason}" for word in _TOO_LATE)
        return refusal(504 if late else 502, reason)
    status = said.get("statusCode")
    if not isinstance(status, int):
        return refusal(502, "the function did not answer as a service of OSCAR Bridge does")
    text = str(said.get("body") or "")
    body = b64decode(text) if said.get("isBase64Encoded") else text.encode()
    if status < 400:
        kind = _TEXT if status == _OK else "application/json"
        return _answer(status, body, kind)
    return refusal(status, str(_object(body).get("message") or text))


def unanswered(error: TargetUnavailable, timeout: float) -> Reply:
    """A 504 when the answer did not come in time; else the error, where there is no room for more
    calls now as a TemporaryError that is none of the target's."""
    from botocore import exceptions as aws  # noqa: PLC0415  (heavy, and an extra)

    cause = error.__cause__
    if isinstance(cause, aws.ReadTimeoutError):
        return refusal(504, f"the service did not answer within {timeout:g} s")
    if isinstance(cause, aws.ClientError) and _status(cause.response) == _FULL:
        raise TemporaryError(error.message, delay=_PAUSE) from error
    raise error


def _status(response: Mapping[str, Any]) -> int:
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def refusal(status: int, text: str) -> Reply:
    """An answer that is a sentence."""
    return _answer(status, f"{text.rstrip()}\n".encode(), _TEXT)


def _answer(status: int, body: bytes, kind: str) -> Reply:
    headers = {"content-type": kind, "content-length": str(len(body))}
    return Reply(status, headers, iter([body]), lambda: None)


def _object(payload: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(payload or b"null")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
