"""What holds for any key and any body."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from bridge.errors import EventError
from bridge.events import (
    Event,
    EventKind,
    decode,
    delegated,
    envelope,
    file_name,
    job_id,
    minio_record,
    original,
    payload,
    s3_record,
)
from tests.events.bodies import cloudevent, http_v1, http_v2, sqs

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
WORDS = st.text("abcdefgh0123456789.-", min_size=1, max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
# Names that decode() looks for, so that random objects come near to the real ones.
NAMES = st.sampled_from(
    """
    Records eventSource s3 bucket object key name event storage_provider job_id subscription
    event_type payload scope httpMethod body isBase64Encoded requestContext http headers
    specversion id source type data data_base64 detail detail-type Event Type Message Sns
    EventSource eventName EventName Key queryStringParameters multiValueQueryStringParameters
    mask nonce objectKey path
    """.split()  # noqa: SIM905  easier to read than a list of so many
)
VALUES = st.sampled_from(
    """
    aws:s3 minio:s3 OneTrigger rucio aws:sqs aws:sns aws.s3 s3:TestEvent Notification 1.0 %FF a+b
    {"Records":[]}
    """.split()  # noqa: SIM905
) | st.just("Object Created")
JSON = st.recursive(
    SCALARS | VALUES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | NAMES, inner, max_size=5)
        | st.dictionaries(NAMES, inner, max_size=6)
    ),
    max_leaves=25,
)


@given(KEYS)
@example("a b+c%2B%/ñ\0\n\"'\\日本🦊")
def test_any_key_survives_building_json_and_decoding(key: str) -> None:
    for build, kind in ((s3_record, EventKind.S3), (minio_record, EventKind.MINIO)):
        body = json.dumps(build("bucket", key, size=3, etag="e", version="v", sequencer="s"))
        (event,) = decode(body.encode())
        assert (event.kind, event.bucket, event.key) == (kind, "bucket", key)
        assert (event.size, event.etag, event.version, event.sequencer) == (3, "e", "v", "s")
        (bridged,) = decode(json.dumps(eventbridge("bucket", key)))
        assert bridged.key == key


def eventbridge(bucket: str, key: str) -> dict[str, Any]:
    detail = {"bucket": {"name": bucket}, "object": {"key": key}}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def everything_about(body: Any) -> list[Event]:
    """Decodes and uses each event in every way; only EventError may come out of decode."""
    try:
        events = decode(body)
    except EventError as error:
        assert str(error)
        return []
    for event in events:
        assert event.identity and job_id("svc", event)
        assert file_name(event)
        assert isinstance(payload(event), bytes)
        assert json.dumps(original(event))
    return events


@given(JSON)
def test_any_json_is_an_event_or_an_event_error(value: Any) -> None:
    everything_about(value)
    everything_about(json.dumps(value))


@given(st.binary())
def test_any_bytes_are_an_event_or_an_event_error(body: bytes) -> None:
    (event,) = everything_about(body) or [Event(EventKind.UNKNOWN, body=body)]
    assert event.body is not None or event.is_storage


@given(JSON)
def test_any_event_comes_through_the_envelope_as_it_was(value: Any) -> None:
    for event in everything_about(value):
        text = json.dumps(delegated(event, event.provider, "job-1", 2))
        (again,) = decode(text)
        assert again.identity == event.identity
        assert again.query == event.query and payload(again) == payload(event)
        found = envelope(text)
        assert found is not None and (found.job, found.attempt) == ("job-1", 2)


@given(st.binary(), st.sampled_from([http_v1, http_v2]))
def test_a_body_through_api_gateway_is_the_body_itself(body: bytes, http: Any) -> None:
    encoded = http(base64.b64encode(body).decode(), isBase64Encoded=True)
    assert everything_about(encoded) == everything_about(body)
    inside = everything_about(cloudevent(data_base64=encoded["body"]))
    assert [payload(event) for event in inside] == [payload(e) for e in everything_about(body)]


@given(st.text())
def test_text_through_api_gateway_is_the_text_itself(body: str) -> None:
    assert everything_about(http_v1(body)) == everything_about(body)


@given(KEYS, WORDS, WORDS, WORDS)
def test_a_redelivered_event_is_the_same_event(key: str, etag: str, seq: str, bucket: str) -> None:
    body = s3_record(bucket, key, etag=etag, sequencer=seq)
    (first,) = decode(body, nonce="delivery 1")
    for again in (body, json.dumps(body), http_v1(json.dumps(body)), sqs(body)):
        (second,) = decode(again, nonce="delivery 2")
        assert second.identity == first.identity
        assert job_id("svc", second) == job_id("svc", first)


@given(st.lists(st.tuples(WORDS, KEYS, WORDS, WORDS, WORDS), min_size=2, max_size=2, unique=True))
def test_events_that_differ_have_different_identities(parts: list[Any]) -> None:
    first, second = (
        decode(s3_record(bucket, key, etag=etag, sequencer=seq), provider=f"s3.{provider}")[0]
        for bucket, key, etag, seq, provider in parts
    )
    assume("\0" not in first.key + second.key)
    assert first.identity != second.identity
    assert job_id("svc", first) != job_id("svc", second)
    assert job_id("svc", first) != job_id("other", first)
