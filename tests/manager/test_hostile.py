"""Senders who mean harm, or are broken: what is too large, too slow, packed, or leads elsewhere."""

from __future__ import annotations

import gzip
import json
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.events import minio_record
from bridge.targets import JobState
from bridge.targets.calls import Address, call
from tests.waiting import eventually

from .conftest import Live, basic

HUGE = 2 * 2**30


@contextmanager
def connected(live: Live) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", live.port), timeout=30) as line:
        yield line


def head(live: Live, method: str, path: str, *lines: str) -> bytes:
    proof = f"Bearer {live.token}" if path == "/events" else basic()["Authorization"]
    words = (f"{method} {path} HTTP/1.1", "Host: here", f"Authorization: {proof}", *lines)
    return ("\r\n".join(words) + "\r\n\r\n").encode()


def test_two_gigabytes_are_refused_before_they_are_sent(live: Live) -> None:
    name = live.create()
    for method, path in (
        ("POST", f"/run/{name}"),
        ("POST", f"/job/{name}"),
        ("POST", "/system/services"),
        ("PUT", "/system/services"),
        ("POST", "/events"),
    ):
        with connected(live) as line:
            line.sendall(
                head(live, method, path, f"Content-Length: {HUGE}", "Expect: 100-continue")
            )
            assert line.recv(4096).startswith(b"HTTP/1.1 413 "), path


def test_a_request_that_is_about_no_path_is_no_defect_of_ours(live: Live) -> None:
    with connected(live) as line:
        line.sendall(head(live, "OPTIONS", "*"))
        assert line.recv(4096).startswith(b"HTTP/1.1 404 ")


def test_what_does_not_say_its_length_is_cut_off_at_the_limit(live: Live) -> None:
    """And it is not held meanwhile: a manager's memory must not be a sender's to fill."""
    chunk = b"100000\r\n" + bytes(2**20) + b"\r\n"
    with connected(live) as line:
        line.sendall(head(live, "POST", "/events", "Transfer-Encoding: chunked"))
        sent = 0
        try:
            while sent < HUGE:
                line.sendall(chunk)
                sent += len(chunk)
            raise AssertionError("all of it was taken")
        except OSError:
            # What was on its way when the answer came: buffers of the system, no more.
            assert sent < 64 * 2**20


def test_who_is_slow_holds_up_nobody_and_is_told(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manager.patience._HEAD", 0.5)
    with ExitStack() as stack:
        silent = [stack.enter_context(connected(live)) for _ in range(100)]
        begun = [stack.enter_context(connected(live)) for _ in range(100)]
        for line in begun:
            line.sendall(b"POST /events HTTP/1.1\r\nHost: he")
        assert live.ask("GET", "/health", headers={}).status == 200
        assert live.ask("POST", "/job/" + live.create(), b"x").status == 201
        for line in (*silent, *begun):
            assert line.recv(4096).startswith(b"HTTP/1.1 408 ")
            assert line.recv(4096) == b""
        # Its head is whole, and who it is known: it may take its time.
        with connected(live) as line:
            body = b"0123456789"
            line.sendall(head(live, "POST", "/events", f"Content-Length: {len(body)}"))
            time.sleep(0.7)
            line.sendall(body)
            assert line.recv(4096).startswith(b"HTTP/1.1 200 ")


class _Packed(socketserver.StreamRequestHandler):
    """Answers a call with a little that would be much."""

    bomb = gzip.compress(bytes(64 * 2**20))

    def handle(self) -> None:
        while self.rfile.readline() not in (b"\r\n", b""):
            continue
        said = f"Content-Encoding: gzip\r\nContent-Length: {len(self.bomb)}\r\n\r\n"
        self.wfile.write(f"HTTP/1.1 200 OK\r\n{said}".encode() + self.bomb)


def test_an_answer_that_is_packed_is_passed_on_as_it_is(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Packed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = Address("127.0.0.1", server.server_address[1], "bomb")

        def invoke(_: str, body: bytes, headers: Any, timeout: float, **more: Any) -> Any:
            return call(there, body, headers, timeout, **more)

        monkeypatch.setattr(live.manager.parts.targets["local"], "invoke", invoke)
        answer = live.ask("POST", "/run/" + live.create(), b"")
        server.shutdown()
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.body == _Packed.bomb


def test_a_key_that_climbs_is_a_job_that_fails_and_touches_nothing(
    live: Live, tmp_path: Path
) -> None:
    out = tmp_path / "ran"
    name = live.create(
        script=f'echo "$INPUT_FILE_PATH" >> {out}\n',
        input=[{"storage_provider": "minio", "path": "climbing/in"}],
    )
    for key in ("in/../../../../../../../../tmp/climbed", "in/..", "in//etc/passwd", "in/a\0b"):
        sent = json.dumps(minio_record("climbing", key, size=1, etag="e", sequencer="1"))
        right = {"Authorization": f"Bearer {live.token}"}
        assert live.ask("POST", "/events", sent.encode(), right).status == 200
    jobs = live.manager.parts.jobs
    assert eventually(jobs.quiet)
    assert {job.state for job in jobs.jobs(service=name)} == {JobState.FAILED}
    assert not out.exists() and not Path("/tmp/climbed").exists()
