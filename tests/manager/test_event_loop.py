"""What waits, waits in a thread: the one that answers everybody is never held up."""

from __future__ import annotations

import asyncio
import http.client
from contextlib import suppress
from typing import Any

import pytest

from bridge.dispatch.database import Desk

from .conftest import Live, basic, echo


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
