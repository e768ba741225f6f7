"""Every source of events, as it comes on the wire."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from bridge.errors import EventError
from bridge.events import EventKind, decode, payload
from tests.events.bodies import (
    DCACHE,
    EVENTBRIDGE,
    MINIO,
    ONEDATA,
    RUCIO,
    cloudevent,
    http_v1,
    http_v2,
    s3,
    sns,
    sqs,
)


def as_bytes(body: object) -> bytes:
    return json.dumps(body).encode()


def test_a_minio_notification_gives_all_its_fields() -> None:
    (event,) = decode(as_bytes(MINIO))
    assert event.kind is EventKind.MINIO
    assert (event.provider, event.bucket, event.key) == ("minio.default", "images", "in/a b.txt")
    assert (event.size, event.etag) == (12, "d41d8cd98f00b204e9800998ecf8427e")
    assert (event.sequencer, event.version) == ("16B3A1D2E3F4A5B6", "")
    assert (event.time, event.name) == ("2026-01-02T03:04:05.678Z", "ObjectCreated:Put")
    assert event.record == MINIO["Records"][0]
    assert event.body is None and event.nonce == ""


@pytest.mark.parametrize("form", [dict, json.dumps, as_bytes, lambda b: bytearray(as_bytes(b))])
def test_the_form_of_the_body_does_not_matter(form: Any) -> None:
    assert decode(form(MINIO)) == decode(MINIO)


@pytest.mark.parametrize(
    ("encoded", "key"),
    [
        ("in/a+b.txt", "in/a b.txt"),
        ("in/a%20b.txt", "in/a b.txt"),
        ("in/a%2Bb.txt", "in/a+b.txt"),
        ("in%2Fa+b", "in/a b"),
        ("in/100%25.txt", "in/100%.txt"),
        ("in/100%.txt", "in/100%.txt"),
        ("in/%C3%B1and%C3%BA.txt", "in/ñandú.txt"),
        ("in/ñandú.txt", "in/ñandú.txt"),
        ("in/%E6%97%A5%E6%9C%AC+%F0%9F%A6%8A", "in/日本 🦊"),
        ("in/%252F", "in/%2F"),
        ("a%0Ab", "a\nb"),
    ],
)
@pytest.mark.parametrize("source", ["aws:s3", "minio:s3"])
def test_keys_of_records_are_form_decoded(source: str, encoded: str, key: str) -> None:
    body = s3()
    body["Records"][0]["eventSource"] = source
    body["Records"][0]["s3"]["object"]["key"] = encoded
    assert decode(body)[0].key == key


def test_an_eventbridge_key_is_taken_as_it_is() -> None:
    (event,) = decode(EVENTBRIDGE)
    assert event.kind is EventKind.S3 and event.provider == "s3.default"
    assert (event.bucket, event.key) == ("images", "in/50%25 a+b.txt")
    assert (event.size, event.etag) == (5, "b1946ac92492d2347c6235b4d2611184")
    assert (event.version, event.sequencer) == ("v7", "617f08299329d189")
    assert (event.time, event.name) == ("2026-01-02T03:04:05Z", "ObjectCreated:PutObject")
    assert event.record == EVENTBRIDGE


def test_onedata_key_holds_the_space() -> None:
    (event,) = decode(ONEDATA)
    assert event.kind is EventKind.ONEDATA and event.provider == "onedata.default"
    assert (event.bucket, event.key) == ("my-space", "files/file+1.txt")
    assert event.time == "2019-02-07T09:51:04.347823"


def test_onedata_records_share_the_folder_of_the_key() -> None:
    body = {**ONEDATA, "Records": [*ONEDATA["Records"], ONEDATA["Records"][0] | {"objectKey": "b"}]}
    assert [e.key for e in decode(body)] == ["files/file+1.txt", "files/b"]


def test_dcache() -> None:
    (event,) = decode(DCACHE)
    assert event.kind is EventKind.DCACHE and event.is_storage
    assert (event.provider, event.key) == ("webdav.dcache", "image2.jpg")
    assert event.record == DCACHE


@pytest.mark.parametrize("mask", ["IN_DELETE", "IN_MOVED_FROM", "IN_ISDIR"])
def test_dcache_events_without_a_new_file_start_nothing(mask: str) -> None:
    assert decode({**DCACHE, "event": {"name": "x", "mask": [mask]}}) == []


def test_a_delivery_tells_two_dcache_uploads_of_one_name_apart() -> None:
    first, again = decode(DCACHE, nonce="1")[0], decode(DCACHE, nonce="2")[0]
    assert first.identity != again.identity
    assert first.identity == decode(DCACHE, nonce="1")[0].identity


def test_rucio_message_and_record() -> None:
    (event,) = decode(RUCIO)
    assert event.kind is EventKind.RUCIO and event.provider == "rucio.rucio"
    assert (event.bucket, event.key) == ("user.jdoe", "dataset1")
    record = {"eventSource": "rucio", "scope": "user.jdoe", "name": "dataset1"}
    (other,) = decode({"Records": [record]})
    assert (other.bucket, other.key, other.kind) == ("user.jdoe", "dataset1", EventKind.RUCIO)


def test_several_records_are_several_events_in_their_order() -> None:
    body = {"Records": [s3(k)["Records"][0] for k in ("b", "a", "c")] + MINIO["Records"]}
    assert [e.key for e in decode(body)] == ["b", "a", "c", "in/a b.txt"]


def test_missing_time_and_name_do_no_harm() -> None:
    body = s3()
    for name in ("eventTime", "eventName", "eventVersion", "userIdentity"):
        del body["Records"][0][name]
    (event,) = decode(body)
    assert (event.key, event.time, event.name) == ("in/a.txt", "", "")


@pytest.mark.parametrize(
    "name",
    [
        "s3:ObjectRemoved:Delete",
        "ObjectRemoved:DeleteMarkerCreated",
        "s3:ObjectAccessed:Get",
        "s3:BucketCreated:*",
        "ObjectRestore:Completed",
        "ObjectTagging:Put",
    ],
)
@pytest.mark.parametrize("source", ["aws:s3", "minio:s3"])
def test_other_events_than_creation_start_nothing(source: str, name: str) -> None:
    body = s3(name=name)
    body["Records"][0]["eventSource"] = source
    assert decode(body) == []


def test_the_name_beside_minio_records_counts_when_the_record_has_none() -> None:
    record = {k: v for k, v in MINIO["Records"][0].items() if k != "eventName"}
    assert len(decode({**MINIO, "Records": [record]})) == 1
    assert decode({**MINIO, "EventName": "s3:ObjectRemoved:Delete", "Records": [record]}) == []


def test_test_events_and_deleted_objects_start_nothing() -> None:
    test = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "images"}
    assert decode(test) == [] and decode(sqs(test)) == []
    assert decode({**EVENTBRIDGE, "detail-type": "Object Deleted"}) == []


def test_queues_and_topics_are_opened() -> None:
    keys = [e.key for e in decode(sqs(s3("a"), EVENTBRIDGE, s3("b")))]
    assert keys == ["a", "in/50%25 a+b.txt", "b"]
    assert decode(sns(s3("a"))) == decode(s3("a"))
    notification = {"Type": "Notification", "TopicArn": "t", "Message": json.dumps(s3("a"))}
    assert decode(sqs(notification)) == decode(s3("a"))


def test_messages_that_are_data_are_told_apart_by_their_message_id() -> None:
    first, second = decode(sqs("same", "same"))
    assert first.body == second.body == b"same"
    assert first.identity != second.identity
    assert decode(sqs("same", "same"), nonce="a later delivery")[0].identity == first.identity


def test_a_message_without_an_id_takes_the_delivery_and_its_number() -> None:
    body = sqs("same", "same")
    for record in body["Records"]:
        del record["messageId"]
    first, second = decode(body, nonce="n")
    assert first.identity != second.identity


@pytest.mark.parametrize("http", [http_v1, http_v2])
def test_http_body_is_decoded_again(http: Any) -> None:
    assert decode(http(json.dumps(MINIO))) == decode(MINIO)
    assert decode(http(MINIO)) == decode(MINIO)
    encoded = base64.b64encode(as_bytes(MINIO)).decode()
    assert decode(http(encoded, isBase64Encoded=True)) == decode(MINIO)


@pytest.mark.parametrize("http", [http_v1, http_v2])
def test_http_binary_body_and_query(http: Any) -> None:
    data = b"\x00\xff\x01 pixels"
    encoded = base64.b64encode(data).decode()
    (event,) = decode(http(encoded, isBase64Encoded=True, queryStringParameters={"q": "v w"}))
    assert event.kind is EventKind.UNKNOWN
    assert event.body == data and payload(event) == data
    assert event.query == {"q": "v w"}


def test_http_text_body_in_base64_without_the_flag_is_decoded_for_the_script() -> None:
    (event,) = decode(http_v1("aXQgd29ya3Mh"))
    assert payload(event) == b"it works!"


def test_http_query_stays_with_a_storage_event() -> None:
    (event,) = decode(http_v1(json.dumps(MINIO), queryStringParameters={"q": "1"}))
    assert event.kind is EventKind.MINIO and event.query == {"q": "1"}


def test_http_query_of_a_load_balancer() -> None:
    many = {"q": ["1", "2"], "empty": [], "odd": 3}
    (event,) = decode(http_v1("x", multiValueQueryStringParameters=many))
    assert event.query == {"q": "2"}


@pytest.mark.parametrize("http", [http_v1, http_v2])
def test_http_without_a_body_is_an_empty_raw_event(http: Any) -> None:
    (event,) = decode(http(None))
    assert event.kind is EventKind.UNKNOWN and event.body == b"" and payload(event) == b""


def test_requests_are_told_apart_by_their_id_or_else_by_what_they_ask() -> None:
    def identity(**more: Any) -> str:
        return decode(http_v1("x", **more))[0].identity

    one, two = ({"requestContext": {"requestId": n}} for n in "12")
    assert identity(**one) != identity(**two)
    assert identity(**one) == identity(**one)
    assert identity(queryStringParameters={"a": "1"}) != identity(queryStringParameters={"a": "2"})


def test_structured_cloudevents() -> None:
    assert decode(cloudevent(data=MINIO)) == decode(MINIO)
    encoded = base64.b64encode(as_bytes(MINIO)).decode()
    assert decode(cloudevent(data_base64=encoded)) == decode(MINIO)
    (event,) = decode(cloudevent(data={"a": 1}))
    assert payload(event) == b'{"a": 1}'
    assert (event.name, event.time) == ("org.example.thing", "2026-01-02T03:04:05Z")
    (bare,) = decode(cloudevent())
    assert json.loads(payload(bare)) == cloudevent()


def test_a_cloudevents_batch() -> None:
    assert [e.key for e in decode([cloudevent(data=s3("a")), cloudevent(data=s3("b"))])] == [
        "a",
        "b",
    ]


def test_cloudevents_are_told_apart_by_source_and_id() -> None:
    def identity(nonce: str = "", **more: str) -> str:
        return decode(cloudevent(data="x", **more), nonce=nonce)[0].identity

    assert identity("delivery 1") == identity("delivery 2")
    assert len({identity(), identity(id="43"), identity(source="urn:other")}) == 3


def test_binary_cloudevents() -> None:
    headers = {f"Ce-{k.title()}": v for k, v in cloudevent().items()}
    assert decode(as_bytes(MINIO), headers=headers) == decode(MINIO)
    (event,) = decode(b"\x00\xffdata", headers=headers)
    assert (event.body, event.name) == (b"\x00\xffdata", "org.example.thing")
    assert event.identity == decode(cloudevent(data="x"))[0].identity
    assert decode(http_v1("x", headers=headers))[0].name == "org.example.thing"


def test_incomplete_cloudevent_headers_mean_nothing() -> None:
    (event,) = decode(b"x y", headers={"ce-id": "1", "Content-Type": "text/plain"})
    assert event.name == "" and event.body == b"x y"


@pytest.mark.parametrize("form", [dict, json.dumps])
def test_delegated_events_name_their_storage(form: Any) -> None:
    body = {"event": form(MINIO), "storage_provider": "minio.cluster2"}
    (event,) = decode(body)
    assert event.provider == "minio.cluster2"
    assert event.identity != decode(MINIO)[0].identity


@pytest.mark.parametrize(
    ("given", "provider"),
    [
        ("cluster2", "minio.cluster2"),
        ("minio", "minio.default"),
        ("minio.a.b", "minio.a.b"),
        ("s3.default", "s3.default"),
        ("folder.default", "folder.default"),
        ("folder", "folder.default"),
        ("cluster.example.org", "minio.cluster.example.org"),
        ("minio.", "minio.minio."),
        ("", "minio.default"),
    ],
)
def test_names_of_providers(given: str, provider: str) -> None:
    assert decode(MINIO, provider=given)[0].provider == provider
    assert decode({"event": MINIO, "storage_provider": given})[0].provider == provider


def test_a_delegated_provider_comes_before_the_receivers() -> None:
    body = {"event": MINIO, "storage_provider": "minio.far"}
    assert decode(body, provider="minio.near")[0].provider == "minio.far"


def test_delegated_data_has_no_provider() -> None:
    (event,) = decode({"event": "aGVsbG8gdGhlcmU=", "storage_provider": "minio.default"})
    assert event.provider == "" and not event.is_storage
    assert payload(event) == b"hello there"


def test_an_object_with_an_event_among_other_keys_is_data() -> None:
    body = b'{"event": "login", "user": "ana"}'
    (event,) = decode(body)
    assert payload(event) == body


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda r: r["s3"]["object"].pop("key"), "record 1 (aws:s3): `s3.object.key` is missing"),
        (lambda r: r["s3"]["object"].update(key=""), "`s3.object.key` is missing"),
        (lambda r: r["s3"]["object"].update(key=7), "`s3.object.key` must be text, not int"),
        (lambda r: r["s3"]["object"].update(key="%FF"), "not UTF-8"),
        (lambda r: r["s3"]["object"].update(key="\ud800"), "not valid Unicode"),
        (lambda r: r["s3"]["bucket"].pop("name"), "`s3.bucket.name` is missing"),
        (lambda r: r["s3"].update(bucket="images"), "`s3.bucket.name` is missing"),
        (lambda r: r.pop("s3"), "`s3.object.key` is missing"),
        (lambda r: r.pop("eventSource"), "record 1 has no `eventSource` that is known"),
        (lambda r: r.update(eventSource="narnia"), "record 1 has no `eventSource` that is known"),
    ],
)
def test_malformed_records_say_what_is_missing(change: Any, named: str) -> None:
    body = s3()
    change(body["Records"][0])
    with pytest.raises(EventError) as caught:
        decode(body)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"event": {}, "subscription": "x"}, "`event.name` is missing"),
        ({"event_type": "x", "payload": {"scope": "s"}}, "`name` is missing"),
        ({**EVENTBRIDGE, "detail": {}}, "`detail.bucket.name` is missing"),
        ({"Records": ONEDATA["Records"]}, "`Key` is missing"),
        ({**ONEDATA, "Key": "/file+1.txt"}, "must be /<space>/<path of the file>"),
        ({"Records": [*s3()["Records"], "x"]}, "record 2 has no `eventSource`"),
        ({"Records": [{"eventSource": "aws:sqs"}]}, "`body` is missing"),
        ({"Records": [{"EventSource": "aws:sns", "Sns": 3}]}, "`Sns.Message` is missing"),
        (http_v1("not base64!", isBase64Encoded=True), "is not base64"),
        (cloudevent(data_base64="?"), "data_base64 is not base64"),
        (b'{"Records": [{"s3": {"object": {"key": "\xff"}}}]}', "not valid JSON in UTF-8"),
        (b'{"Records": [{"eventSource": "aws:s3"', "not valid JSON in UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        ("\ud800", "not valid Unicode"),
        ({"a": {1, 2}}, "has no JSON form"),
    ],
)
def test_malformed_bodies_are_refused(body: Any, named: str) -> None:
    with pytest.raises(EventError) as caught:
        decode(body)
    assert named in str(caught.value)


def test_wrapping_without_end_is_refused() -> None:
    body: object = s3()
    for _ in range(5):
        body = http_v2(body)
    assert len(decode(body)) == 1
    for _ in range(50):
        body = {"event": body}
    with pytest.raises(EventError, match="wrapped more than"):
        decode(body)


@pytest.mark.parametrize(
    "body", [{"Records": []}, {"Records": "x"}, {"Records": [{"eventSource": "narnia"}]}]
)
def test_records_of_no_known_source_are_data(body: Any) -> None:
    (event,) = decode(body)
    assert event.kind is EventKind.UNKNOWN and json.loads(payload(event)) == body
