"""The one way in: any body that any source sends → the events in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from bridge.errors import EventError
from bridge.events._delivery import Delivery, optional_text, unicode_text, value_at
from bridge.events._envelope import is_envelope
from bridge.events._raw import (
    NOT_JSON,
    decode_base64,
    dump_json,
    parse_json,
    raw_event,
    refuse_broken_record,
)
from bridge.events._storage import READERS, from_dcache, from_eventbridge, from_rucio
from bridge.events.model import Event

_NOTHING: Mapping[str, str] = MappingProxyType({})
_QUEUES = frozenset({"aws:sqs", "aws:sns"})
# A body of a bucket has nothing else, and each other form something else.
_PLAIN = frozenset({"EventName", "Key", "Records"})


def decode(
    body: Any, *, headers: Mapping[str, str] = _NOTHING, provider: str = "", nonce: str = ""
) -> list[Event]:
    """The events in a body, in its order: bytes, text or an already parsed JSON value.

    Known sources: S3 and MinIO notifications, S3 through EventBridge, SQS or SNS, OneTrigger,
    dCache, Rucio, API Gateway (both formats) and function URLs, CloudEvents (structured, batch,
    and binary by `headers`), and delegated events. Wrappers are opened, so an S3 notification in
    an SQS message in an API Gateway body is an S3 event. Anything else is one raw event.

    `provider` is the storage that the caller knows the event to be from; a delegated body says its
    own. Without either it is `<type>.default`. `nonce` names this delivery: it makes two equal raw
    bodies two events. An id that the body itself carries (SQS message, CloudEvent, request) comes
    before it, as that one stays the same when a delivery is repeated; without any, the digest of
    the data serves.

    An empty list means that the body was understood and starts nothing: `s3:TestEvent`, an object
    that was deleted, restored or tagged (anything but ObjectCreated), a dCache folder.
    Raises EventError, and nothing else, when a storage event does not name its object, or when the
    body cannot be read.
    """
    delivery = Delivery(
        provider=unicode_text(provider, "the provider"),
        nonce=unicode_text(nonce, "the nonce"),
        headers=headers,
    )
    try:
        return _any(body, delivery)
    except RecursionError as error:
        raise EventError("the event is nested too deeply") from error


def _any(body: object, delivery: Delivery) -> list[Event]:
    if delivery.headers:
        delivery = _binary_cloudevent(delivery)
    if isinstance(body, str):
        return _text(unicode_text(body, "the event's text").encode(), delivery)
    if isinstance(body, bytes | bytearray | memoryview):
        return _text(bytes(body), delivery)
    return _value(body, None, delivery)


def _text(body: bytes, delivery: Delivery) -> list[Event]:
    try:
        value = parse_json(body.decode())
    except UnicodeDecodeError:
        value = NOT_JSON
    if value is NOT_JSON:
        refuse_broken_record(body)
        return [raw_event(body, NOT_JSON, delivery)]
    if isinstance(value, str):
        return _any(value, delivery.inside())
    return _value(value, body, delivery)


def _value(value: object, text: bytes | None, delivery: Delivery) -> list[Event]:
    """A parsed value; `text` is what it was parsed from, kept verbatim for the script."""
    if isinstance(value, dict):
        if value.keys() <= _PLAIN and _is_records(value):
            return _records(value, delivery)
        for matches, read in _FORMS:
            if matches(value):
                return read(value, delivery)
    elif isinstance(value, list) and value and all(_is_cloudevent(item) for item in value):
        return [event for item in value for event in _cloudevent(item, delivery)]
    return [raw_event(dump_json(value) if text is None else text, value, delivery)]


def _is_http(body: dict[str, Any]) -> bool:
    return "httpMethod" in body or isinstance(value_at(body, "requestContext.http"), dict)


def _http(request: dict[str, Any], delivery: Delivery) -> list[Event]:
    body = request.get("body")
    if request.get("isBase64Encoded") is True and isinstance(body, str):
        body = _base64(body, "the request says isBase64Encoded but its body")
    inner = delivery.inside(
        headers=_texts(request.get("headers")),
        query=_query(request) or delivery.query,
        nonce=optional_text(request, "requestContext.requestId") or delivery.nonce,
    )
    return _any("" if body is None else body, inner)


def _query(request: dict[str, Any]) -> dict[str, str]:
    """The parameters of the query; of one that is given several times the last counts."""
    single = _texts(request.get("queryStringParameters"))
    many = request.get("multiValueQueryStringParameters")
    if single or not isinstance(many, dict):
        return single
    return _texts({k: v[-1] for k, v in many.items() if isinstance(v, list) and v})


def _texts(value: object) -> dict[str, str]:
    """The entries of an object whose names and values are text."""
    if not isinstance(value, dict):
        return {}
    return {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, str)}


def _delegated(body: dict[str, Any], delivery: Delivery) -> list[Event]:
    inner = delivery.inside(
        provider=optional_text(body, "storage_provider") or delivery.provider,
        nonce=optional_text(body, "nonce") or delivery.nonce,
    )
    return _any(body["event"], inner)


def _is_cloudevent(body: object) -> bool:
    required = ("specversion", "id", "source", "type")
    return isinstance(body, dict) and all(isinstance(body.get(name), str) for name in required)


def _cloudevent(body: dict[str, Any], delivery: Delivery) -> list[Event]:
    inner = _cloud_delivery(body, delivery)
    if isinstance(body.get("data_base64"), str):
        return _any(_base64(body["data_base64"], "the CloudEvent's data_base64"), inner)
    if "data" in body:
        return _any(body["data"], inner)
    return [raw_event(dump_json(body), body, inner)]


def _binary_cloudevent(delivery: Delivery) -> Delivery:
    """The delivery as the ce-* headers describe it; without them, without headers."""
    lower = {name.lower(): value for name, value in delivery.headers.items()}
    attributes = {name[3:]: value for name, value in lower.items() if name.startswith("ce-")}
    return _cloud_delivery(attributes if _is_cloudevent(attributes) else {}, delivery)


def _cloud_delivery(attributes: Mapping[str, object], delivery: Delivery) -> Delivery:
    if not attributes:
        return delivery.inside()
    known = dict(attributes)
    return delivery.inside(
        nonce=f"{optional_text(known, 'source')} {optional_text(known, 'id')}",
        name=optional_text(known, "type"),
        time=optional_text(known, "time"),
    )


def _is_notification(body: dict[str, Any]) -> bool:
    return body.get("Type") == "Notification" and isinstance(body.get("Message"), str)


def _notification(body: dict[str, Any], delivery: Delivery) -> list[Event]:
    """An SNS message as it comes through a queue or over HTTP."""
    inner = delivery.inside(nonce=optional_text(body, "MessageId") or delivery.nonce)
    return _any(body["Message"], inner)


def _is_records(body: dict[str, Any]) -> bool:
    records = body.get("Records")
    return isinstance(records, list) and any(
        isinstance(record, dict) and ("s3" in record or _source(record)) for record in records
    )


def _source(record: object) -> str:
    """The record's source when it is one that we read, else empty."""
    if not isinstance(record, dict):
        return ""
    source = record.get("eventSource", record.get("EventSource"))
    return source if isinstance(source, str) and (source in READERS or source in _QUEUES) else ""


