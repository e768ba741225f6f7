"""The envelope of the job contract: what goes in comes out."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from bridge.errors import EventError
from bridge.events import Event, EventKind, decode, delegated, envelope, payload
from tests.events.bodies import (
    DCACHE,
    EVENTBRIDGE,
    MINIO,
    ONEDATA,
    RUCIO,
    cloudevent,
    http_v1,
    s3,
    sqs,
)

BODIES = [MINIO, s3("a+b ñ/%.txt"), EVENTBRIDGE, ONEDATA, DCACHE, RUCIO]
DATA = [b"", b"text", b"a ne\xc3\xb1", b"\xff\x00", b'{"a": 1}', b"[1]", b"aGVsbG8gdGhlcmU="]


def over_the_wire(event: Event, provider: str = "", attempt: int = 1) -> tuple[Any, Event]:
    text = json.dumps(delegated(event, provider, "job-1", attempt))
    (again,) = decode(text.encode())
    return envelope(text), again


@pytest.mark.parametrize("body", BODIES)
def test_storage_events_arrive_whole(body: Any) -> None:
    (event,) = decode(body, provider="minio.far", nonce="n1")
    assert over_the_wire(event)[1] == event


@pytest.mark.parametrize("body", BODIES)
def test_events_without_their_record_arrive_as_the_same_event(body: Any) -> None:
    (event,) = decode(body)
    bare = Event(
        event.kind,
        provider=event.provider,
        bucket=event.bucket,
        key=event.key,
        etag=event.etag,
        version=event.version,
        sequencer=event.sequencer,
    )
    again = over_the_wire(bare)[1]
    assert again.identity == event.identity and again.kind is event.kind


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("query", [None, {"q": "a b"}])
def test_data_arrives_with_its_query(data: bytes, query: dict[str, str] | None) -> None:
    request = http_v1(base64.b64encode(data).decode(), isBase64Encoded=True)
    (event,) = decode(request | {"queryStringParameters": query}, nonce="n1")
    _, again = over_the_wire(event)
    assert again.identity == event.identity and again.query == event.query
    assert again.body == event.body == data and payload(again) == payload(event)


def test_a_storage_event_keeps_its_query() -> None:
    (event,) = decode(http_v1(json.dumps(MINIO), queryStringParameters={"q": "1"}))
    assert over_the_wire(event)[1] == event


def test_ids_of_messages_and_cloudevents_survive() -> None:
    for body in (sqs("x"), cloudevent(data="x"), http_v1("x", requestContext={"requestId": "7"})):
        (event,) = decode(body)
        assert over_the_wire(event)[1].identity == event.identity


def test_the_job_can_be_read() -> None:
    found, _ = over_the_wire(decode(MINIO)[0], "minio.cluster2", attempt=3)
    assert (found.job, found.attempt, found.provider) == ("job-1", 3, "minio.cluster2")
    assert decode(found.event) == decode(MINIO)


def test_the_envelope_has_the_contracts_keys() -> None:
    assert delegated(decode(MINIO)[0], "", "j", 1) == {
        "event": MINIO,
        "storage_provider": "minio.default",
        "job_id": "j",
        "attempt": 1,
    }


@pytest.mark.parametrize(
    "body",
    [b"", b"text", b"\xff", MINIO, {"event": MINIO}, {"job_id": "x"}, {"event": 1, "job_id": "x"}],
)
def test_other_bodies_are_no_envelope(body: Any) -> None:
    assert envelope(body) is None


@pytest.mark.parametrize("job", ["", "../x", ".x", "-x", "a/b", "a\0", "x" * 129, 7, None, "ñ"])
def test_a_job_id_that_is_no_safe_name_is_refused(job: object) -> None:
    with pytest.raises(EventError, match="job_id"):
        envelope({"event": MINIO, "job_id": job})


@pytest.mark.parametrize("attempt", [0, -1, "1", 1.0, True, None])
def test_an_attempt_must_count_from_one(attempt: object) -> None:
    with pytest.raises(EventError, match="attempt"):
        envelope({"event": MINIO, "job_id": "j", "attempt": attempt})


def test_kinds_without_a_record_or_a_body_still_have_a_form() -> None:
    assert payload(Event(EventKind.UNKNOWN)) == b"{}"
