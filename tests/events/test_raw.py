"""Bodies that are data: what the script gets, and by what they are told apart."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from bridge.events import Event, EventKind, decode, original, payload
from tests.events.bodies import MINIO, s3

WRAPPED = base64.encodebytes(bytes(range(200))).decode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", b""),
        (b'{"a": [1,  2]}', b'{"a": [1,  2]}'),
        ({"a": 1}, b'{"a": 1}'),
        ({}, b"{}"),
        (b"[1, 2]", b"[1, 2]"),
        ([1, 2], b"[1, 2]"),
        (b"7", b"7"),
        (7.5, b"7.5"),
        (b"1234", b"1234"),
        (b"true", b"true"),
        (None, b"null"),
        (b"aGVsbG8gdGhlcmU=", b"hello there"),
        (b"aGVsbG8gdGhlcmU=\n", b"hello there"),
        (b'"aGVsbG8gdGhlcmU="', b"hello there"),
        (WRAPPED, bytes(range(200))),
        (WRAPPED.replace("\n", "\r\n"), bytes(range(200))),
        (b"hello there", b"hello there"),
        (b'"hello there"', b"hello there"),
        (b"hello", b"hello"),
        (b"one\nthree", b"one\nthree"),
        (b"abcd efgh", b"abcd efgh"),
        (b"abcd\nefghijkl", b"abcd\nefghijkl"),
        ("ñandú", "ñandú".encode()),
        (b"\xff\xfe\x00", b"\xff\xfe\x00"),
        (b"{not json", b"{not json"),
        (b"line 1\nline 2\n", b"line 1\nline 2\n"),
        (b'\xef\xbb\xbf{"a": 1}', b'\xef\xbb\xbf{"a": 1}'),
    ],
)
def test_what_the_script_gets(body: Any, expected: bytes) -> None:
    (event,) = decode(body)
    assert event.kind is EventKind.UNKNOWN and not event.is_storage
    assert payload(event) == expected


def test_the_parsed_body_is_kept_as_the_record() -> None:
    assert decode(b'{"a": 1}')[0].record == {"a": 1}
    assert decode(b"plain text")[0].record is None


def test_equal_bodies_are_one_event_unless_the_delivery_is_named() -> None:
    assert decode(b"x")[0].identity == decode(b"x")[0].identity
    assert decode(b"x")[0].identity != decode(b"y")[0].identity
    assert decode(b"x", nonce="1")[0].identity != decode(b"x", nonce="2")[0].identity


def test_the_payload_of_a_storage_event_is_its_own_json() -> None:
    (event,) = decode(MINIO)
    assert json.loads(payload(event)) == MINIO


def test_the_original_of_one_record_among_many_is_a_whole_event() -> None:
    both = {"Records": [s3(k)["Records"][0] for k in "ab"]}
    assert [original(event) for event in decode(both)] == [s3("a"), s3("b")]


def test_the_original_of_bytes_is_base64() -> None:
    assert original(Event(EventKind.UNKNOWN, body=b"\xff")) == "/w=="
    assert original(Event(EventKind.UNKNOWN, body=b"text")) == "text"
