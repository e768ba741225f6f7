"""Synchronous calls over HTTP: what goes in, what comes out, and who is turned away."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.supervisor.served import Web, answered, everything, files, serving, until
from tests.supervisor.world import World, clean_environment

SCRIPT = """
case "$CONT_VAR_do" in
  say) echo "said $CONT_VAR_what"; echo complained >&2 ;;
  copy) cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/copy" ;;
  two) mkdir "$TMP_OUTPUT_DIR/b"; echo 1 > "$TMP_OUTPUT_DIR/a"; echo 2 > "$TMP_OUTPUT_DIR/b/c" ;;
  env) env ;;
  fail) echo before; exit 3 ;;
  much) head -c 3000000 /dev/zero | tr '\\0' x ;;
  memory) grep VmHWM "/proc/$PPID/status"; sha256sum < "$INPUT_FILE_PATH" ;;
  meet) : > "$MEETING/$CONT_VAR_me"; while [ ! -e "$MEETING/$CONT_VAR_you" ]; do sleep 0.02; done ;;
  alone) mkdir "$MEETING/alone" || exit 9; sleep 0.1; rmdir "$MEETING/alone" ;;
  stay) setsid sleep 300 & : > "$MEETING/$CONT_VAR_me"; sleep 300 ;;
  leave) while [ ! -e "$MEETING/$CONT_VAR_you" ]; do sleep 0.02; done; echo left ;;
esac
"""
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def meeting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which scripts and tests leave signs for each other."""
    return tmp_path_factory.mktemp("meeting")


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, meeting: Path) -> Iterator[Web]:
    """One call at a time."""
    folder = tmp_path_factory.mktemp("web")
    with serving(files(folder, SCRIPT), MEETING=str(meeting), BRIDGE_TIMEOUT="120") as served:
        yield served
    assert list((folder / "base").iterdir()) == []


def test_the_three_forms_of_an_answer(web: Web) -> None:
    said = web.post(b"", "/?do=say&what=a%20b%26c")
    assert (said.status, said.body) == (200, b"said a b&c\ncomplained\n")
    raw = bytes(range(256))
    assert base64.b64decode(web.post(base64.b64encode(raw), "/?do=copy").body) == raw
    assert base64.b64decode(web.post(raw, "/any/path?do=copy").body) == raw
    text = b'{"a": "as it is"}'
    assert base64.b64decode(web.post(text, "/?do=copy").body) == text
    zipped = base64.b64decode(web.post(b"x", "/?do=two").body)
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "a": b"1\n",
            "b/c": b"2\n",
        }


def test_bodies_that_are_events_mean_what_they_mean_everywhere(web: Web) -> None:
    request = {"httpMethod": "POST", "queryStringParameters": {"do": "copy"}, "body": "inside"}
    assert base64.b64decode(web.post(json.dumps(request).encode()).body) == b"inside"
    broken = web.post(b'{"Records": [{"eventSource": "minio:s3"}]}')
    assert broken.status == 400
    assert b"s3.object.key" in broken.body


def test_secrets_of_the_request_do_not_reach_the_script(web: Web) -> None:
    answer = web.post(b"body", "/?do=env", Authorization="Bearer s3cret-token", Cookie="s3cret-too")
    assert answer.status == 200
    assert b"s3cret" not in answer.body
    assert b"BRIDGE_HTTP" not in answer.body
    names = [web.post(b"same", "/?do=env").body.split(b"JOB_UUID=")[1][:36] for _ in range(2)]
    assert names[0] != names[1]
    assert names[0].startswith(b"svc-")


def test_a_script_that_fails_is_500_with_what_it_said(web: Web) -> None:
    answer = web.post(b"", "/?do=fail")
    assert answer.status == 500
    assert answer.body == b"before\nthe script ended with exit status 3\n"


def test_large_bodies_take_disk_and_not_memory(web: Web) -> None:
    block = bytes(range(256)) * 3000
    blocks = 40
    encoded = base64.b64encode(block)
    answer = web.post((encoded for _ in range(blocks)), "/?do=memory")
    memory, digest = answer.body.decode().splitlines()
    assert digest.split()[0] == hashlib.sha256(block * blocks).hexdigest()
    assert int(memory.split()[1]) < 40 << 10, memory
    copied = web.post((encoded for _ in range(blocks)), "/?do=copy").body
    assert copied == encoded * blocks
    assert web.post(b"", "/?do=much").body == b"x" * 3_000_000


