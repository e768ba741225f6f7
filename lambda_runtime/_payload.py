"""What an invocation's payload asks for: its shape, its script, its messages."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any, NamedTuple

from bridge.errors import EventError


class Shape(Enum):
    """Who waits for the answer, and so which form it has."""

    DIRECT = "direct"
    HTTP = "http"
    QUEUE = "queue"


class Message(NamedTuple):
    """One record of a queue's batch. `body` is a payload of its own that holds just this record."""

    id: str
    body: dict[str, Any]
    group: str = ""


def parse(payload: bytes) -> Any:
    """The payload's JSON; EventError when it is none."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise EventError(f"the invocation's payload is not JSON: {error}") from error


def shape(body: Any) -> Shape:
    """The shape of a parsed payload."""
    if not isinstance(body, dict):
        return Shape.DIRECT
    context = body.get("requestContext")
    if "httpMethod" in body or (isinstance(context, dict) and "http" in context):
        return Shape.HTTP
    records = body.get("Records")
    if isinstance(records, list) and records and all(_is_message(r) for r in records):
        return Shape.QUEUE
    return Shape.DIRECT


def messages(body: dict[str, Any]) -> list[Message]:
    """The messages of a payload of shape QUEUE, in the order in which they must run."""
    return [
        Message(
            id=str(record.get("messageId", "")),
            body={**body, "Records": [record]},
            group=str((record.get("attributes") or {}).get("MessageGroupId", "")),
        )
        for record in body["Records"]
    ]


def script(body: Any) -> tuple[str, Any]:
    """The script that a direct invocation brings ("" when none), and the payload without it.

    `script` (base64) comes before `cmd_args` (a JSON list, or its text), as SCAR has it.
    """
    if not isinstance(body, dict) or not body.keys() & {"script", "cmd_args"}:
        return "", body
    rest = {name: value for name, value in body.items() if name not in ("script", "cmd_args")}
    if body.get("script"):
        return _decoded(body["script"]), rest
    if body.get("cmd_args"):
        return _command(body["cmd_args"]), rest
    return "", rest


def _is_message(record: object) -> bool:
    return isinstance(record, dict) and record.get("eventSource") == "aws:sqs"


def _decoded(text: object) -> str:
    from base64 import b64decode  # noqa: PLC0415  (most invocations bring no script)

    try:
        return b64decode(str(text), validate=True).decode()
    except ValueError as error:
        raise EventError("the payload's `script` is not base64 of UTF-8 text") from error


def _command(given: object) -> str:
    try:
        words = json.loads(given) if isinstance(given, str) else given
    except ValueError as error:
        raise EventError("the payload's `cmd_args` is not JSON") from error
    if not isinstance(words, list) or not words or not all(isinstance(w, str) for w in words):
        raise EventError("the payload's `cmd_args` must be a list of one or more texts")
    return f"#!/bin/sh\nexec {' '.join(_quoted(word) for word in words)}\n"


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\"'\"'") + "'"
