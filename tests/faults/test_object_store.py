"""An object store that is slow, refusing, cutting or busy, between a Batch job and the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from bridge.events import s3_record
from bridge.local.aws import AwsEndpoint
from tests.faults.proxy import Proxy, proxy

DATA = b"some data\n" * 1000
SCRIPT = 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/copy"; echo the script ran\n'


# The proxy sends bodies in chunks, without their length, which S3 always tells.
LENGTH = {"Content-Length": str(len(DATA))}
SOUND = {
    "service": "s3",
    "operation": "GetObject",
    "resource": "inputs",
    "response": {"set_headers": LENGTH},
}


# What the client asks for again after a cut at 5000 bytes.
RESUMED = SOUND | {
    "headers": {"range": "bytes=5000-"},
    "response": {"set_headers": {"Content-Length": str(len(DATA) - 5000)}},
}


class World:
    """The endpoint, the proxy in front of its S3, and one job at a time through the proxy."""

    def __init__(self, folder: Path, endpoint: AwsEndpoint, faults: Proxy) -> None:
        self.faults = faults
        self._folder = folder
        self._count = 0
        keys = endpoint.environment()
        self.s3: Any = boto3.client(
            "s3",
            endpoint_url=endpoint.url,
            region_name="us-east-1",
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        )
        for bucket in ("data", "inputs"):
            self.s3.create_bucket(Bucket=bucket)
        self._environment = {
            "PATH": os.environ["PATH"],
            "AWS_ENDPOINT_URL": faults.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": keys["AWS_ACCESS_KEY_ID"],
            "AWS_SECRET_ACCESS_KEY": keys["AWS_SECRET_ACCESS_KEY"],
        }

    def run(self, *rules: dict[str, Any]) -> tuple[subprocess.CompletedProcess[str], str]:
        """Run a job whose input and output go through the proxy with these rules; its name."""
        self._count += 1
        name = f"job-{self._count}"
        folder = self._folder / name
        folder.mkdir()
        key = f"in/{name}.txt"
        etag = self.s3.put_object(Bucket="inputs", Key=key, Body=DATA)["ETag"].strip('"')
        output = {"storage_provider": "s3.default", "path": f"data/out/{name}"}
        (folder / "service.json").write_text(json.dumps({"name": "svc", "output": [output]}))
        (folder / "script.sh").write_text(SCRIPT)
        event = {
            "event": s3_record("inputs", key, size=len(DATA), etag=etag, sequencer="1"),
            "storage_provider": "s3.default",
            "job_id": name,
            "attempt": 1,
        }
        self.faults.rules(*rules, always=(RESUMED, SOUND))
        variables = {
            "BRIDGE_SERVICE_FILE": str(folder / "service.json"),
            "BRIDGE_SCRIPT_FILE": str(folder / "script.sh"),
            "BRIDGE_REPORT": "s3://data/reports/",
            "TMPDIR": str(folder),
            "EVENT": json.dumps(event),
        }
        done = subprocess.run(
            [sys.executable, "-m", "batch"],
            env=self._environment | variables,
            check=False,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert sorted(p.name for p in folder.iterdir()) == ["script.sh", "service.json"]
        return done, name

    def output(self, name: str) -> bytes | None:
        """The job's output as it is stored."""
        found = self.s3.list_objects_v2(Bucket="data", Prefix=f"out/{name}/").get("Contents", [])
        if not found:
            return None
        assert [one["Key"] for one in found] == [f"out/{name}/copy"]
        return bytes(self.s3.get_object(Bucket="data", Key=found[0]["Key"])["Body"].read())

    def report(self, name: str) -> dict[str, Any]:
        """The job's report."""
        body = self.s3.get_object(Bucket="data", Key=f"reports/{name}.json")["Body"].read()
        found: dict[str, Any] = json.loads(body)
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("store")
    with (
        AwsEndpoint(folder / "aws", engine="process") as endpoint,
        proxy(endpoint.url) as faults,
    ):
        yield World(folder, endpoint, faults)


def rule(operation: str, **more: Any) -> dict[str, Any]:
    return {"service": "s3", "operation": operation, **more}


def get(**more: Any) -> dict[str, Any]:
    return rule("GetObject", times=1, resource="inputs", **more)


HALF = {"Content-Length": "5000"}
PASSING = {
    "busy": get(error={"code": "SlowDown", "status": 503}),
    "broken": get(error={"code": "InternalError", "status": 500}),
    "cut": get(reset=True),
    "cut in the middle": get(response={"abort_bytes": 5000, "set_headers": LENGTH}),
    "truncated": get(response={"truncate_bytes": 5000, "set_headers": HALF}),
    "wrong bytes": get(response={"corrupt_bytes": 16, "set_headers": LENGTH}),
    "slow": get(latency=700, response={"set_headers": LENGTH}),
    "busy for writes": rule("PutObject", times=2, error={"code": "SlowDown", "status": 503}),
    "cut while writing": rule("PutObject", times=1, reset=True),
    "slow for writes": rule("PutObject", times=2, latency=700),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_by_itself_does_no_harm(world: World, name: str) -> None:
    done, job = world.run(PASSING[name])
    assert world.faults.fired(), "the fault did not happen, so this shows nothing"
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("the script ran") == 1
    assert world.output(job) == DATA
    assert world.report(job)["state"] == "succeeded"


def test_a_store_that_refuses_is_named_and_is_final(world: World) -> None:
    done, job = world.run(
        rule("GetObject", resource="inputs", error={"code": "AccessDenied", "status": 403})
    )
    assert done.returncode == 125
    assert "access denied" in done.stdout
    assert "the script ran" not in done.stdout
    report = world.report(job)
    assert (report["state"], report["temporary"]) == ("failed", False)
    assert "denied" in report["reason"]
    assert world.output(job) is None


def test_a_store_that_stays_busy_may_be_tried_again(world: World) -> None:
    """Only the outputs are refused, so that the report can say so."""
    size = {"content-length": str(len(DATA))}
    done, job = world.run(
        rule("PutObject", headers=size, error={"code": "SlowDown", "status": 503})
    )
    assert len(world.faults.fired()) > 1
    assert done.returncode == 126, done.stdout
    assert "the script ran" in done.stdout
    report = world.report(job)
    assert (report["state"], report["temporary"]) == ("failed", True)
    assert "out/" in report["reason"]
    assert world.output(job) is None


def test_a_report_that_cannot_be_written_fails_the_job(world: World) -> None:
    small = {"code": "SlowDown", "status": 503}
    done, job = world.run(rule("PutObject", error=small))
    assert done.returncode == 126
    assert "SlowDown" in done.stdout
    assert world.output(job) is None
