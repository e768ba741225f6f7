"""A synchronous call over HTTP, against the real server of the runtime and against broken ones."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.errors import PermanentError, TargetUnavailable
from bridge.targets import calls
from bridge.targets.calls import Address, call
from tests.supervisor.served import Web, files, serving, until

SCRIPT = """
case "$CONT_VAR_do" in
  copy) cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/copy" ;;
  env) env ;;
  stay) sleep 300 ;;
  much) head -c 5000000 /dev/zero ;;
esac
"""


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A service that answers."""
    with serving(files(tmp_path_factory.mktemp("calls"), SCRIPT)) as served:
        yield served


def at(web: Web) -> Address:
    return Address("127.0.0.1", web.port, "svc")


def test_bodies_are_passed_on_as_they_come(web: Web) -> None:
    parts = [bytes([number]) * 100_000 for number in range(30)]
    whole = b"".join(parts)
    for body, headers in (
        (whole, {}),
        (iter(parts), {}),
        (iter(parts), {"Content-Length": str(len(whole))}),
    ):
        reply = call(at(web), body, headers, 60.0, query="do=copy")
        assert reply.status == 200
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"
        assert base64.b64decode(b"".join(reply.body)) == whole


def test_credentials_stay_behind(web: Web) -> None:
    headers = {"Authorization": "Bearer s3cret", "Cookie": "s3cret", "ce-id": "1"}
    reply = call(at(web), b"", headers, 60.0, query="do=env")
    assert b"s3cret" not in b"".join(reply.body)


def test_an_answer_that_comes_late_or_for_nobody(web: Web) -> None:
    assert call(at(web), b"", {}, 0.5, query="do=stay").status == 504
    left = threading.Event()

    def leave() -> None:
        until(web.scripts)
        left.set()

    waiting = threading.Thread(target=leave)
    waiting.start()
    with pytest.raises(TargetUnavailable, match="gone away"):
        call(at(web), b"", {}, 60.0, query="do=stay", gone=left.is_set)
    waiting.join()
    until(lambda: not web.scripts())
    reply = call(at(web), b"", {}, 60.0, query="do=much")
    next(reply.body)
    reply.close()  # in the middle of the answer
    assert call(at(web), b"", {}, 60.0).status == 200


def test_nobody_is_there() -> None:
    told: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(TargetUnavailable, match="does not answer yet"):
        call(Address("127.0.0.1", port), b"", {}, 0.5, cold=lambda: told.append(1))
    assert told == [1]


@contextmanager
def speaking(text: bytes) -> Iterator[Address]:
    """A server that says this to whoever comes, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(text)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Address("127.0.0.1", listener.getsockname()[1])
        thread.join()


def test_a_service_that_is_busy_takes_a_large_body_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_CONNECT", 0.2)
    size, step = 32 << 20, 1 << 16
    asked: list[int] = []
    sent: list[int] = []
    turn = threading.Event()

    def blocks() -> Iterator[bytes]:
        for start in range(0, size, step):
            sent.append(start)
            yield bytes(step)

    def gone() -> bool:
        asked.append(len(sent))
        # Asked again and again while nothing leaves: all buffers are full.
        if asked[-4:] == [len(sent)] * 4:
            turn.set()
        return False

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                turn.wait(5.0)
                left = size
                while left > 0 and (found := connection.recv(1 << 20)):
                    left -= len(found)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        address = Address("127.0.0.1", listener.getsockname()[1])
        reply = call(address, blocks(), {"content-length": str(size)}, 30.0, gone=gone)
        thread.join()
    assert reply.status == 200


@pytest.mark.parametrize("text", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 banana\r\n\r\n"])
def test_what_is_no_answer(text: bytes) -> None:
    with speaking(text) as address, pytest.raises(TargetUnavailable, match="broke the call off"):
        call(address, b"", {}, 30.0)


def test_a_server_that_would_keep_the_connection() -> None:
    with speaking(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfull") as address:
        assert b"".join(call(address, b"", {}, 30.0).body) == b"full"


def test_an_answer_that_is_broken_off() -> None:
    with speaking(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf") as address:
        reply = call(address, b"", {}, 30.0)
        with pytest.raises(TargetUnavailable, match="broke the answer off"):
            list(reply.body)


def test_a_header_that_would_be_two(tmp_path: Path, web: Web) -> None:
    with pytest.raises(PermanentError, match="cannot be passed on"):
        call(at(web), b"", {"X-A": "b\r\nX-C: d"}, 30.0)
