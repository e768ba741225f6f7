"""OSCAR's API in memory, for what no real manager does on purpose: old shapes, lost answers.

It names and lists jobs as upstream's manager does, and starts a second job when it is asked twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from bridge.secret import Secret
from bridge.targets.oscar import ClusterAccess, OscarClient

URL = "https://lab.example/base"
ACCESS = ClusterAccess("lab", URL, user="me", password=Secret("pass-word"), source="a test")
TOKEN = "a" * 64


@dataclass
class Upstream:
    """A cluster with one service. `before` and `after` see each request, and may break it."""

    token: str = TOKEN
    page: int = 2
    jobs: list[dict[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    before: Callable[[httpx.Request], httpx.Response | None] = lambda _: None
    after: Callable[[httpx.Request], None] = lambda _: None

    def client(self) -> OscarClient:
        return OscarClient(ACCESS, transport=httpx.MockTransport(self))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/base")
        self.asked.append(f"{request.method} {path}")
        if (broken := self.before(request)) is not None:
            return broken
        answer = self._answer(request, path)
        self.after(request)
        return answer

    def _answer(self, request: httpx.Request, path: str) -> httpx.Response:
        if path == "/system/services/s":
            return httpx.Response(200, json={"name": "s", "token": self.token})
        if path == "/job/s":
            if request.headers["authorization"] != f"Bearer {self.token}":
                return httpx.Response(401, text="no")
            self.bodies.append(json.loads(request.content))
            self.jobs.append({"name": request.headers["x-delegated-job-id"], "status": "Pending"})
            return httpx.Response(201)
        if path == "/system/logs/s":
            return self._page(int(request.url.params.get("page") or 0))
        if found := re.fullmatch("/system/logs/s/(.+)", path):
            return self._job(request.method, found[1])
        return httpx.Response(404, text="404 page not found")

    def _page(self, start: int) -> httpx.Response:
        shown = self.jobs[start : start + self.page]
        said: dict[str, Any] = {
            "jobs": {one["name"]: {k: v for k, v in one.items() if k != "name"} for one in shown}
        }
        if start + self.page < len(self.jobs):
            said |= {"next_page": str(start + self.page), "remaining_jobs": 1}
        return httpx.Response(200, json=said)

    def _job(self, method: str, name: str) -> httpx.Response:
        if not any(one["name"] == name for one in self.jobs):
            return httpx.Response(404)
        if method == "DELETE":
            self.jobs = [one for one in self.jobs if one["name"] != name]
            return httpx.Response(204)
        return httpx.Response(200, text="one\ntwo\n")
