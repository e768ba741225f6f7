"""Two managers, in processes of their own, on one PostgreSQL."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from bridge.dispatch import SqlStore
from tests.dispatch.world import body
from tests.manager.conftest import basic, echo
from tests.manager.test_crash import kill_workers
from tests.servers import free_port
from tests.waiting import eventually

from .member import TOKEN, member
from .server import Server

EVENTS = 160


def ask(
    port: int, method: str, path: str, data: bytes = b"", headers: Mapping[str, str] | None = None
) -> int:
    """The status of the answer."""
    return answer(port, method, path, data, headers)[0]


def read(port: int, method: str, path: str) -> bytes:
    """What the administrator is answered."""
    status, found = answer(port, method, path)
    assert status == 200, found
    return found


def answer(
    port: int, method: str, path: str, data: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, data, basic() if headers is None else headers)
        found = connection.getresponse()
        return found.status, found.read()
    finally:
        connection.close()


def insist(ports: list[int], number: int) -> None:
    """As an object store does, through a balancer that knows who is there."""
    event = body(f"in/{number}", bucket="crash")
    while True:
        port = ports[number % len(ports)]
        try:
            status = ask(port, "POST", "/events", event, {"Authorization": f"Bearer {TOKEN}"})
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
            continue
        assert status in (200, 503)
        if status == 200:
            return


@pytest.mark.slow
def test_two_managers_do_everything_once_though_one_dies_and_the_database_goes_away(
    server: Server, tmp_path: Path
) -> None:
    schema = server.schema()
    ports = [free_port(), free_port()]
    service = echo(name="crash", script="sleep 0.01", file_stage_in=True)
    service["input"] = [{"storage_provider": "minio", "path": "crash/in"}]
    wanted = json.dumps(service).encode()
    sent = Counter[str]()
    lock = threading.Lock()

    def send(number: int) -> None:
        insist(ports, number)
        with lock:
            sent["all"] += 1

    def arrived(part: float) -> bool:
        return eventually(lambda: sent["all"] >= part * EVENTS)

    with ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        first, second = (
            stack.enter_context(member(tmp_path / str(port), port, server.url(schema)))
            for port in ports
        )
        assert ask(ports[0], "POST", "/system/services", wanted) == 201
        # What one manager has answered the other knows, also when an event is what comes first.
        insist(ports[1:], EVENTS)
        with SqlStore(server.database(schema)) as store:
            assert eventually(store.quiet)
        assert ask(ports[1], "GET", "/system/services/crash") == 200
        assert ask(ports[1], "POST", "/system/services", wanted) == 400
        # What another has deleted and made again is let go of before it is taken up.
        assert ask(ports[1], "DELETE", "/system/services/crash") == 204
        assert ask(ports[0], "GET", "/system/services/crash") == 404
        assert ask(ports[1], "POST", "/system/services", wanted) == 201
        # A token that one manager has rotated opens nothing at the other (404: no server to enter).
        found = json.loads(read(ports[0], "GET", "/system/services/crash"))["token"]
        new = json.loads(read(ports[1], "POST", "/api/v1/services/crash/token"))["token"]
        for token, status in ((found, 401), (new, 404)):
            bearer = {"Authorization": f"Bearer {token}"}
            assert ask(ports[0], "GET", "/system/services/crash/auth", headers=bearer) == status

        waiting = [pool.submit(send, number) for number in range(EVENTS)]
        assert arrived(0.3)
        first.kill()
        ports.pop(0)
        assert arrived(0.6)
        assert eventually(lambda: kill_workers(second.pid))
        assert server.cut() >= 2
        for one in waiting:
            one.result()
        with SqlStore(server.database(schema)) as store:
            assert eventually(store.quiet)
            # The same events once more are no new jobs.
            for number in range(0, EVENTS, 10):
                insist(ports, number)
            jobs = store.jobs(limit=10_000)
        assert Counter(job.state.value for job in jobs) == {"succeeded": EVENTS + 1}
        assert len({job.event.key for job in jobs}) == EVENTS + 1
        assert second.poll() is None
