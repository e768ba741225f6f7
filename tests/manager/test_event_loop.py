"""What waits, waits in a thread: the one that answers everybody is never held up."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from bridge.dispatch.database import Desk
from bridge.errors import NotFoundError
from bridge.targets.protocol import Reply
from manager.oidc import OidcSettings
from tests.waiting import eventually

from .conftest import Live, basic, echo, serve
from .issuer import MEMBER, Provider


def test_no_route_asks_a_database_on_the_event_loop(
    shared: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where managers share one, each look at a service is a query first."""
    live, held_up = shared, []
    name = live.create()

    def watched(real: Any) -> Any:
        def asked(desk: Desk, work: Any, **how: Any) -> Any:
            with suppress(RuntimeError):
                held_up.append(asyncio.get_running_loop())
            return real(desk, work, **how)

        return asked

    for method in ("read", "write"):
        monkeypatch.setattr(Desk, method, watched(getattr(Desk, method)))
    monkeypatch.setattr(live.manager.parts.state, "shared", True)
    member, bucket = {"members": [{"type": "endpoint", "url": "http://x"}]}, {"bucket_name": "loop"}
    asked: list[tuple[str, str, Any, int]] = [
        ("POST", "/system/services", echo(name=f"{name}-2"), 201),
        ("PUT", "/system/services", echo(name=name), 204),
        ("POST", f"/system/federation/{name}", member, 200),
        ("PUT", f"/system/federation/{name}", member | {"update": member["members"]}, 200),
        ("DELETE", f"/system/federation/{name}", member, 200),
        ("PUT", "/system/config", {"allowed_image_repositories": []}, 200),
        ("POST", "/system/buckets", bucket, 201),
        ("PUT", "/system/buckets", bucket, 204),
        ("POST", "/system/buckets/loop/presign", {"object_key": "x", "operation": "upload"}, 200),
        ("POST", "/system/volumes", {"name": "loop", "size": "1Gi"}, 201),
        ("PUT", "/system/quotas/user/loop", {"jobs": 1}, 200),
        ("POST", f"/run/{name}", b"x", 200),
        ("POST", f"/job/{name}", b"x", 201),
    ]
    for method, path, body, status in asked:
        held_up.clear()
        assert live.ask(method, path, body).status == status, path
        assert not held_up, (method, path)
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)
    connection.request("GET", f"/api/v1/events?service={name}", headers=basic())
    assert connection.getresponse().read1(9)
    connection.close()
    assert not held_up