def test_one_connection_serves_many_calls(web: Web) -> None:
    connection = web.connection()
    for number in range(3):
        connection.request("POST", f"/?do=say&what={number}", b"body")
        assert answered(connection).body.startswith(b"said %d\n" % number)
    connection.request("GET", "/_/health")
    assert answered(connection).body == b"OK\n"
    connection.close()


def test_the_client_is_asked_for_a_body_that_it_holds_back(web: Web) -> None:
    head = b"POST /?do=copy HTTP/1.1\r\nConnection: close\r\nContent-Length: 4\r\n"
    connection = web.raw(head + b"Expect: 100-continue\r\n\r\n")
    assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(b"\x00\x01\x02\x03")
    assert everything(connection).endswith(base64.b64encode(b"\x00\x01\x02\x03"))


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST / HTTP/2\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 405),
        (b"GET /_/other HTTP/1.1\r\n\r\n", 404),
        (b"POST /_/health HTTP/1.1\r\n\r\n", 405),
        (HEAD + b"no colon\r\n\r\n", 400),
        (HEAD + b"Content-Length : 1\r\n\r\n", 400),
        (HEAD + b" folded: 1\r\n\r\n", 400),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400),
        (HEAD + b"Content-Length: 1, 1\r\n\r\n", 400),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
        (HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nnot hex\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 5000, 400),
        (HEAD + b"X: " + b"y" * 40_000 + b"\r\n\r\n", 431),
    ],
)
def test_what_is_not_a_call_is_refused(web: Web, request_text: bytes, status: int) -> None:
    answer = everything(web.raw(request_text))
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"Connection: close" in answer
    assert web.get("/_/ready").status == 200


def test_a_client_that_leaves_ends_its_script(web: Web, meeting: Path) -> None:
    leaving = web.raw(b"POST /?do=stay&me=first HTTP/1.1\r\nHost: x\r\n\r\n")
    until((meeting / "first").exists)
    waiting = web.raw(b"POST /?do=stay&me=never HTTP/1.1\r\nHost: x\r\n\r\n")
    assert web.get("/_/health").status == 200  # so the waiting one is in line
    waiting.close()
    leaving.close()
    assert web.post(b"", "/?do=say&what=next").body.startswith(b"said next")
    assert web.scripts() == []
    assert not (meeting / "never").exists()


def test_calls_of_one_copy_do_not_meet(web: Web) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: web.post(b"", "/?do=alone"), range(6)))
    assert [answer.status for answer in answers] == [200] * 6


def test_calls_run_side_by_side_where_this_is_allowed(tmp_path: Path) -> None:
    variables = files(tmp_path, SCRIPT) | {"MEETING": str(tmp_path), "BRIDGE_CONCURRENCY": "3"}
    with serving(variables) as web, ThreadPoolExecutor(3) as pool:
        paths = [f"/?do=meet&me={me}&you={(me + 1) % 3}" for me in range(3)]
        answers = list(pool.map(lambda path: web.post(b"", path), paths))
        assert [answer.status for answer in answers] == [200, 200, 200]


def test_too_many_are_turned_away(web: Web, meeting: Path) -> None:
    running = web.raw(b"POST /?do=stay&me=crowd HTTP/1.1\r\nHost: x\r\n\r\n")
    until((meeting / "crowd").exists)
    line = [web.raw(HEAD + b"\r\n") for _ in range(100)]
    refused = web.post(b"one too many")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    for connection in (*line, running):
        connection.close()
    assert web.post(b"", "/?do=say").status == 200


def test_the_time_limit(tmp_path: Path) -> None:
    with serving(files(tmp_path, "echo begun; sleep 300"), BRIDGE_TIMEOUT="0.3") as web:
        answer = web.post(b"")
        assert answer.status == 504
        assert answer.body.startswith(b"begun\nthe script was still running")
        assert web.scripts() == []


