"""What the manager has acknowledged happens, once, however often it is killed meanwhile.

BRIDGE_CRASH_EVENTS says with how many events it is tried; 5,000 take some minutes.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
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
from bridge.secret import Secret
from bridge.storage import open_store
from tests.command import ROOT, environment
from tests.waiting import eventually

from .conftest import Live, basic, echo
from .victim import TOKEN

EVENTS = int(os.environ.get("BRIDGE_CRASH_EVENTS", "300"))
KILLS = 3 if EVENTS < 1000 else 10
PATIENCE = 60 + EVENTS / 4
SCRIPT = """
case $STORAGE_OBJECT_KEY in *7) exit 7 ;; esac
printf 'out of %s' "$STORAGE_OBJECT_KEY" > "$TMP_OUTPUT_DIR/${STORAGE_OBJECT_KEY##*/}"
"""


@contextmanager
def running(folder: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], Live]]:
    """A manager, and the way to it as `python -m manager` serves it; it listens on `port` too."""
    folder.mkdir(exist_ok=True)
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
        word, second = process.stdout.readline().split()
        assert word == "ready"
        yield process, at(int(second))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def at(port: int) -> Live:
    """What asks a manager in another process."""
    return Live(port, None, None, TOKEN)  # type: ignore[arg-type]


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
@pytest.mark.timeout(2 * PATIENCE)
def test_every_event_is_one_job_that_ends(tmp_path: Path) -> None:
    port = free_port()
    chance = random.Random(7)
    service = echo(name="crash", script=SCRIPT, file_stage_in=True)
    service["input"] = [{"storage_provider": "minio", "path": "crash/in"}]
    service["output"] = [{"storage_provider": "minio", "path": "crash/out"}]
    sent = Counter[str]()
    lock = threading.Lock()

    def send(number: int) -> None:
        insist(port, number)
        with lock:
            sent["all"] += 1

    with ThreadPoolExecutor(8) as pool:
        for kill in range(KILLS):
            with running(tmp_path, port) as (process, _):
                if kill == 0:
                    body = json.dumps(service).encode()
                    assert post(port, "/system/services", body, basic()) == 201
                    for number in range(EVENTS):
                        pool.submit(send, number)
                enough = (kill + chance.random()) * EVENTS / KILLS
                for limit in (enough / 2, enough):
                    assert eventually(lambda limit=limit: sent["all"] >= limit, PATIENCE)  # type: ignore[misc]
                    assert eventually(lambda: kill_workers(process.pid), PATIENCE)
                process.send_signal(signal.SIGKILL)
                process.wait()
        with running(tmp_path, port), SqliteStore(tmp_path / "jobs.sqlite") as store:
            assert eventually(lambda: sent["all"] == EVENTS, PATIENCE)
            assert eventually(store.quiet, PATIENCE)
            # The same events once more are no new jobs.
            for number in range(0, EVENTS, 10):
                insist(port, number)
            jobs = store.jobs(limit=2 * EVENTS)
            written = outputs(port, tmp_path)
    ended = Counter((job.service, job.state.value) for job in jobs)
    bad = [number for number in range(EVENTS) if number % 10 == 7]
    assert ended == {("crash", "failed"): len(bad), ("crash", "succeeded"): EVENTS - len(bad)}
    assert len({job.event.key for job in jobs}) == EVENTS
    assert all((job.exit_code == 7) == job.event.key.endswith("7") for job in jobs)
    good = sorted(set(range(EVENTS)) - set(bad))
    assert written == {f"out/{n}": f"out of in/{n}" for n in good}


def kill_workers(manager: int) -> int:
    """Kill what runs jobs for a manager, and the scripts that it runs now; how many it were."""
    found = list(processes())
    workers = [pid for pid, parent, line in found if parent == manager and "--serve" in line]
    for pid in (*workers, *(pid for pid, parent, _ in found if parent in workers)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(workers)


def processes() -> Iterator[tuple[int, int, str]]:
    """Id, parent and command line of every process."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (folder / "stat").read_text().rpartition(")")[2].split()
            yield int(folder.name), int(status[1]), (folder / "cmdline").read_text()


def outputs(port: int, folder: Path) -> dict[str, str]:
    """What lies in the output folder, by key."""
    found = at(port).ask("GET", "/system/config").json["minio_provider"]
    keys = {name: Secret(found.pop(name)) for name in ("access_key", "secret_key")}
    store = open_store("minio.default", found, keys)

    def read(key: str) -> str:
        target = folder / key.replace("/", "-")
        store.get("crash", key, target)
        return target.read_text()

    with ThreadPoolExecutor(8) as pool:
        names = [one.key for one in store.list("crash", "out/")]
        return dict(zip(names, pool.map(read, names), strict=True))


def test_a_manager_that_is_told_to_stop_finishes_its_answers(tmp_path: Path) -> None:
    begun, go_on = tmp_path / "begun", tmp_path / "go-on"
    port = free_port()
    script = f"touch {begun}\nwhile [ ! -e {go_on} ]; do sleep 0.05; done\necho finished\n"
    with running(tmp_path / "state", port) as (process, live), ThreadPoolExecutor(1) as pool:
        assert live.ask("POST", "/system/services", echo(script=script)).status == 201
        answer = pool.submit(live.ask, "POST", "/run/echo", b"x")
        try:
            assert eventually(begun.exists)
            process.send_signal(signal.SIGTERM)
            assert eventually(lambda: refused(live.port))
            assert process.poll() is None
        finally:
            go_on.touch()
        assert (answer.result().status, answer.result().text) == (200, "finished\n")
        assert process.wait(60) == 0


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionError:
        return True
    return False