@pytest.mark.parametrize("silent", ["keys", "user"])
def test_a_provider_that_hangs_holds_up_its_own_users_only(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    """It takes connections, and says nothing: neither its keys, nor who a user is."""
    monkeypatch.setattr("manager.issuer._PATIENCE", 60.0)
    monkeypatch.setattr("manager.issuer._TIMEOUT", 60.0)
    statuses: list[int] = []
    with ExitStack() as stack:
        hung = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        url = f"http://127.0.0.1:{hung.getsockname()[1]}"
        issuers = (provider.url, url) if silent == "keys" else (provider.url,)
        live = serve(tmp_path, stack, oidc=OidcSettings(issuers, ("lab",)))
        # Whose keys and groups are known is let in meanwhile.
        known = provider.header("known", **MEMBER)
        assert live.ask("GET", "/system/info", headers=known).status == 200
        answer = provider.answer

        def told(path: str, headers: Any) -> dict[str, Any]:
            if path.endswith("/user"):
                hung.accept()[0].recv(1)
            return answer(path, headers)

        monkeypatch.setattr(provider, "answer", told)
        more = {"iss": url} if silent == "keys" else {}
        pool = stack.enter_context(ThreadPoolExecutor(60))
        callers = [
            pool.submit(
                lambda who: statuses.append(live.ask("GET", "/system/info", headers=who).status),
                provider.header(f"user-{n}", **more),
            )
            for n in range(60)
        ]
        assert eventually(lambda: len(statuses) >= 44, 20)
        assert live.ask("GET", "/system/info").status == 200
        assert live.ask("GET", "/system/info", headers=known).status == 200
        assert not all(one.done() for one in callers)
        if silent == "user":
            lines = [socket.create_connection(hung.getsockname()) for _ in range(60)]
        else:
            # One connection for all of them.
            lines = [hung.accept()[0]]
            hung.settimeout(0.0)
            with pytest.raises(BlockingIOError):
                hung.accept()
        for line in lines:
            line.close()
    assert set(Counter(statuses)) <= {503, 401}
    assert len(statuses) == 60


def test_who_is_slow_holds_up_his_own_kind_only(
    shared: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers of services that come slowly, a service that is long in the making, a long list."""
    live, go, held = shared, threading.Event(), threading.Semaphore(0)
    name = live.create()

    def stuck(*_: object) -> Any:
        held.release()
        go.wait(60)
        raise NotFoundError("nothing")

    def slow(*_: object, **__: object) -> Reply:
        return Reply(200, {}, iter(stuck, b""), lambda: None)

    def tried(method: str, path: str, body: Any) -> None:
        with suppress(OSError, http.client.HTTPException):
            live.ask(method, path, body)

    local = live.manager.parts.targets["local"]
    kinds: list[tuple[Any, str, Any, str, str, Any, int]] = [
        (local, "invoke", slow, "POST", f"/run/{name}", b"", 45),
        (live.manager, "create", stuck, "POST", "/system/services", echo(), 8),
        (live.manager, "services", stuck, "GET", "/system/services", None, 40),
    ]
    with ThreadPoolExecutor(180) as pool, ExitStack() as stack:
        stack.callback(go.set)
        for where, attribute, work, method, path, body, most in kinds:
            monkeypatch.setattr(where, attribute, work)
            for _ in range(45):
                pool.submit(tried, method, path, body)
            for _ in range(most):
                assert held.acquire(timeout=20), path
            assert live.ask("GET", "/health").status == 200
            assert live.ask("POST", f"/job/{name}", b"x").status == 201
            if path != "/system/services" or method == "POST":
                assert live.ask("GET", f"/system/services/{name}").status == 200
        monkeypatch.undo()


def test_one_owner_takes_no_more_than_half_of_what_there_is(
    shared: Live, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the places to wait for an answer, and of streams he has some of them."""
    monkeypatch.setattr("manager.routes.invocations._RUNS", 2)
    monkeypatch.setattr("manager.routes.stream._EACH", 1)
    live, ann, go = shared, provider.header("ann", **MEMBER), threading.Event()
    begun, other = threading.Event(), live.create()
    assert live.ask("POST", "/system/services", echo(name="half"), ann).status == 201

    def slow(name: str, *_: object, **__: object) -> Reply:
        if name == "half":
            begun.set()
            go.wait(60)
        return Reply(200, {}, iter([b"said"]), lambda: None)

    monkeypatch.setattr(live.manager.parts.targets["local"], "invoke", slow)
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        stack.callback(go.set)
        waiting = pool.submit(live.ask, "POST", "/run/half", b"", ann)
        assert begun.wait(20)
        refused = live.ask("POST", "/run/half", b"", ann)
        assert (refused.status, refused.headers["retry-after"]) == (503, "2")
        assert live.ask("POST", f"/run/{other}", b"").text == "said"
        go.set()
        assert waiting.result().text == "said"
        assert live.ask("POST", "/run/half", b"", ann).text == "said"
        line = http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)
        stack.callback(line.close)
        line.request("GET", "/api/v1/events", headers=ann)
        assert line.getresponse().read1(9)
        assert live.ask("GET", "/api/v1/events", headers=ann).status == 503
        line.close()
        line.request("GET", "/api/v1/events", headers=basic())
        assert line.getresponse().status == 200
