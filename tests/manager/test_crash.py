"""What the manager has acknowledged happens, once, however often it is killed meanwhile."""

from __future__ import annotations

import http.client
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.dispatch import SqliteStore
from bridge.local.children import free_port
from tests.command import ROOT, environment
from tests.local.conftest import eventually

from .conftest import basic, echo
from .victim import TOKEN

EVENTS = 240
KILLS = 3


@contextmanager
def running(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.manager.victim", str(folder), str(port)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def event(number: int) -> bytes:
    thing = {"key": f"in/{number}", "size": 1, "eTag": f"e{number}", "sequencer": f"{number:08x}"}
    record = {
        "eventSource": "minio:s3",
        "eventName": "s3:ObjectCreated:Put",
        "s3": {"bucket": {"name": "crash"}, "object": thing},
    }
    return json.dumps({"Records": [record]}).encode()


def post(port: int, path: str, body: bytes, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def insist(port: int, number: int) -> None:
    """As an object store does: until it is acknowledged."""
    while True:
        try:
            status = post(port, "/events", event(number), {"Authorization": f"Bearer {TOKEN}"})
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
            continue
        assert status in (200, 503)
        if status == 200:
            return


@pytest.mark.slow
def test_every_event_is_one_job_that_ends(tmp_path: Path) -> None:
    port = free_port()
    chance = random.Random(7)
    service = echo(name="crash", script="sleep 0.01", file_stage_in=True)
    service["input"] = [{"storage_provider": "minio", "path": "crash/in"}]
    sent = Counter[str]()
    lock = threading.Lock()

    def send(number: int) -> None:
        insist(port, number)
        with lock:
            sent["all"] += 1

    with ThreadPoolExecutor(8) as pool:
        for kill in range(KILLS):
            with running(tmp_path, port) as process:
                if kill == 0:
                    body = json.dumps(service).encode()
                    assert post(port, "/system/services", body, basic()) == 201
                    for number in range(EVENTS):
                        pool.submit(send, number)
                enough = (kill + chance.random()) * EVENTS / KILLS
                assert eventually(lambda limit=enough: sent["all"] >= limit)  # type: ignore[misc]
                process.send_signal(signal.SIGKILL)
                process.wait()
        with running(tmp_path, port), SqliteStore(tmp_path / "jobs.sqlite") as store:
            assert eventually(lambda: sent["all"] == EVENTS)
            assert eventually(store.quiet)
            # The same events once more are no new jobs.
            for number in range(0, EVENTS, 10):
                insist(port, number)
            ended = Counter((job.service, job.state.value) for job in store.jobs(limit=10_000))
            keys = {job.event.key for job in store.jobs(limit=10_000)}
    assert ended == {("crash", "succeeded"): EVENTS}
    assert len(keys) == EVENTS
