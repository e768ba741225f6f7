"""The webhook over real HTTP: what it refuses, what it persists, and what it answers."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from bridge.errors import EventError, TemporaryError
from bridge.local.ingest import Ingest
from bridge.secret import Secret

TOKEN = Secret("a-token")


class Receiver:
    """Keeps what it accepts; raises `error` after keeping when there is one."""

    def __init__(self) -> None:
        self.kept: list[tuple[bytes, Mapping[str, str]]] = []
        self.error: Exception | None = None

    def __call__(self, body: bytes, headers: Mapping[str, str]) -> None:
        self.kept.append((body, headers))
        if self.error is not None:
            raise self.error


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def ingest(receiver: Receiver) -> Iterator[Ingest]:
    with Ingest(receiver, token=TOKEN, max_body=1000) as running:
        yield running


def call(
    ingest: Ingest, method: str = "POST", body: bytes = b"", token: str = "a-token"
) -> http.client.HTTPResponse:
    where = urlsplit(ingest.url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "X-Kind": "test"} if token else {}
    connection.request(method, where.path, body=body or None, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_an_event_is_persisted_before_it_is_answered(ingest: Ingest, receiver: Receiver) -> None:
    assert call(ingest, body=b'{"a": 1}').status == 200
    [(body, headers)] = receiver.kept
    assert body == b'{"a": 1}'
    assert headers["x-kind"] == "test"


def test_the_token_is_needed_and_not_handed_on(ingest: Ingest, receiver: Receiver) -> None:
    assert call(ingest, body=b"{}", token="").status == 401
    assert call(ingest, body=b"{}", token="another").status == 401
    assert call(ingest, body=b"{}", token="a-token\xe9").status == 401
    assert receiver.kept == []
    call(ingest, body=b"{}")
    assert "a-token" not in str(receiver.kept)
    assert "a-token" not in repr(ingest.token)


@pytest.mark.parametrize(("method", "token"), [("GET", ""), ("HEAD", ""), ("POST", "a-token")])
def test_probes_do_nothing(ingest: Ingest, receiver: Receiver, method: str, token: str) -> None:
    assert call(ingest, method, token=token).status == 200
    assert receiver.kept == []


def test_a_body_above_the_limit_is_refused(ingest: Ingest, receiver: Receiver) -> None:
    assert call(ingest, body=b"x" * 1001).status == 413
    assert receiver.kept == []
    assert call(ingest, body=b"x" * 1000).status == 200


def test_a_sender_that_leaves_is_nothing_to_trace(
    ingest: Ingest, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    where = urlsplit(ingest.url)
    with socket.create_connection((str(where.hostname), where.port or 0), timeout=30) as line:
        proof = f"Host: x\r\nAuthorization: Bearer {TOKEN.reveal()}"
        line.sendall(f"POST {where.path} HTTP/1.1\r\n{proof}\r\nContent-Length: 9\r\n\r\n".encode())
        line.sendall(b"part")
    ingest.close()
    assert receiver.kept == []
    assert not [one for one in caplog.records if one.exc_info]


def test_a_malformed_event_was_kept_and_is_not_sent_again(
    ingest: Ingest, receiver: Receiver
) -> None:
    receiver.error = EventError("not JSON")
    assert call(ingest, body=b"{").status == 200
    assert receiver.kept[0][0] == b"{"


def test_what_could_not_be_persisted_is_to_be_sent_again(
    ingest: Ingest, receiver: Receiver
) -> None:
    receiver.error = TemporaryError("the disk is full", delay=2.5)
    answer = call(ingest, body=b"{}")
    assert (answer.status, answer.getheader("retry-after")) == (503, "3")


def test_a_defect_in_accept_is_not_success(ingest: Ingest, receiver: Receiver) -> None:
    receiver.error = RuntimeError("a defect")
    assert call(ingest, body=b"{}").status == 500
    receiver.error = None
    assert call(ingest, body=b"{}").status == 200


def test_fifty_events_are_accepted_at_once() -> None:
    together = threading.Barrier(50, timeout=60)

    def accept(body: bytes, headers: Mapping[str, str]) -> None:
        together.wait()

    with Ingest(accept, token=TOKEN) as ingest, ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: call(ingest, body=b"{}").status, range(50)))
    assert answers == [200] * 50


def test_close_answers_what_has_begun_and_frees_the_port() -> None:
    entered, release = threading.Event(), threading.Event()

    def accept(body: bytes, headers: Mapping[str, str]) -> None:
        entered.set()
        release.wait(30)

    ingest = Ingest(accept, token=TOKEN)
    ingest.start()
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(call, ingest, "POST", b"{}")
        assert entered.wait(30)
        closing = pool.submit(ingest.close)
        time.sleep(0.05)
        release.set()
        closing.result()
        assert answer.result().status == 200
    with pytest.raises(OSError):
        call(ingest, "GET")
    ingest.close()
