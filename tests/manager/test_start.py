"""A manager that starts with services which it cannot read, and that much is sent to at once."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manager.store import ServiceStore
from tests.waiting import eventually

from .conftest import Answer, Live, basic, echo, serve
from .test_jobs import finished

ODD: dict[str, Any] = {
    "odd": {"service": 3},
    "newer": {"service": {"name": "newer", "image": 7}, "providers": [], "clusters": None},
}
UNREADABLE = [*ODD, "torn"]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Has read a state in which all services but one are not what they were."""
    folder: Path = tmp_path_factory.mktemp("start")
    with ExitStack() as stack:
        before = serve(folder, stack)
        for name in ("good", *UNREADABLE):
            before.create(name=name)
    with ServiceStore(folder / "manager.sqlite") as state:
        for row in state.services():
            if row.name in ODD:
                state.put_service(replace(row, source=ODD[row.name]))
    with closing(sqlite3.connect(folder / "manager.sqlite", isolation_level=None)) as file:
        file.execute("UPDATE services SET sealed = substr(sealed, 9) WHERE name = 'torn'")
    with ExitStack() as stack:
        yield serve(folder, stack, max_held=2**20)


def test_a_service_that_cannot_be_read_stops_nothing_and_can_be_made_again(live: Live) -> None:
    assert [one["name"] for one in live.ask("GET", "/system/services").json] == ["good"]
    assert live.ask("POST", "/job/good", b"x").status == 201
    assert finished(live, "good")
    for name in UNREADABLE:
        assert live.ask("GET", f"/system/services/{name}").status == 404
        assert live.ask("POST", "/system/services", echo(name=name)).status == 201
        assert live.ask("GET", f"/system/services/{name}").status == 200


def test_what_is_sent_at_once_is_bounded(live: Live) -> None:
    """However many send, and although none of them sends too much."""
    some = b"x" * 700_000
    head = f"POST /job/good HTTP/1.1\r\nHost: x\r\nContent-Length: {len(some) + 1}\r\n"
    proof = f"Authorization: {basic()['Authorization']}\r\n\r\n"

    def refused() -> Answer | None:
        """What the second of two gets; None when the first has got it, which came later."""
        with socket.create_connection(("127.0.0.1", live.port)) as slow:
            slow.sendall((head + proof).encode() + some)
            answer = live.ask("POST", "/job/good", some)
            if answer.status != 503:
                return None
            assert live.ask("POST", "/job/good", b"small").status == 201
            slow.sendall(b"x")
            assert b" 201 " in slow.recv(1000).split(b"\r\n")[0]
            return answer

    answer = eventually(refused)
    assert answer.headers["retry-after"] == "2"
    assert answer.text == "too much is being sent at once; send it again later"
    assert live.ask("POST", "/job/good", some).status == 201
    # One that comes alone may be larger than all together.
    assert live.ask("POST", "/job/good", b"x" * 2**21).status == 201
