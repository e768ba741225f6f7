"""Our values as JSON and back, for the columns of the store."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from bridge.dispatch.model import Output
from bridge.events import Event, EventKind

__all__ = ["dumps", "event_from", "event_text", "outputs_of", "path_key", "tag"]


# Made once: json.dumps makes one for each value.
_ENCODER = json.JSONEncoder(separators=(",", ":"), default=str)


def dumps(value: object) -> str:
    """Compact JSON in ASCII, so that text which is no Unicode fits too; unknown values as text."""
    return _ENCODER.encode(value)


_SHORT: Final = 4096
_TEXTS = ("provider", "bucket", "key", "etag", "version", "sequencer", "time", "name", "nonce")


def event_text(event: Event) -> str:
    """An event as JSON text; fields that hold nothing are left out."""
    value: dict[str, Any] = {"kind": event.kind.value}
    value.update({name: text for name in _TEXTS if (text := getattr(event, name))})
    if event.size is not None:
        value["size"] = event.size
    if event.body is not None:
        value["body"] = base64.b64encode(event.body).decode()
    if event.query:
        value["query"] = dict(event.query)
    if event.record is not None:
        value["record"] = event.record
    return dumps(value)


def event_from(text: str) -> Event:
    """The event that `event_text` wrote."""
    return _event_of(text) if len(text) <= _SHORT else _event_of.__wrapped__(text)


# A job is read by who places it and soon after by who submits it.
@lru_cache(1024)
def _event_of(text: str) -> Event:
    value = json.loads(text)
    body = value.get("body")
    return Event(
        kind=EventKind(value["kind"]),
        size=value.get("size"),
        body=None if body is None else base64.b64decode(body),
        query=value.get("query", {}),
        record=value.get("record"),
        **{name: value.get(name, "") for name in _TEXTS},
    )


def path_key(provider: str, bucket: str, key: str) -> str:
    """32 hex digits that name an object, whatever it holds."""
    return hashlib.sha256("\0".join((provider, bucket, key)).encode()).hexdigest()[:32]


def tag(etag: str) -> str:
    """An ETag without the quotes that some services put around it."""
    return etag.strip().strip('"')


def outputs_of(report: Mapping[str, Any]) -> tuple[Output, ...]:
    """The outputs that a supervisor's report names; entries without a place are left out."""
    entries = report.get("outputs")
    if not isinstance(entries, list):
        return ()
    found = (_output(entry) for entry in entries if isinstance(entry, Mapping))
    return tuple(output for output in found if output.bucket and output.key)


def _output(entry: Mapping[str, Any]) -> Output:
    size = entry.get("size")
    return Output(
        provider=str(entry.get("provider") or ""),
        bucket=str(entry.get("bucket") or ""),
        key=str(entry.get("key") or ""),
        size=size if isinstance(size, int) else None,
        etag=tag(str(entry.get("etag") or "")),
    )
