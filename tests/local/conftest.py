"""Servers that the tests of bridge.local share."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest

from bridge.local.ingest import Ingest
from bridge.local.objectstore import ObjectStore, Webhook
from tests.waiting import eventually


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
