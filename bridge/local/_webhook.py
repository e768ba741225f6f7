"""The ASGI side of bridge.local.ingest; imports starlette and uvicorn, so it is imported late."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import uvicorn
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from bridge.errors import PermanentError
from manager.patience import Patient
from manager.quiet import LARGEST, Silent

BACKLOG: Final = 2048
# MinIO sends as many events at once as objects are put; each waits for its commit in a thread.
_THREADS: Final = 64

Persist = Callable[[bytes, Mapping[str, str]], tuple[int, dict[str, str]]]


def application(
    path: str, allows: Callable[[str], bool], persist: Persist, max_body: int
) -> Starlette:
    """One route; `allows` judges the Authorization header, `persist` runs in a thread."""
    limiter = CapacityLimiter(_THREADS)

    async def receive(request: Request) -> Response:
        if request.method != "POST":
            return Response(status_code=200)
        if not allows(request.headers.get("authorization", "")):
            return Response(status_code=401, headers={"www-authenticate": "Bearer"})
        try:
            body = await _read(request, max_body)
        except ClientDisconnect:
            return Response(status_code=400)
        if body is None:
            return Response(status_code=413, headers={"connection": "close"})
        if not body:
            return Response(status_code=200)
        headers = {k: v for k, v in request.headers.items() if k != "authorization"}
        status, more = await to_thread.run_sync(persist, body, headers, limiter=limiter)
        return Response(status_code=status, headers=more)

    return Starlette(routes=[Route(path, receive, methods=["GET", "HEAD", "POST"])])


async def _read(request: Request, limit: int) -> bytes | None:
    """The body, None when it is larger than allowed; never holds much more than the limit."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


class Server:
    """An application served from a background thread on a listening socket that it owns."""

    def __init__(self, app: Starlette, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=Patient,
            ws=Silent,
            ws_max_size=LARGEST,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=5,
        )
        self._listener = listener
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="bridge-ingest", daemon=True)

    def start(self) -> None:
        """Return when requests are answered."""
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise PermanentError("the webhook server ended before it answered")
            time.sleep(0.002)

    def close(self) -> None:
        """Answer what has begun, then stop."""
        self._server.should_exit = True
        self._thread.join()

    def _run(self) -> None:
        with self._listener:
            self._server.run(sockets=[self._listener])
