"""Servers that the tests of bridge.local share."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest

from bridge.local.ingest import Ingest
from bridge.local.objectstore import ObjectStore, Webhook


class Events:
    """Keeps what the webhook accepts."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def accept(self, body: bytes, headers: Mapping[str, str]) -> None:
        with self._lock:
            self.bodies.append(json.loads(body))

    @property
    def keys(self) -> list[str]:
        records = [record for body in self.bodies for record in body["Records"]]
        return [unquote_plus(record["s3"]["object"]["key"]) for record in records]

    def wait(self, count: int, seconds: float = 60.0) -> list[str]:
        """The keys, once there are as many; fails when there never are."""
        assert eventually(lambda: len(self.bodies) >= count, seconds), self.keys
        return self.keys


def eventually(check: Callable[[], bool], seconds: float = 60.0) -> bool:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if check():
            return True
        time.sleep(0.02)
    return check()


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def webhook(events: Events) -> Iterator[Webhook]:
    with Ingest(events.accept) as ingest:
        yield Webhook(ingest.url, ingest.token)


@pytest.fixture
def store(tmp_path: Path, webhook: Webhook) -> Iterator[ObjectStore]:
    with ObjectStore(tmp_path / "store", webhook) as running:
        yield running
