"""`oscar-bridge up`: what it prints, what stands, and what is left of it."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from bridge.errors import PermanentError
from bridge.local.children import free_port
from tests.command import COMMAND, bridge, environment
from tests.standing import Up, up
from tests.waiting import eventually


def minio(running: Up) -> object:
    return boto3.client(
        "s3",
        endpoint_url=running.variables["MINIO_ENDPOINT"],
        region_name="us-east-1",
        aws_access_key_id=running.variables["MINIO_ACCESS_KEY"],
        aws_secret_access_key=running.variables["MINIO_SECRET_KEY"],
        config=Config(s3={"addressing_style": "path"}),
    )


def test_both_servers_take_its_variables(tmp_path: Path) -> None:
    with up(tmp_path) as running:
        assert running.variables["OSCAR_BRIDGE_IMAGES"] == "as-is"
        assert running.client("sts").get_caller_identity()["Account"] == "000000000000"
        for client in (running.client("s3"), minio(running)):
            client.create_bucket(Bucket="bucket")
            client.put_object(Bucket="bucket", Key="a", Body=b"b")
            assert client.get_object(Bucket="bucket", Key="a")["Body"].read() == b"b"


SHOUT = 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"\n'


def oscar(running: Up, method: str, path: str, body: object = None) -> requests.Response:
    told = running.variables
    return requests.request(
        method,
        told["OSCAR_ENDPOINT"] + path,
        json=body,
        auth=(told["OSCAR_USERNAME"], told["OSCAR_PASSWORD"]),
        timeout=60,
    )


def test_its_services_here_and_on_lambda_take_from_s3_and_are_kept(
    tmp_path: Path,
) -> None:
    kept = tmp_path / "kept"
    with up(tmp_path, "--keep", str(kept)) as running:
        s3 = running.client("s3")
        for name, where, to in (("one", "s3", "minio"), ("two", "minio", "s3")):
            service = {
                "name": name,
                "image": "busybox",
                "script": SHOUT if name == "one" else SHOUT.replace("a-z A-Z", "A-Z B-ZA"),
                "input": [{"storage_provider": where, "path": f"{where}-bucket/{name}"}],
                "output": [{"storage_provider": to, "path": f"{to}-bucket/two"}],
                # The second one on Lambda: what it writes to S3 it writes by its role.
                "placement": {"targets": ["local" if name == "one" else "lambda"]},
            }
            made = oscar(running, "POST", "/system/services", service)
            assert made.status_code == 201, made.text
        s3.put_object(Bucket="s3-bucket", Key="one/a.txt", Body=b"hal")

        def written() -> bool:
            found = s3.list_objects_v2(Bucket="s3-bucket", Prefix="two/a").get("Contents", [])
            return bool(found)

        eventually(written)
        assert s3.get_object(Bucket="s3-bucket", Key="two/a.txt")["Body"].read() == b"IBM"

        def recorded() -> bool:
            (job,) = oscar(running, "GET", "/system/logs/two").json()["jobs"].values()
            return bool(job["status"] == "Succeeded")

        eventually(recorded)
        token = oscar(running, "GET", "/system/services/one").json()["token"]
        password = running.variables["OSCAR_PASSWORD"]
    again = tmp_path / "again"
    again.mkdir()
    with up(again, "--keep", str(kept)) as running:
        assert running.variables["OSCAR_PASSWORD"] == password
        assert oscar(running, "GET", "/system/services/one").json()["token"] == token
        (job,) = oscar(running, "GET", "/system/logs/two").json()["jobs"].values()
        assert job["status"] == "Succeeded"


def test_nobody_else_is_served(tmp_path: Path) -> None:
    with up(tmp_path) as running:
        stranger = boto3.client(
            "sts",
            endpoint_url=running.variables["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        with pytest.raises(ClientError, match="security token"):
            stranger.get_caller_identity()
        other = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        for service, ask in (("s3", "list_buckets"), ("lambda", "list_functions")):
            where = running.variables["AWS_ENDPOINT_URL"]
            client = boto3.client(service, endpoint_url=where, region_name="us-east-1", **other)
            with pytest.raises(ClientError, match="security token"):
                getattr(client, ask)()


def start(folder: Path, *words: str, **more: str) -> subprocess.Popen[str]:
    """The command in the form for people, with its output in files of the folder."""
    (folder / "tmp").mkdir(exist_ok=True)
    return subprocess.Popen(
        ["env", "--default-signal", COMMAND, "up", "--engine", "process", *words],
        stdout=(folder / "out").open("w"),
        stderr=(folder / "err").open("w"),
        text=True,
        env=environment(TMPDIR=str(folder / "tmp"), **more),
    )


def ready(folder: Path) -> str:
    """What is on standard output once everything stands."""
    eventually(lambda: "Ctrl-C" in (folder / "err").read_text(), 180)
    return (folder / "out").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_its_output_can_be_sourced_and_a_signal_ends_it(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = start(tmp_path, AWS_PROFILE="somebody")
    said = ready(tmp_path)
    assert all(line.startswith(("export ", "unset ")) for line in said.splitlines())
    script = f'. {shlex.quote(str(tmp_path / "out"))}; echo "$AWS_ENDPOINT_URL,$AWS_PROFILE"'
    shell = subprocess.run(
        ["sh", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "AWS_PROFILE": "somebody"},
    )
    url = shell.stdout.strip().removesuffix(",")
    with urllib.request.urlopen(f"{url}/_ministack/health", timeout=10) as answer:
        assert answer.status == 200
    process.send_signal(number)
    assert process.wait(60) == 130
    assert "everything that was started is stopped" in (tmp_path / "err").read_text()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=10)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_killed_it_leaves_nothing_running(tmp_path: Path) -> None:
    process = start(tmp_path)
    url = ready(tmp_path).split("AWS_ENDPOINT_URL=")[1].split()[0]
    process.kill()
    process.wait(60)
    port = int(url.rpartition(":")[2])

    def gone() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    eventually(gone)
    eventually(lambda: list((tmp_path / "tmp").iterdir()) == [])


def three_free_ports() -> int:
    """The first of three, not among those that the kernel hands out."""
    for port in range(20_000 + os.getpid() % 10_000, 32_000, 3):
        with contextlib.suppress(PermanentError):
            for number in range(3):
                free_port(port=port + number)
            return port
    raise AssertionError("no three free ports")


def test_ports_can_be_chosen_and_objects_kept(tmp_path: Path) -> None:
    kept, port = tmp_path / "kept", three_free_ports()
    words = ("--port", str(port), "--keep", str(kept))
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    with up(first, *words) as running:
        assert running.variables["AWS_ENDPOINT_URL"] == f"http://127.0.0.1:{port}"
        assert running.variables["MINIO_ENDPOINT"] == f"http://127.0.0.1:{port + 1}"
        assert running.variables["OSCAR_ENDPOINT"] == f"http://127.0.0.1:{port + 2}"
        keys = running.variables["MINIO_ACCESS_KEY"]
        client = minio(running)
        client.create_bucket(Bucket="bucket")
        client.put_object(Bucket="bucket", Key="a", Body=b"kept")
    assert (kept / "aws.log").exists()
    second.mkdir()
    with up(second, *words) as running:
        assert running.variables["MINIO_ACCESS_KEY"] == keys
        assert minio(running).get_object(Bucket="bucket", Key="a")["Body"].read() == b"kept"


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = bridge("up", "--port", str(port), "--engine", "process")
    assert f"127.0.0.1:{port}" in done.failed(1)
    assert done.out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--engine", "vm"), "no engine is called 'vm'"),
        (("--port", "99999"), "99999"),
        (("--keep", "/proc/nowhere"), "--keep"),
    ],
)
def test_wrong_usage(words: tuple[str, ...], said: str) -> None:
    assert said in bridge("up", *words).failed(2)
