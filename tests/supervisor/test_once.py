"""The one-shot entry as a process of its own, by the job contract's variables."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from bridge import __version__
from bridge.events import delegated
from tests.supervisor.world import (
    MARK,
    World,
    clean_environment,
    peak_memory,
    processes_with,
)

COPY = 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/"\n'


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.02)


def test_version() -> None:
    command = [sys.executable, "-m", "bridge.supervisor", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"oscar-bridge-supervisor {__version__}\n"
    command[-1] = "--versoin"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_the_start_imports_no_heavy_module() -> None:
    code = (
        "import sys; from bridge.supervisor._lazy import defer; defer('inspect')\n"
        "import bridge.supervisor.once, bridge.supervisor.serve, bridge.storage._s3\n"
        "heavy = {'logging', 'subprocess', 'pathlib', 'tempfile', 'shutil', 'random', 'ast', 'ssl',"
        " 'http.client', 'zipfile', 'boto3', 'yaml', 'concurrent.futures', 'asyncio', 'ctypes'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "import inspect; assert 'a' in inspect.signature(lambda a: a).parameters"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_job_by_variables(world: World) -> None:
    world.upload("in/a b+%.txt", b"data")
    report = world.folder / "report.json"
    event = delegated(world.event("in/a b+%.txt"), "minio.default", "job-7", 2)

    done = world.once(f"echo to the log\n{COPY}", event, BRIDGE_REPORT=str(report))

    assert done.returncode == 0, done.stdout + done.stderr
    assert b"to the log\n" in done.stdout
    assert world.objects() == {"out/a b+%.txt": b"data"}
    written = json.loads(report.read_text())
    assert (written["job"], written["attempt"], written["state"]) == ("job-7", 2, "succeeded")


def test_the_event_may_be_a_file_or_standard_input(world: World) -> None:
    world.upload("in/a")
    (world.folder / "event.json").write_text(json.dumps(world.record("in/a")))
    event_file = str(world.folder / "event.json")
    assert world.once(COPY, BRIDGE_EVENT_FILE=event_file, JOB_UUID="j-1").returncode == 0
    assert world.objects()

    process = world.command('cat "$INPUT_FILE_PATH"; exit 9', {})
    out, _ = process.communicate(b"from standard input", timeout=60)
    assert process.returncode == 9
    assert out.startswith(b"from standard input")


def test_upstreams_variables(world: World) -> None:
    world.upload("in/a")
    config = base64.b64encode(json.dumps(world.document).encode()).decode()
    script = base64.b64encode(COPY.encode()).decode()
    done = world.once(
        None,
        world.record("in/a"),
        BRIDGE_SERVICE_FILE="",
        FUNCTION_CONFIG=config,
        SCRIPT=script,
    )
    assert done.returncode == 0, done.stdout
    assert list(world.objects()) == ["out/a"]


def test_everything_from_s3(world: World) -> None:
    own = world.server.make_bucket()
    client = world.server.client()

    def put(key: str, content: bytes) -> None:
        client.put_object(own, key, io.BytesIO(content), len(content))

    world.upload("in/a")
    put("services/abc/service.json", json.dumps(world.document).encode())
    put("services/abc/script.sh", COPY.encode())
    put("events/1.json", json.dumps(world.record("in/a")).encode())
    variables = {
        "AWS_ENDPOINT_URL_S3": world.server.endpoint,
        "AWS_ACCESS_KEY_ID": world.server.access_key,
        "AWS_SECRET_ACCESS_KEY": world.server.secret_key,
        "BRIDGE_SERVICE_FILE": "",
        "BRIDGE_SERVICE_URL": f"s3://{own}/services/abc/",
        "BRIDGE_EVENT_URL": f"s3://{own}/events/1.json",
        "BRIDGE_REPORT": f"s3://{own}/reports",
        "JOB_UUID": "job-1",
        "TMPDIR": str(world.folder),
        "BRIDGE_WORK_DIR": "",
    }
    first = world.once(None, **variables)
    assert first.returncode == 0, first.stdout
    assert list(world.objects()) == ["out/a"]
    stored = client.get_object(own, "reports/job-1.json").read()
    assert json.loads(stored)["state"] == "succeeded"

    # The service is named by content, so the second job does not fetch it again.
    client.remove_object(own, "services/abc/service.json")
    client.remove_object(own, "services/abc/script.sh")
    assert world.once(None, **variables | {"JOB_UUID": "job-2"}).returncode == 0
    assert [path for path in world.folder.iterdir() if path.name.startswith("bridge-event")] == []


def from_one_object(world: World, body: bytes) -> dict[str, str]:
    """The variables of a job whose service is one object in a bucket."""
    own = world.server.make_bucket()
    world.server.client().put_object(own, "abc.json", io.BytesIO(body), len(body))
    return {
        "AWS_ENDPOINT_URL_S3": world.server.endpoint,
        "AWS_ACCESS_KEY_ID": world.server.access_key,
        "AWS_SECRET_ACCESS_KEY": world.server.secret_key,
        "BRIDGE_SERVICE_FILE": "",
        "BRIDGE_SERVICE_URL": f"s3://{own}/abc.json",
        "TMPDIR": str(world.folder),
        "BRIDGE_WORK_DIR": "",
    }


def test_the_service_and_its_script_may_be_one_object(world: World) -> None:
    body = {"service": world.document, "script": COPY, "fdl": "functions: {}"}
    variables = from_one_object(world, json.dumps(body).encode())
    world.upload("in/a")
    first = world.once(None, world.record("in/a"), **variables)
    assert first.returncode == 0, first.stdout
    assert list(world.objects()) == ["out/a"]
    # Named by content, so it is fetched once.
    bucket = variables["BRIDGE_SERVICE_URL"].removeprefix("s3://").partition("/")[0]
    world.server.client().remove_object(bucket, "abc.json")
    assert world.once(None, world.record("in/a"), **variables).returncode == 0
    assert not list(world.folder.rglob("*.part"))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "is not JSON"),
        (b"[]", "is not an object with a service"),
        (b'{"script": "true"}', "is not an object with a service"),
        (b'{"service": {"name": "s"}, "script": 7}', "must be text, not int"),
    ],
)
def test_an_object_that_is_no_service_is_refused(world: World, body: bytes, words: str) -> None:
    world.upload("in/a")
    refused = world.once(None, world.record("in/a"), **from_one_object(world, body))
    assert refused.returncode == 125
    assert words in (refused.stdout + refused.stderr).decode()


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_the_exit_status_is_the_scripts(world: World, code: int) -> None:
    world.upload("in/a")
    assert world.once(f"exit {code}", world.record("in/a")).returncode == code


@pytest.mark.parametrize(
    ("variables", "status", "words"),
    [
        ({"EVENT": '{"Records": [{"eventSource": "minio:s3", "s3": {}}]}'}, 125, b"missing"),
        ({"EVENT": '{"Records": [{"event'}, 125, b"not valid JSON"),
        ({"BRIDGE_SERVICE_FILE": "/no/such/file"}, 125, b"/no/such/file"),
        ({"BRIDGE_SERVICE_FILE": "/etc/hostname"}, 125, b"not JSON"),
        ({"BRIDGE_SCRIPT_FILE": "/no/script.sh"}, 125, b"/no/script.sh"),
        ({"BRIDGE_SCRIPT_FILE": ""}, 127, b"no script"),
        ({"BRIDGE_EVENT_FILE": "/no/event"}, 125, b"/no/event"),
        ({"BRIDGE_EVENT_URL": "http://x/y"}, 125, b"s3://"),
        ({"BRIDGE_TIMEOUT": "soon"}, 125, b"BRIDGE_TIMEOUT"),
        ({"BRIDGE_TIMEOUT": "0.3"}, 124, b"time"),
        ({"JOB_UUID": "../x"}, 125, b"job's name"),
    ],
)
def test_what_is_wrong_is_said_and_reported(
    world: World, variables: dict[str, str], status: int, words: bytes
) -> None:
    report = world.folder / "report.json"
    given = {"EVENT": "raw", "BRIDGE_REPORT": str(report)} | variables
    done = world.once("sleep 30", **given)
    assert (done.returncode, done.stderr) == (status, b"")
    assert words in done.stdout
    document = json.loads(report.read_text())
    assert (document["state"], document["status"]) == ("failed", status)
    assert words.decode() in document["reason"]


def test_wrong_credentials_are_not_shown(world: World) -> None:
    world.upload("in/a")
    (world.secrets / "minio.default" / "secretKey").write_text("this-is-the-wrong-secret")
    report = world.folder / "report.json"
    done = world.once(COPY, world.record("in/a"), BRIDGE_REPORT=str(report))
    everything = done.stdout + done.stderr + report.read_bytes()
    assert done.returncode == 125
    assert b"denied" in everything
    assert b"this-is-the-wrong-secret" not in everything
    assert world.server.secret_key.encode() not in everything


def test_missing_credentials_do_not_make_the_event_the_input(world: World) -> None:
    done = world.once("touch ran", world.record("in/a"), BRIDGE_SECRETS_DIR="/no/secrets")
    assert done.returncode == 126
    assert b"no credentials for minio.default" in done.stdout


def test_secret_variables_reach_the_script_exactly(world: World) -> None:
    world.upload("in/a")
    (world.secrets / "environment").mkdir()
    (world.secrets / "environment" / "TOKEN").write_text("line 1\nline 2\n")
    done = world.once('printf %s "$TOKEN" | od -c', world.record("in/a"))
    assert b"l   i   n   e       2  \\n" in done.stdout


def test_several_records_are_several_jobs(world: World) -> None:
    for name in ("a", "b", "c"):
        world.upload(f"in/{name}", name.encode())
    event = {"Records": [world.record(f"in/{n}")["Records"][0] for n in "abc"]}
    script = f'{COPY}[ "$STORAGE_OBJECT_KEY" != in/b ] || exit 6\n'
    done = world.once(script, event, BRIDGE_REPORT=f"{world.folder}/", JOB_UUID="many")
    assert done.returncode == 6
    assert sorted(world.objects()) == ["out/a", "out/c"]
    states = {
        path.stem: json.loads(path.read_text())["state"] for path in world.folder.glob("many*.json")
    }
    assert states == {"many": "succeeded", "many-2": "failed", "many-3": "succeeded"}

    single = world.folder / "single.json"
    world.once(script, event, BRIDGE_REPORT=str(single))
    assert json.loads(single.read_text())["exit_code"] == 6


def test_an_event_that_starts_nothing(world: World) -> None:
    assert world.once("exit 9", {"Event": "s3:TestEvent"}).returncode == 0


@pytest.mark.parametrize(
    ("script", "reply"),
    [
        ("echo hello; printf 'a\\377b'", b"hello\nab"),
        ('printf data > "$TMP_OUTPUT_DIR/x"; echo text', base64.b64encode(b"data")),
    ],
)
def test_the_reply_of_a_synchronous_call(world: World, script: str, reply: bytes) -> None:
    world.document |= {"output": [], "log_level": "ERROR"}
    done = world.once(script, "some text", "--reply")
    assert (done.returncode, done.stdout) == (0, reply)
    assert b"hello" in done.stderr or b"text" in done.stderr


def test_the_reply_of_several_files_is_a_zip(world: World) -> None:
    world.document["output"] = []
    script = 'cd "$TMP_OUTPUT_DIR"; mkdir d; echo 1 > a; echo 2 > d/b; touch -d 1970-01-01 a'
    done = world.once(script, "some text", "--reply")
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(done.stdout))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "a": b"1\n",
            "d/b": b"2\n",
        }


def test_the_reply_to_a_storage_event_is_text(world: World) -> None:
    world.upload("in/a")
    world.document["log_level"] = "ERROR"
    assert world.once(f"{COPY}echo text", world.record("in/a"), "--reply").stdout == b"text\n"


def test_sigterm_ends_the_whole_tree_and_is_reported(world: World) -> None:
    world.upload("in/a")
    ready, report = world.folder / "ready", world.folder / "report.json"
    mark = f"{os.getpid()}-{world.bucket}"
    script = f"trap '' TERM\nsetsid sh -c \"trap '' TERM; sleep 300\" &\ntouch {ready}\nsleep 300\n"
    process = world.command(
        script,
        {
            "EVENT": json.dumps(world.record("in/a")),
            "BRIDGE_REPORT": str(report),
            MARK: mark,
        },
    )
    wait_for(ready)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    document = json.loads(report.read_text())
    assert (document["state"], document["reason"]) == ("failed", "terminated")
    assert document["temporary"] is True
    assert processes_with(mark) == []
    assert list(world.base.iterdir()) == []
    assert world.objects() == {}


def test_sigterm_during_a_transfer(world: World) -> None:
    """The store accepts the connection and never answers."""
    report = world.folder / "report.json"
    with socket.create_server(("127.0.0.1", 0)) as server:
        world.document["storage_providers"]["minio"]["default"]["endpoint"] = (
            f"http://127.0.0.1:{server.getsockname()[1]}"
        )
        process = world.command(
            COPY, {"EVENT": json.dumps(world.record("in/a")), "BRIDGE_REPORT": str(report)}
        )
        connection, _ = server.accept()
        with connection:
            connection.recv(1)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
    assert process.returncode == 143
    assert json.loads(report.read_text())["reason"] == "terminated"
    assert list(world.base.iterdir()) == []


def test_200_mb_in_and_out_take_little_memory(world: World) -> None:
    size = 200 << 20
    client = world.server.client()
    with (world.folder / "big").open("wb") as file:
        file.truncate(size)
    client.fput_object(world.bucket, "in/big.bin", str(world.folder / "big"))
    (world.folder / "big").unlink()
    process = world.command(
        'ln "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/big"',
        {"EVENT": json.dumps(world.record("in/big.bin"))},
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, peak_memory(process.pid))
        time.sleep(0.01)
    out, _ = process.communicate()

    assert process.returncode == 0, out
    (output,) = list(client.list_objects(world.bucket, "out/", recursive=True))
    assert output.size == size
    assert 0 < peak < 150 << 20


def test_environment_of_tests_is_clean() -> None:
    assert not [name for name in clean_environment() if name.startswith("AWS_")]
