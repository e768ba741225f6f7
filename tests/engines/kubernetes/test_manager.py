"""The manager as it stands in a cluster: its own process, OSCAR's variables, jobs in pods."""

from __future__ import annotations

import base64
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from bridge.local._cloud import account_of
from bridge.local.aws import AwsEndpoint
from bridge.local.children import free_port, http_ready
from bridge.local.executors import gateway
from bridge.local.objectstore import ObjectStore, Webhook
from bridge.secret import Secret
from bridge.targets.kubernetes import Connection
from bridge.targets.kubernetes.resources import JOBS
from tests.command import ROOT, environment
from tests.waiting import eventually

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]

TOKEN = "the-store's-token"
SHOUT = 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"\n'
AUTH = ("oscar", "pass-word")


@contextmanager
def manager(
    folder: Path, port: int, store: ObjectStore, namespace: str, image: str, **more: str
) -> Iterator[subprocess.Popen[bytes]]:
    keys = store.credentials
    told = {
        "OSCAR_USERNAME": AUTH[0],
        "OSCAR_PASSWORD": AUTH[1],
        "OSCAR_SERVICE_PORT": str(port),
        "OSCAR_SERVICES_NAMESPACE": namespace,
        "MINIO_ENDPOINT": store.endpoint,
        "MINIO_ACCESS_KEY": keys.access_key,
        "MINIO_SECRET_KEY": keys.secret_key.reveal(),
        "MINIO_TLS_VERIFY": "false",
        "BRIDGE_STATE": str(folder / "state"),
        "BRIDGE_WEBHOOK_TOKEN": TOKEN,
        "BRIDGE_RUNTIME_IMAGE": image,
        **more,
    }
    with (folder / "manager.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "manager"], cwd=ROOT, env=environment(**told), stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ask(port: int, method: str, path: str, **more: Any) -> requests.Response:
    return requests.request(method, f"http://127.0.0.1:{port}{path}", auth=AUTH, timeout=90, **more)


def test_a_service_from_rest_runs_in_the_cluster(
    tmp_path: Path, cluster: Connection, namespace: str, runtime_image: str
) -> None:
    port, address = free_port(), gateway()
    webhook = Webhook(f"http://{address}:{port}/events", Secret(TOKEN))
    store = ObjectStore(tmp_path / "objects", webhook, address=address, port=free_port(address))
    with manager(tmp_path, port, store, namespace, runtime_image) as process:
        assert eventually(http_ready(f"http://127.0.0.1:{port}/health"))
        with store:
            assert eventually(http_ready(f"http://127.0.0.1:{port}/ready")), (
                tmp_path / "manager.log"
            ).read_text()
            _use(port, store, tmp_path)

            def left() -> int:
                labels = "oscar_service=shout"
                return len(cluster.find_all(JOBS, labels=labels, namespace=namespace))

            assert left() == 1
            assert ask(port, "DELETE", "/system/services/shout").status_code == 204
            assert eventually(lambda: not left())
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


def test_an_object_in_s3_is_a_job_of_the_cluster(
    tmp_path: Path, cluster: Connection, namespace: str, runtime_image: str
) -> None:
    """The manager only calls out: the AWS endpoint knows nothing of it but a queue."""
    port, address = free_port(), gateway()
    webhook = Webhook(f"http://{address}:{port}/events", Secret(TOKEN))
    with (
        ObjectStore(tmp_path / "objects", webhook, address=address) as store,
        AwsEndpoint(tmp_path / "aws", address=address) as aws,
    ):
        told = aws.environment()
        account = account_of(aws)
        s3, sqs = account.client("s3"), account.client("sqs")
        ready = http_ready(f"http://127.0.0.1:{port}/ready")
        with manager(tmp_path, port, store, namespace, runtime_image, **told):
            assert eventually(ready), (tmp_path / "manager.log").read_text()
            made = ask(port, "POST", "/system/services", json=_from_s3(aws))
            assert made.status_code == 201, made.text
            s3.put_object(Bucket="far-away", Key="in/a.txt", Body=b"hello")
            assert eventually(lambda: _found(store), 120), (tmp_path / "manager.log").read_text()
            assert ask(port, "DELETE", "/system/services/shout").status_code == 204
        store.download("near", "out/a.txt", tmp_path / "got")
        assert (tmp_path / "got").read_text() == "HELLO"
        [queue] = sqs.list_queues()["QueueUrls"]
        assert re.fullmatch(r"oscar-bridge-oscar-[0-9a-f]{8}-events", queue.rpartition("/")[2])


def _found(store: ObjectStore) -> bool:
    return [one.key for one in store.listing("near", "out/")] == ["out/a.txt"]


def _from_s3(aws: AwsEndpoint) -> dict[str, Any]:
    told = aws.environment()
    own = {
        "endpoint": aws.url,
        "region": told["AWS_REGION"],
        "access_key": told["AWS_ACCESS_KEY_ID"],
        "secret_key": told["AWS_SECRET_ACCESS_KEY"],
    }
    return {
        "name": "shout",
        "image": "oscar-bridge/busybox:local",
        "memory": "64Mi",
        "cpu": "0.1",
        "script": SHOUT,
        "input": [{"storage_provider": "s3", "path": "far-away/in"}],
        "output": [{"storage_provider": "minio", "path": "near/out"}],
        "storage_providers": {"s3": {"default": own}},
    }


def _use(port: int, store: ObjectStore, folder: Path) -> None:
    service = {
        "name": "shout",
        "image": "oscar-bridge/busybox:local",
        "memory": "64Mi",
        "cpu": "0.1",
        "script": SHOUT,
        "input": [{"storage_provider": "minio", "path": "shout/in"}],
        "output": [{"storage_provider": "minio", "path": "shout/out"}],
    }
    made = ask(port, "POST", "/system/services", json=service)
    assert made.status_code == 201, made.text
    (folder / "one").write_text("quiet")
    store.upload("shout", "in/one", folder / "one")

    def over() -> bool:
        found = ask(port, "GET", "/system/logs/shout").json()["jobs"].values()
        return [one["status"] for one in found] == ["Succeeded"]

    assert eventually(over, 120), ask(port, "GET", "/system/logs/shout").text
    store.download("shout", "out/one", folder / "got")
    assert (folder / "got").read_text() == "QUIET"
    (job,) = ask(port, "GET", "/system/logs/shout").json()["jobs"]
    assert "staged out" in ask(port, "GET", f"/system/logs/shout/{job}").text
    answer = ask(port, "POST", "/run/shout", data=base64.b64encode(b"loud"))
    assert (answer.status_code, base64.b64decode(answer.text)) == (200, b"LOUD")
