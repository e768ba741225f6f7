"""The app as Chalice serves it on this machine, and as Lambda's managed Python would find it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

import lambda_runtime
from tests.lambda_runtime.dispatcher.conftest import CREDENTIALS
from tests.lambda_runtime.dispatcher.world import Lab, created, queued
from tests.servers import free_port

PROJECT = Path(lambda_runtime.__file__).parent
# What Lambda's Python brings besides the standard library.
MANAGED = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3")


def environment(lab: Lab, server: str) -> dict[str, str]:
    one = lab.environment
    return {
        "PATH": os.environ["PATH"],
        "BRIDGE_PREFIX": one.prefix,
        "BRIDGE_TABLE": one.table,
        "BRIDGE_BUCKET": one.bucket,
        "BRIDGE_STATES_QUEUE": one.states,
        "BRIDGE_DEAD_QUEUE": one.dead,
        "BRIDGE_TOKENS": one.tokens,
        "AWS_REGION": one.region,
        "AWS_DEFAULT_REGION": one.region,
        "AWS_ACCESS_KEY_ID": CREDENTIALS["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": CREDENTIALS["aws_secret_access_key"],
        "AWS_ENDPOINT_URL": server,
    }


def ask(url: str, headers: Mapping[str, str], body: bytes | None = None) -> tuple[int, str]:
    try:
        with urlopen(Request(url, body, dict(headers))) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_chalice_local_serves_the_http_face(lab: Lab, server: str, tmp_path: Path) -> None:
    lab.account.client("secretsmanager").create_secret(
        Name="lab/tokens", SecretString='{"*": "token"}'
    )
    port = free_port()
    command = [str(Path(sys.executable).parent / "chalice"), "--project-dir", str(PROJECT), "local"]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [*command, "--port", str(port), "--no-autoreload"],
            env=environment(lab, server),
            stdout=log,
            stderr=log,
        ) as served,
    ):
        try:
            url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
            while True:
                try:
                    status, _ = ask(f"{url}/jobs/none", {})
                    break
                except (URLError, ConnectionError):
                    assert served.poll() is None, (tmp_path / "log").read_text()
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            assert status == 401
            headers = {"Authorization": "Bearer token"}
            assert ask(f"{url}/jobs/none", headers)[0] == 404
            lab.deploy("grey")
            time.sleep(1.1)
            status, text = ask(f"{url}/job/grey", headers, b"\x00\xff")
            assert status == 201, text
            assert lab.job().id == json.loads(text)["job"] and lab.job().event.body == b"\x00\xff"
        finally:
            served.terminate()


def test_lambdas_own_python_runs_the_packaged_handlers(
    lab: Lab, server: str, tmp_path: Path
) -> None:
    code = pytest.importorskip("cdk.code")
    package, managed = tmp_path / "package", tmp_path / "managed"
    package.mkdir()
    managed.mkdir()
    code.assemble(package)
    for name in MANAGED:
        found = importlib.util.find_spec(name)
        assert found is not None and found.origin is not None
        home = Path(found.origin)
        source = home.parent if home.name == "__init__.py" else home
        (managed / source.name).symlink_to(source)
    lab.deploy("grey")
    event = queued(created("grey/in/x"), "{bad")
    program = """
import json, sys
sys.path[:0] = sys.argv[1:3]
from lambda_runtime import app
heavy = {"boto3", "yaml", "obstore", "lambda_runtime.dispatcher"} & set(sys.modules)
answer = app.events(json.loads(sys.argv[3]), None)
class Context:
    def get_remaining_time_in_millis(self): return 30000
print(json.dumps([answer, app.reconcile({}, Context()), sorted(heavy)]))
"""
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", program, str(package), str(managed), json.dumps(event)],
        env=environment(lab, server),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{"batchItemFailures": []}, {}, []]
    # There is no function of that name in this account: the job ends, with a letter.
    assert lab.job().service == "grey" and lab.job().target == "aws-lambda"
    assert sorted(letter["source"] for letter in lab.letters()) == ["dispatcher", "events"]