def test_sigterm_finishes_what_runs_and_refuses_the_rest(tmp_path: Path) -> None:
    variables = files(tmp_path, SCRIPT) | {"MEETING": str(tmp_path)}
    with serving(variables) as web, ThreadPoolExecutor(1) as pool:
        fresh, idle = web.raw(), web.raw(b"GET /_/health HTTP/1.1\r\n\r\n")
        assert idle.recv(1000).endswith(b"OK\n")
        running = pool.submit(web.post, b"", "/?do=leave&you=sign")
        until(web.scripts)
        waiting = web.raw(HEAD + b"\r\n")
        assert web.get("/_/ready").status == 200
        web.process.send_signal(signal.SIGTERM)
        assert everything(waiting).startswith(b"HTTP/1.1 503 ")
        assert everything(idle) == b""
        fresh.sendall(HEAD + b"\r\n")
        assert everything(fresh).startswith(b"HTTP/1.1 503 ")
        assert web.get("/_/ready").status == 503
        assert web.get("/_/health").status == 200
        refused = web.post(b"")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        (tmp_path / "sign").touch()
        assert running.result().body == b"left\n"
        assert web.process.wait(30) == 0


def test_a_second_sigterm_ends_what_runs(tmp_path: Path) -> None:
    variables = files(tmp_path, SCRIPT) | {"MEETING": str(tmp_path)}
    with serving(variables) as web:
        connection = web.raw(b"POST /?do=stay&me=here HTTP/1.1\r\nHost: x\r\n\r\n")
        until((tmp_path / "here").exists)
        web.process.send_signal(signal.SIGTERM)
        until(lambda: web.get("/_/ready").status == 503)
        web.process.send_signal(signal.SIGTERM)
        assert everything(connection).startswith(b"HTTP/1.1 500 ")
        assert web.process.wait(30) == 0
        assert web.scripts() == []


def test_no_script_outlives_a_server_that_is_killed(tmp_path: Path) -> None:
    variables = files(tmp_path, SCRIPT) | {"MEETING": str(tmp_path)}
    with serving(variables) as web:
        caller = web.raw(b"POST /?do=stay&me=here HTTP/1.1\r\nHost: x\r\n\r\n")
        until((tmp_path / "here").exists)
        web.process.kill()
        until(lambda: not web.scripts())
        caller.close()


def test_a_storage_event_is_staged_in_and_out(world: World) -> None:
    world.upload("in/a.txt", b"from the store")
    script = 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/"; echo "did $STORAGE_OBJECT_KEY"'
    with serving(world.files(script)) as web:
        answers = [web.post(json.dumps(world.record("in/a.txt")).encode()) for _ in range(2)]
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"did in/a.txt\n")] * 2
    assert world.objects() == {"out/a.txt": b"from the store"}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"BRIDGE_SERVICE_FILE": "/no/service.json"}, "/no/service.json"),
        ({"BRIDGE_SERVICE_URL": "s3://b/p/"}, "BRIDGE_SERVICE_FILE"),
        ({"BRIDGE_CONCURRENCY": "0"}, "BRIDGE_CONCURRENCY"),
        ({"BRIDGE_HTTP_ADDRESS": "nowhere"}, "BRIDGE_HTTP_ADDRESS"),
        ({"BRIDGE_TIMEOUT": "soon"}, "BRIDGE_TIMEOUT"),
    ],
)
def test_a_wrong_setting_is_said(tmp_path: Path, variables: dict[str, str], words: str) -> None:
    given = files(tmp_path, "true") | {"BRIDGE_HTTP_ADDRESS": "127.0.0.1:0"} | variables
    done = subprocess.run(
        [sys.executable, "-m", "bridge.supervisor.web"],
        env=clean_environment() | given,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 125
    assert words in done.stderr


def test_a_reset_connection_does_no_harm(web: Web) -> None:
    for text in (b"", b"POST", HEAD + b"Content-Length: 10\r\n\r\nx"):
        connection = web.raw(text)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    assert web.post(b"", "/?do=say&what=on").body.startswith(b"said on")
