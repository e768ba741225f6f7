"""The endpoint starts, is private, and leaves nothing, however it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from bridge.errors import PermanentError
from bridge.local.aws import AwsEndpoint
from tests.local.aws.endpoint import FAST, Aws, alive, running
from tests.waiting import eventually


def descendants(root: int) -> set[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    found: set[int] = set()
    while more := {pid for pid, parent in parents.items() if parent in found | {root}} - found:
        found |= more
    return found


def start_work(aws: Aws) -> tuple[int, int]:
    """A warm function and a running job: their process ids."""
    aws.function("warm")
    function, _ = aws.invoke("warm", {})
    batch = aws.client("batch")
    batch.create_compute_environment(
        computeEnvironmentName="ce", type="MANAGED", computeResources={"maxvCpus": 4}
    )
    batch.create_job_queue(
        jobQueueName="q",
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "ce"}],
    )
    note = aws.folder / "job"
    script = f"trap '' TERM; echo $$ > {note}; while :; do sleep 0.1; done"
    batch.register_job_definition(
        jobDefinitionName="d",
        type="container",
        containerProperties={"image": "x", "command": ["sh", "-c", script], "memory": 128},
    )
    batch.submit_job(jobName="j", jobQueue="q", jobDefinition="d")
    eventually(lambda: note.exists() and note.read_text())
    return function["pid"], int(note.read_text())


def test_stop_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    before = descendants(os.getpid())
    temporary = set(Path("/tmp").iterdir())
    with running(tmp_path) as aws:
        aws.client("s3").create_bucket(Bucket="bucket")
        aws.client("s3").put_object(Bucket="bucket", Key="k", Body=b"x" * 1_000_000)
        pids = start_work(aws)
        assert all(alive(pid) for pid in pids)
        started = descendants(os.getpid()) - before
        assert len(started) >= 3
    assert not any(alive(pid) for pid in {*pids, *started})
    assert not (tmp_path / "aws").exists()
    new = {p.name for p in set(Path("/tmp").iterdir()) - temporary}
    assert not [name for name in new if "ministack" in name or "bridge-tasks" in name]


def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    with running(tmp_path) as aws:
        aws.function("warm")
        reply, _ = aws.invoke("warm", {})
        assert aws.endpoint.url.startswith("http://127.0.0.1:")
        assert reply["env"]["AWS_LAMBDA_RUNTIME_API"].startswith("127.0.0.1:")
        port = int(aws.endpoint.url.rpartition(":")[2])
        with socket.socket() as other:
            other.settimeout(5)
            assert other.connect_ex(("127.0.0.2", port)) != 0


LAUNCHER = """
import json, sys, time
from pathlib import Path
from bridge.local.aws import AwsEndpoint, Settings
endpoint = AwsEndpoint(Path(sys.argv[1]), settings=Settings(**json.loads(sys.argv[2])))
endpoint.start()
print(json.dumps([endpoint.url, endpoint.environment()]), flush=True)
time.sleep(600)
"""


class Remote(Aws):
    """An endpoint of another process."""

    def __init__(self, folder: Path, url: str, environment: dict[str, str]) -> None:
        endpoint = AwsEndpoint(folder / "unused")
        endpoint._url = url
        endpoint.environment = lambda: environment  # type: ignore[method-assign]
        super().__init__(endpoint, folder)


@pytest.mark.parametrize("victim", ["launcher", "endpoint", "both"])
def test_a_kill_leaves_no_process_and_no_file(tmp_path: Path, victim: str) -> None:
    settings = json.dumps({"job_timeout": 1, "grace": 0.5})
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(tmp_path / "aws"), settings],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert launcher.stdout is not None
    try:
        url, environment = json.loads(launcher.stdout.readline())
        aws = Remote(tmp_path, url, environment)
        pids = start_work(aws)
        everything = descendants(launcher.pid) | {launcher.pid, *pids}
        for pid in everything:
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
            except FileNotFoundError:
                # Ended by the death of the one before it.
                continue
            endpoint = "bridge.local.aws\0" in command
            if (victim != "launcher" and endpoint) or (
                victim != "endpoint" and pid == launcher.pid
            ):
                os.kill(pid, signal.SIGKILL)
        everything -= {launcher.pid} if victim == "endpoint" else set()
        eventually(lambda: not any(alive(pid) for pid in everything))
        eventually(lambda: not (tmp_path / "aws").exists())
    finally:
        launcher.kill()
        launcher.wait()
        launcher.stdout.close()


def test_a_start_that_fails_shows_the_log(tmp_path: Path) -> None:
    endpoint = AwsEndpoint(tmp_path / "aws", address="192.0.2.1")
    with pytest.raises(PermanentError, match="Cannot assign requested address"):
        endpoint.start()
    assert not (tmp_path / "aws").exists()


def test_who_has_not_the_keys_is_refused(aws: Aws, tmp_path: Path) -> None:
    stranger = boto3.client(
        "lambda",
        endpoint_url=aws.endpoint.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    with pytest.raises(ClientError) as caught:
        stranger.list_functions()
    assert caught.value.response["Error"]["Code"] == "UnrecognizedClientException"
    for path in ("/", "/bucket/key", "/_ministack/reset", "/_ministack/config"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(aws.endpoint.url + path, b"{}"))
        assert refused.value.code == 403


def test_presigned_urls_and_assumed_roles_are_let_in(aws: Aws) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="presigned")
    s3.put_object(Bucket="presigned", Key="k", Body=b"here")
    url = s3.generate_presigned_url("get_object", {"Bucket": "presigned", "Key": "k"})
    assert urllib.request.urlopen(url).read() == b"here"
    keys = aws.client("sts").assume_role(
        RoleArn="arn:aws:iam::000000000000:role/x", RoleSessionName="me"
    )["Credentials"]
    assumed = boto3.client(
        "s3",
        endpoint_url=aws.endpoint.url,
        region_name="us-east-1",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    assert assumed.get_object(Bucket="presigned", Key="k")["Body"].read() == b"here"


def test_secrets_are_not_in_the_command_line_or_the_log(tmp_path: Path) -> None:
    with running(tmp_path, settings=FAST) as aws:
        secret = aws.endpoint.environment()["AWS_SECRET_ACCESS_KEY"]
        for pid in descendants(os.getpid()):
            assert secret.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert secret not in repr(aws.endpoint.__dict__)
        assert secret not in aws.endpoint.log.read_text()
