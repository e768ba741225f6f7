"""Bodies of events in the exact forms of AWS and MinIO, for events that no store has sent."""

from __future__ import annotations

from typing import Any

from bridge.events.model import Event, EventKind

_EPOCH = "1970-01-01T00:00:00.000Z"


def s3_record(
    bucket: str,
    key: str,
    *,
    size: int = 0,
    etag: str = "",
    version: str = "",
    sequencer: str = "",
    time: str = "",
    name: str = "ObjectCreated:Put",
    region: str = "us-east-1",
    principal: str = "AWS:oscar-bridge",
) -> dict[str, Any]:
    """The body that S3 sends for one object: `{"Records": [...]}`.

    `key` is the object's real name; it is form-encoded as S3 does, slashes kept. `time` is
    RFC 3339 UTC, the epoch when empty. Empty etag, version and sequencer are left out.
    """
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": time or _EPOCH,
        "eventName": name,
        "userIdentity": {"principalId": principal},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "", "x-amz-id-2": ""},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "oscar-bridge",
            "bucket": _bucket(bucket, principal),
            "object": _object(_quote(key, "/"), size, etag, version, sequencer),
        },
    }
    return {"Records": [record]}


def minio_record(
    bucket: str,
    key: str,
    *,
    size: int = 0,
    etag: str = "",
    version: str = "",
    sequencer: str = "",
    time: str = "",
    name: str = "s3:ObjectCreated:Put",
    region: str = "",
    principal: str = "oscar-bridge",
) -> dict[str, Any]:
    """The body that MinIO posts for one object: EventName, Key and Records.

    As `s3_record`, but the slashes of the record's key are encoded too and `Key` is not encoded.
    `principal` is the access key that wrote the object.
    """
    item = _object(_quote(key, ""), size, etag, version, sequencer)
    record = {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "awsRegion": region,
        "eventTime": time or _EPOCH,
        "eventName": name,
        "userIdentity": {"principalId": principal},
        "requestParameters": {
            "principalId": principal,
            "region": region,
            "sourceIPAddress": "127.0.0.1",
        },
        "responseElements": {"x-amz-request-id": "", "x-minio-origin-endpoint": ""},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "Config",
            "bucket": _bucket(bucket, principal),
            "object": item | {"contentType": "application/octet-stream", "userMetadata": {}},
        },
        "source": {"host": "127.0.0.1", "port": "", "userAgent": "oscar-bridge"},
    }
    return {"EventName": name, "Key": f"{bucket}/{key}", "Records": [record]}


def storage_body(event: Event) -> dict[str, Any]:
    """A whole body for one storage event, from its record or else from its fields."""
    record = event.record if isinstance(event.record, dict) else None
    return _BODIES[event.kind](event, record)


def _s3_body(event: Event, record: dict[str, Any] | None) -> dict[str, Any]:
    if record is None:
        return s3_record(event.bucket, event.key, **_fields(event))
    return record if "detail" in record else {"Records": [record]}


def _minio_body(event: Event, record: dict[str, Any] | None) -> dict[str, Any]:
    if record is None:
        return minio_record(event.bucket, event.key, **_fields(event))
    name = record.get("eventName", "s3:ObjectCreated:Put")
    return {"EventName": name, "Key": f"{event.bucket}/{event.key}", "Records": [record]}


def _onedata_body(event: Event, record: dict[str, Any] | None) -> dict[str, Any]:
    blank = {
        "objectKey": event.key.rpartition("/")[2],
        "objectId": event.etag,
        "eventTime": event.sequencer,
        "eventSource": "OneTrigger",
    }
    return {"Key": f"/{event.bucket}/{event.key}", "Records": [record or blank]}


def _dcache_body(event: Event, record: dict[str, Any] | None) -> dict[str, Any]:
    return record or {"event": {"name": event.key}, "subscription": ""}


def _rucio_body(event: Event, record: dict[str, Any] | None) -> dict[str, Any]:
    if record is None:
        payload = {"scope": event.bucket, "name": event.key}
        return {"event_type": event.name, "created_at": event.sequencer, "payload": payload}
    return record if "event_type" in record else {"Records": [record]}


def _no_body(event: Event, record: dict[str, Any] | None) -> dict[str, Any]:
    return record or {}


_BODIES = {
    EventKind.S3: _s3_body,
    EventKind.MINIO: _minio_body,
    EventKind.ONEDATA: _onedata_body,
    EventKind.DCACHE: _dcache_body,
    EventKind.RUCIO: _rucio_body,
    EventKind.UNKNOWN: _no_body,
    EventKind.APIGATEWAY: _no_body,
}


def _fields(event: Event) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "size": event.size or 0,
        "etag": event.etag,
        "version": event.version,
        "sequencer": event.sequencer,
        "time": event.time,
    }
    return fields


def _bucket(name: str, owner: str) -> dict[str, Any]:
    return {
        "name": name,
        "ownerIdentity": {"principalId": owner},
        "arn": f"arn:aws:s3:::{name}",
    }


def _object(key: str, size: int, etag: str, version: str, sequencer: str) -> dict[str, Any]:
    optional = {"eTag": etag, "versionId": version, "sequencer": sequencer}
    return {"key": key, "size": size} | {name: text for name, text in optional.items() if text}


def _quote(key: str, safe: str) -> str:
    from urllib.parse import quote_plus  # noqa: PLC0415  reading events never needs it

    return quote_plus(key, safe=safe)
