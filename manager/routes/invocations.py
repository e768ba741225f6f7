"""`/run` and `/job`: call a service and wait, or leave it a job."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from bridge.errors import BridgeError
from bridge.targets.protocol import Reply
from manager._http import answer_to, body_of, empty
from manager.auth import Caller, Refused
from manager.core import Manager
from manager.gate import Gate, address_of
from manager.objects import check_call
from manager.running import run as run_now
from manager.service import Deployed

__all__ = ["router"]

# Calls that wait hold a thread each; all other routes have their own.
_RUNS: Final = 128
_JOBS: Final = 64
# Hop by hop, meant for us only, or what a proxy says of a request: a service would believe it.
_OURS: Final = frozenset(
    {
        "authorization", "connection", "cookie", "expect", "forwarded", "host", "keep-alive",
        "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", "x-real-ip",
    }
)  # fmt: skip
_PROXIES: Final = "x-forwarded-"


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module."""
    routes = APIRouter(tags=["invocations"])
    runs, jobs = CapacityLimiter(_RUNS), CapacityLimiter(_JOBS)

    async def enter(name: str, request: Request) -> tuple[Deployed, Caller, bytes]:
        """The service, who calls it, and the body; credentials are looked at first."""
        header = request.headers.get("authorization", "")
        one, caller = await to_thread.run_sync(gate.called, name, header, address_of(request))
        body = await body_of(request, manager.settings.max_event)
        await to_thread.run_sync(check_call, manager, one, caller, body, passed(request))
        return one, caller, body

    def passed(request: Request) -> Mapping[str, str]:
        named = request.headers.get("connection", "").lower().split(",")
        dropped = _OURS | {name.strip() for name in named}
        found = request.headers.items()
        return {k: v for k, v in found if k not in dropped and not k.startswith(_PROXIES)}

    def note(request: Request, began: float, status: int, user: str) -> None:
        manager.calls.add(began, status, address_of(request), request.url.path, user)

    @routes.post("/run/{name}", response_class=Response)
    async def run(name: str, request: Request) -> Response:
        """Call a service and wait for its answer. The body is its input, whatever it is."""
        began, status, user = time.time(), 500, "nil"
        try:
            one, caller, body = await enter(name, request)
            user = caller.uid
            query = request.url.query
            async with _watched(request) as gone:
                call = partial(run_now, manager, one, body, passed(request), query=query, gone=gone)
                reply = await to_thread.run_sync(call, limiter=runs)
            status = reply.status
            return StreamingResponse(_streamed(reply), reply.status, dict(reply.headers))
        except (BridgeError, Refused) as error:
            status = answer_to(error).status_code
            raise
        finally:
            note(request, began, status, user)

    @routes.post("/job/{name}", status_code=201, response_class=Response)
    async def job(name: str, request: Request) -> Response:
        """Leave a job. The body is its input, or a storage event; durable when it is answered."""
        began, status, user = time.time(), 500, "nil"
        try:
            one, caller, body = await enter(name, request)
            user = caller.uid
            await to_thread.run_sync(
                manager.submit, one, body, passed(request), caller.uid, limiter=jobs
            )
            status = 201
            return empty(201)
        except (BridgeError, Refused) as error:
            status = answer_to(error).status_code
            raise
        finally:
            note(request, began, status, user)

    return routes


@asynccontextmanager
async def _watched(request: Request) -> AsyncIterator[Callable[[], bool]]:
    """Says, from any thread, whether the client has left; its body must have been read."""
    gone = threading.Event()

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            continue
        gone.set()

    watcher = asyncio.create_task(watch())
    try:
        yield gone.is_set
    finally:
        watcher.cancel()


def _streamed(reply: Reply) -> Iterator[bytes]:
    """The answer as it comes; the call is let go of when nobody reads on."""
    try:
        yield from reply.body
    finally:
        reply.close()
