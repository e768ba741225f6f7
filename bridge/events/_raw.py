"""Bodies that are data, not news of data: how they become events and what a script gets of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from bridge.errors import EventError
from bridge.events._delivery import Delivery
from bridge.events.model import Event, EventKind

NOT_JSON: Final = object()


def parse_json(text: str) -> Any:
    """The value of a JSON text, or NOT_JSON. EventError when it is nested beyond reason."""
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except RecursionError as error:
        raise EventError("the event's JSON is nested too deeply") from error
    except ValueError:
        return NOT_JSON


def dump_json(value: object) -> bytes:
    """The JSON of a value that did not come as text. EventError when it has none."""
    try:
        return json.dumps(value).encode()
    except RecursionError as error:
        raise EventError("the event is nested too deeply") from error
    except (TypeError, ValueError) as error:
        raise EventError(f"the event has no JSON form: {error}") from error


def raw_event(body: bytes, record: object, delivery: Delivery) -> Event:
    """An event that carries its own data."""
    return Event(
        kind=EventKind.UNKNOWN,
        time=delivery.time,
        name=delivery.name,
        body=body,
        size=len(body),
        query=delivery.query,
        record=None if record is NOT_JSON else record,
        nonce=delivery.nonce or _digest(body, delivery.query),
    )


def refuse_broken_record(body: bytes) -> None:
    """EventError for what was meant as a storage event and is not JSON; cut off, for instance."""
    if body.lstrip()[:1] == b"{" and b'"Records"' in body:
        raise EventError(
            "the body looks like a storage event but is not valid JSON in UTF-8",
            hint="it may have been cut off or re-encoded on its way",
        )


def raw_payload(body: bytes) -> bytes:
    """The data of a raw body: JSON as it is, base64 decoded, any other text as it is."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return body
    if parse_json(text) is not NOT_JSON:
        return body
    decoded = decode_base64(text)
    return body if decoded is None else decoded


def decode_base64(text: str) -> bytes | None:
    """The bytes behind base64 text, on one line or wrapped to equal lines; None when it is none."""
    from base64 import b64decode  # noqa: PLC0415  storage events never need it

    lines = text.strip().splitlines()
    width = len(lines[0]) if lines else 0
    if any(len(line) != width for line in lines[:-1]) or len(lines[-1:] and lines[-1]) > width:
        return None
    try:
        return b64decode("".join(lines), validate=True)
    except ValueError:
        return None


def _digest(body: bytes, query: Mapping[str, str]) -> str:
    asked = "".join(f"\0{name}\0{value}" for name, value in sorted(query.items()))
    return hashlib.sha256(body + asked.encode("utf-8", "surrogatepass")).hexdigest()[:32]
