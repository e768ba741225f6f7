"""Storage events: one record of a store → one Event, or none when no object was created."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.errors import EventError
from bridge.events._delivery import Delivery, optional_text, text_at, value_at
from bridge.events.model import Event, EventKind

_GONE = frozenset({"IN_DELETE", "IN_DELETE_SELF", "IN_MOVED_FROM", "IN_IGNORED", "IN_ISDIR"})


def unquote_key(key: str) -> str:
    """The object's name behind the form-encoded one of S3 and MinIO records."""
    if "%" not in key:
        return key.replace("+", " ")
    from urllib.parse import unquote_to_bytes  # noqa: PLC0415  only keys with % pay for it

    try:
        return unquote_to_bytes(key.replace("+", " ")).decode()
    except UnicodeDecodeError as error:
        raise EventError(f"the object key {key!r} is not UTF-8 when decoded") from error


def from_bucket(
    record: dict[str, Any], kind: EventKind, delivery: Delivery, n: int, *, encoded: bool = True
) -> list[Event]:
    """A record in S3's form, of S3, MinIO or Ceph, whose keys are not `encoded`. Only ObjectCreated
    events (or unnamed ones) count."""
    where = f"record {n} ({record.get('eventSource')})"
    name = optional_text(record, "eventName").removeprefix("s3:")
    if name and not name.startswith("ObjectCreated"):
        return []
    item = value_at(record, "s3.object")
    key = text_at(record, "s3.object.key", where)
    key = unquote_key(key) if encoded else key
    version = optional_text(item, "versionId")
    return [
        Event(
            kind=kind,
            provider=delivery.provider_of(kind),
            bucket=text_at(record, "s3.bucket.name", where),
            key=key,
            size=_size(value_at(item, "size")),
            etag=_etag(item),
            version="" if version == "null" else version,
            sequencer=optional_text(item, "sequencer"),
            time=optional_text(record, "eventTime"),
            name=name,
            query=delivery.query,
            record=record,
        )
    ]


def from_eventbridge(body: dict[str, Any], delivery: Delivery) -> list[Event]:
    """S3 through EventBridge: the key is not encoded; types other than Object Created are none."""
    if body.get("detail-type") != "Object Created":
        return []
    where = "the EventBridge event"
    item = value_at(body, "detail.object")
    version = optional_text(item, "version-id")
    return [
        Event(
            kind=EventKind.S3,
            provider=delivery.provider_of(EventKind.S3),
            bucket=text_at(body, "detail.bucket.name", where),
            key=text_at(body, "detail.object.key", where),
            size=_size(value_at(item, "size")),
            etag=_etag(item),
            version="" if version == "null" else version,
            sequencer=optional_text(item, "sequencer"),
            time=optional_text(body, "time"),
            name="ObjectCreated:" + optional_text(body, "detail.reason"),
            query=delivery.query,
            record=body,
        )
    ]


def from_onedata(
    record: dict[str, Any], body: dict[str, Any], delivery: Delivery, n: int
) -> list[Event]:
    """A OneTrigger record: `Key` beside the records is the path with the space in front."""
    where = f"record {n} (OneTrigger)"
    path = text_at(
        record if "path" in record else body, "path" if "path" in record else "Key", where
    )
    name = optional_text(record, "objectKey")
    if name and not path.endswith(name):
        path = f"{path.rpartition('/')[0]}/{name}"
    space, _, key = path.strip("/").partition("/")
    if not key:
        raise EventError(f"{where}: `Key` must be /<space>/<path of the file>, not {path!r}")
    return [
        Event(
            kind=EventKind.ONEDATA,
            provider=delivery.provider_of(EventKind.ONEDATA),
            bucket=space,
            key=key,
            etag=optional_text(record, "objectId"),
            sequencer=optional_text(record, "eventTime"),
            time=optional_text(record, "eventTime"),
            query=delivery.query,
            record=record,
        )
    ]


def from_dcache(body: dict[str, Any], delivery: Delivery) -> list[Event]:
    """An inotify event of dCache. It names no folder: the input of the service does.

    It carries nothing that tells a second upload of one name from a repeated delivery, so the
    nonce of the delivery, when there is one, is part of its identity.
    """
    mask = value_at(body, "event.mask")
    if isinstance(mask, list) and any(isinstance(m, str) and m in _GONE for m in mask):
        return []
    return [
        Event(
            kind=EventKind.DCACHE,
            provider=delivery.provider_of(EventKind.DCACHE),
            key=text_at(body, "event.name", "the dCache event"),
            query=delivery.query,
            record=body,
            nonce=delivery.nonce,
        )
    ]


def from_rucio(body: dict[str, Any], delivery: Delivery, where: str) -> list[Event]:
    """A Rucio message; the scope takes the bucket's place, the dataset's name the key's."""
    payload = body["payload"] if isinstance(body.get("payload"), dict) else body
    created = optional_text(body, "created_at") or optional_text(body, "eventTime")
    return [
        Event(
            kind=EventKind.RUCIO,
            provider=delivery.provider_of(EventKind.RUCIO),
            bucket=text_at(payload, "scope", where),
            key=text_at(payload, "name", where),
            sequencer=created,
            time=created,
            name=optional_text(body, "event_type"),
            query=delivery.query,
            record=body,
        )
    ]


Reader = Callable[[dict[str, Any], dict[str, Any], Delivery, int], list[Event]]

#: How one record is read, by its `eventSource`: (record, whole body, delivery, number from 1).
READERS: dict[str, Reader] = {
    "aws:s3": lambda record, _, delivery, n: from_bucket(record, EventKind.S3, delivery, n),
    "minio:s3": lambda record, _, delivery, n: from_bucket(record, EventKind.MINIO, delivery, n),
    # Ceph's gateway; it takes a MinIO's place, so its events are of the same kind.
    "ceph:s3": lambda record, _, delivery, n: from_bucket(
        record, EventKind.MINIO, delivery, n, encoded=False
    ),
    "OneTrigger": from_onedata,
    "rucio": lambda record, _, delivery, n: from_rucio(record, delivery, f"record {n} (rucio)"),
}


def _size(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _etag(item: object) -> str:
    return (optional_text(item, "eTag") or optional_text(item, "etag")).strip('"')
