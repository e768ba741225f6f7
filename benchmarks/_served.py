"""A manager over a target that runs nothing, as a program: what `manager.py` puts load on.

    python benchmarks/_served.py FOLDER empty|each|accept|full|null [SERVICES]

It prints its port, answers until it is told to stop, and with `null` prints the seconds in which
its target got all jobs that had been accepted before SIGUSR1.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from fastapi import FastAPI, Request
from starlette.responses import Response

import bridge.dispatch._writer
import manager.intake
from bridge.dispatch import SqliteStore
from bridge.dispatch.testing import FakeTarget, Outcome
from bridge.secret import Secret
from manager.app import create_app
from manager.auth import ADMIN
from manager.core import Manager, Parts
from manager.service import read_source
from manager.serving import serve
from manager.settings import Settings
from manager.store import ServiceStore

TOKEN = "a-token"
USER, PASSWORD = "oscar", "oscar"
SERVICE = {
    "name": "bench",
    "image": "busybox",
    "script": "true",
    "memory": "64Mi",
    "cpu": "0.1",
    "input": [{"storage_provider": "minio", "path": "bench/in"}],
    "output": [{"storage_provider": "minio", "path": "bench/out"}],
}


class Nowhere:
    """Buckets that are always there and hold nothing."""

    def provider(self) -> tuple[Mapping[str, str | bool], Mapping[str, Secret]]:
        """See manager.buckets.Buckets, as for all of these."""
        keys = {"access_key": Secret("key"), "secret_key": Secret("secret")}
        return {"endpoint": "http://nowhere", "region": "us-east-1", "verify": True}, keys

    def buckets(self) -> list[str]:
        return []

    def has_bucket(self, bucket: str) -> bool:
        return False

    def ensure_bucket(self, bucket: str) -> None:
        pass

    def remove_bucket(self, bucket: str) -> None:
        pass

    def ensure_folder(self, bucket: str, folder: str) -> None:
        pass

    def ensure_rules(self, rules: Iterable[Any]) -> None:
        list(rules)

    def remove_rules(self, bucket: str) -> None:
        pass

    def listing(self, bucket: str, prefix: str = "", *, start_after: str = "") -> Iterator[Any]:
        return iter(())

    def presign(self, bucket: str, key: str, operation: str, seconds: int) -> str:
        return ""


def empty() -> FastAPI:
    """The same server stack, and one endpoint that reads the body and does nothing."""
    app = FastAPI()

    @app.post("/events")
    async def take(request: Request) -> Response:
        await request.body()
        return Response()

    return app


def fill(folder: Path, count: int) -> None:
    """Put copies of the one service beside it, as their creation would have."""
    with ServiceStore(folder / "manager.sqlite") as state:
        (first,) = state.services()
        for number in range(count - 1):
            name = f"bench-{number}"
            service = {
                **first.source["service"],
                "name": name,
                "input": [{"storage_provider": "minio", "path": f"{name}/in"}],
                "output": [{"storage_provider": "minio", "path": f"{name}/out"}],
            }
            source = {**first.source, "service": service}
            token = Secret(f"{number:064x}")
            state.put_service(replace(first, name=name, source=source, token=token))


def made(folder: Path, target: FakeTarget) -> Manager:
    """A manager with its state in the folder."""
    parts = Parts(
        state=ServiceStore(folder / "manager.sqlite"),
        jobs=SqliteStore(folder / "jobs.sqlite"),
        buckets=Nowhere(),
        targets={"null": target},
    )
    settings = Settings(USER, Secret(PASSWORD), webhook_token=Secret(TOKEN))
    return Manager(settings, parts)


def drain(manager: Manager, target: FakeTarget) -> None:
    """Start the manager on what it has accepted, and print how long placing and submitting took."""
    waiting = manager.dispatcher.open_jobs
    begun = time.perf_counter()
    manager.start()
    while len(target.submits) < waiting:
        time.sleep(0.005)
    submitted = time.perf_counter() - begun
    manager.dispatcher.wait_quiet(600)
    over = time.perf_counter() - begun
    print(json.dumps({"jobs": waiting, "submitted": submitted, "over": over}), flush=True)


def main() -> None:
    """See the module."""
    folder, mode = Path(sys.argv[1]), sys.argv[2]
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    app = empty()
    start = lambda: None  # noqa: E731
    if mode != "empty":
        full = mode in ("full", "accept", "each")
        target = FakeTarget(
            "null",
            slots=4 if full else None,
            script=lambda job: Outcome(polls=1, hold=full),
            push=True,
        )
        manager_ = made(folder, target)
        manager_.create(ADMIN, read_source(SERVICE))
        if len(sys.argv) > 3:
            fill(folder, int(sys.argv[3]))
            manager_ = made(folder, target)
        if mode == "each":
            # Neither the door nor the store puts two events into one commit.
            manager.intake._BATCH = bridge.dispatch._writer._BATCH = 1  # type: ignore[misc]
        if mode == "full":
            start = manager_.start
        app = create_app(manager_)
        if mode == "null":
            draining = threading.Event()
            signal.signal(signal.SIGUSR1, lambda *_: draining.set())

            def start() -> None:
                draining.wait()
                drain(manager_, target)

    print(listener.getsockname()[1], flush=True)
    serve(app, listener, start, threading.Event())


if __name__ == "__main__":
    main()