def _records(body: dict[str, Any], delivery: Delivery) -> list[Event]:
    if isinstance(body.get("EventName"), str) and isinstance(body.get("Key"), str):
        body = _with_names(body)
    return [
        event
        for n, record in enumerate(body["Records"], start=1)
        for event in _record(record, body, delivery, n)
    ]


def _with_names(body: dict[str, Any]) -> dict[str, Any]:
    """MinIO's body says the name of the event once more; a record without one takes that."""
    name = body["EventName"]
    named = [{"eventName": name, **r} if isinstance(r, dict) else r for r in body["Records"]]
    return {**body, "Records": named}


def _record(record: object, body: dict[str, Any], delivery: Delivery, n: int) -> list[Event]:
    source = _source(record)
    if not source or not isinstance(record, dict):
        raise EventError(
            f"record {n} has no `eventSource` that is known",
            hint=f"known are {', '.join(sorted(READERS.keys() | _QUEUES))}",
        )
    if source in _QUEUES:
        return _message(record, source, delivery, n)
    return READERS[source](record, body, delivery, n)


def _message(record: dict[str, Any], source: str, delivery: Delivery, n: int) -> list[Event]:
    """A record of SQS or SNS: its text is a body of its own."""
    paths = ("body", "messageId") if source == "aws:sqs" else ("Sns.Message", "Sns.MessageId")
    text = value_at(record, paths[0])
    if not isinstance(text, str):
        raise EventError(f"record {n} ({source}): `{paths[0]}` is missing")
    own = optional_text(record, paths[1]) or (delivery.nonce and f"{delivery.nonce}#{n}")
    return _any(text, delivery.inside(nonce=own))


def _base64(text: str, what: str) -> bytes:
    decoded = decode_base64(text)
    if decoded is None:
        raise EventError(f"{what} is not base64")
    return decoded


_Form = tuple[Callable[[dict[str, Any]], bool], Callable[[dict[str, Any], Delivery], list[Event]]]

# The first that matches wins; the order of the first four is upstream's.
_FORMS: tuple[_Form, ...] = (
    (_is_http, _http),
    (lambda body: "event" in body and "subscription" in body, from_dcache),
    (
        lambda body: "event_type" in body and value_at(body, "payload.scope") is not None,
        lambda body, delivery: from_rucio(body, delivery, "the Rucio event"),
    ),
    (is_envelope, _delegated),
    (_is_cloudevent, _cloudevent),
    (lambda body: body.get("source") == "aws.s3" and "detail-type" in body, from_eventbridge),
    (lambda body: body.get("Event") == "s3:TestEvent", lambda body, delivery: []),
    (_is_notification, _notification),
    (_is_records, _records),
)
