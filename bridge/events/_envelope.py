"""The envelope of the job contract: an event on its way to a place, with its job."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bridge.errors import EventError
from bridge.events._build import storage_body
from bridge.events._delivery import optional_text
from bridge.events._raw import dump_json, parse_json, raw_payload
from bridge.events.model import Event

_KEYS = frozenset({"event", "storage_provider", "job_id", "attempt", "nonce", "traceparent"})
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_LONGEST = 128
_TRACE = re.compile("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a dispatcher says around an event. `event` is the original body, still undecoded.

    `job` is safe as a file's name. `attempt` counts from 1. `provider` is `<type>.<id>` or empty,
    `trace` the W3C `traceparent` of the job or empty.
    """

    event: Any
    job: str
    attempt: int = 1
    provider: str = ""
    trace: str = ""


def envelope(body: Any) -> Envelope | None:
    """The envelope that a body is, or None when it is none (no `event` with a `job_id`).

    Takes what `decode` takes, and `decode` of the same body gives its events. EventError when the
    job's id or the attempt is unfit. Only for bodies from a trusted sender: the id names files.
    """
    if isinstance(body, bytes | bytearray | memoryview):
        body = bytes(body).decode("utf-8", "replace")
    if isinstance(body, str):
        body = parse_json(body)
    if not isinstance(body, dict) or not is_envelope(body) or "job_id" not in body:
        return None
    return Envelope(
        event=body["event"],
        job=_job(body["job_id"]),
        attempt=_attempt(body.get("attempt", 1)),
        provider=optional_text(body, "storage_provider"),
        trace=trace_of(optional_text(body, "traceparent")),
    )


def trace_of(header: str) -> str:
    """A W3C `traceparent` as it is, "" for what is none."""
    return header if _TRACE.fullmatch(header) else ""


def is_envelope(body: dict[str, Any]) -> bool:
    """Whether an object is upstream's delegated form or ours.

    An object of a user that happens to have an `event` among other keys is data, not an envelope.
    """
    if not isinstance(body.get("event"), dict | list | str):
        return False
    return "storage_provider" in body or "job_id" in body or body.keys() <= _KEYS


def delegated(
    event: Event, provider: str, job: str, attempt: int, trace: str = ""
) -> dict[str, Any]:
    """The JSON object that takes an event to a place as one attempt of a job, `trace` with it.

    `decode` of it gives one event with the same identity, payload and query, provided that
    `provider` is the event's own; empty means just that. Upstream's supervisor reads it too.
    """
    named: dict[str, Any] = {"event": _carried(event)}
    if provider or event.provider:
        named["storage_provider"] = provider or event.provider
    named |= {"job_id": job, "attempt": attempt}
    named |= {"nonce": event.nonce} if event.nonce else {}
    return named | ({"traceparent": trace} if trace else {})


def original(event: Event) -> Any:
    """The whole body that this one event would come in: an object, or text for raw data.

    For a storage event it has upstream's form for the script's EVENT variable, with `Records` and
    the one record in it. Raw data that is not UTF-8 is given in base64.
    """
    if event.body is None:
        return storage_body(event)
    text = _text(event.body)
    return _base64(event.body) if text is None else text


def payload(event: Event) -> bytes:
    """What the script finds in its input file when there is nothing to download.

    Raw data that is valid JSON is kept verbatim; other text is decoded when it is valid base64
    (upstream's convention for binary data, so a word of 4, 8, … letters decodes as well) and kept
    as it is when not. A storage event gives its own JSON.
    """
    if event.body is None:
        return dump_json(original(event))
    return raw_payload(event.body)


def _carried(event: Event) -> Any:
    """The original, as an API Gateway request when it has a query or bytes that are no text."""
    body = original(event)
    if not event.query and (event.body is None or _text(event.body) is not None):
        return body
    return {
        "httpMethod": "POST",
        "queryStringParameters": dict(event.query),
        "isBase64Encoded": event.body is not None,
        "body": body if event.body is None else _base64(event.body),
    }


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _base64(data: bytes) -> str:
    from base64 import b64encode  # noqa: PLC0415  storage events never need it

    return b64encode(data).decode()


def _job(value: object) -> str:
    fit = isinstance(value, str) and 0 < len(value) <= _LONGEST and _NAME.issuperset(value)
    if not isinstance(value, str) or not fit or value.startswith((".", "-")):
        raise EventError(f"`job_id` must be 1 to {_LONGEST} letters, digits, '-', '_' or '.'")
    return value


def _attempt(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise EventError("`attempt` must be a whole number from 1")
    return value
