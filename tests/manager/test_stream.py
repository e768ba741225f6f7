"""Changes of jobs as they happen, and who may follow them."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from bridge.dispatch import JobEvent
from bridge.targets import JobState
from manager.app import create_app
from manager.feed import Feed, Place
from manager.serving import StoppingServer

from .conftest import Live, basic, serve

PATH = "/api/v1/events"


@contextmanager
def stream(live: Live, query: str = "", **headers: str) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=30)
    try:
        connection.request("GET", PATH + query, headers=basic() | headers)
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.getheader("content-type") == "text/event-stream; charset=utf-8"
        yield answer
    finally:
        connection.close()


def block(answer: http.client.HTTPResponse) -> dict[str, str]:
    """The next event, its fields."""
    found: dict[str, str] = {}
    while line := answer.readline().decode().rstrip("\n"):
        key, _, value = line.partition(": ")
        found[key] = value
    return found


def read_until(answer: http.client.HTTPResponse, state: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while not found or found[-1].get("state") != state:
        fields = block(answer)
        if "data" in fields:
            found.append({**json.loads(fields["data"]), "id": fields.get("id"), **_kind(fields)})
    return found


def _kind(fields: dict[str, str]) -> dict[str, str]:
    return {"event": fields["event"]}


def test_changes_come_in_order_and_go_on_where_they_broke_off(live: Live) -> None:
    name, other = live.create(), live.create()
    with stream(live, f"?service={name}") as answer:
        begun = block(answer)
        live.ask("POST", f"/job/{other}", b"x")
        live.ask("POST", f"/job/{name}", b"x")
        found = read_until(answer, "succeeded")
    states = [one["state"] for one in found]
    assert states == ["accepted", "placed", "submitted", "running", "succeeded"]
    assert {one["service"] for one in found} == {name}
    with stream(live, f"?service={name}", **{"Last-Event-ID": begun["id"]}) as answer:
        assert [one["state"] for one in read_until(answer, "succeeded")] == states
    # Of another process: what the records say.
    long_ago = "1000000-ffffffff-7"
    with stream(live, f"?service={name}", **{"Last-Event-ID": long_ago}) as answer:
        gap, last = read_until(answer, "succeeded")
    assert (gap["event"], last["event"], last["job"]) == ("gap", "job", found[0]["job"])


def test_who_may_not_follow_is_told_so(live: Live) -> None:
    for wrong in ({}, basic(password="wrong"), {"Authorization": "Bearer " + "0" * 64}):
        assert live.ask("GET", PATH, headers=wrong).status == 401


def test_so_many_may_follow(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manager.routes.stream._MOST", 0)
    answer = live.ask("GET", PATH)
    assert (answer.status, answer.headers["retry-after"]) == (503, "15")


def test_it_ends_when_the_manager_does(tmp_path: Path) -> None:
    """As in a cluster, where the server is told first, and the manager when it has ended."""
    with ExitStack() as stack:
        live = serve(tmp_path, stack)
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        config = uvicorn.Config(
            create_app(live.manager),
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=600,
        )
        server = StoppingServer(config, live.manager.stopping)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        with stream(replace(live, port=listener.getsockname()[1])) as answer:
            block(answer)
            server.should_exit = True
            assert answer.read().decode().strip() == ""
        thread.join()


class Store:
    """What a feed needs of a store."""

    def watch(self, callback: Any) -> Any:
        self.tell = callback


def test_a_slow_reader_loses_the_oldest_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manager.feed._KEPT", 3)
    store: Any = Store()
    feed = Feed(store, time.time)
    begun = feed.place
    store.tell([JobEvent(f"j{n}", "s", JobState.ACCEPTED, None, float(n)) for n in range(5)])
    found, after, lost = feed.after(begun, 2)
    assert ([one.job for one in found], lost) == (["j2", "j3"], True)
    assert Place.read(str(after)) == after
    assert not feed.knows(begun)
    found, after, lost = feed.after(after, 2)
    assert ([one.job for one in found], lost) == (["j4"], False)
    assert feed.after(after, 2)[0] == []
    assert (feed.knows(after), feed.place) == (True, after)
    for text in ("", "x", "1-2", "1-a-x", f"{'9' * 30}-a-1", "\u0661-a-1"):
        assert Place.read(text) is None
