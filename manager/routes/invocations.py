"""`/run` and `/job`: call a service and wait, or leave it a job."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from bridge.errors import BridgeError, TemporaryError
from bridge.targets.protocol import Reply
from manager._http import answer_to, body_of, empty
from manager.auth import Caller, Refused
from manager.core import Manager
from manager.gate import Gate, address_of
from manager.objects import check_call
from manager.running import run as run_now
from manager.service import Deployed
from manager.threads import CapacityLimiter, in_one_of

__all__ = ["router"]

# Calls that wait hold a thread each; all other routes have their own. Half of them at most are for
# the services of one owner.
_RUNS: Final = 256
_SOON: Final = 2.0
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
    waiting = Counter[str]()

    @routes.post("/run/{name}", response_class=Response)
    async def run(name: str, request: Request) -> Response:
        """Call a service and wait for its answer. The body is its input, whatever it is."""
        with _noted(manager, request) as call:
            one, caller, body = await _enter(manager, gate, name, request)
            call.user, query, passed = caller.uid, request.url.query, _passed(request)
            with _turn(waiting, one.owner):
                async with _watched(request) as gone:
                    work = partial(run_now, manager, one, body, passed, query=query, gone=gone)
                    reply = await in_one_of(runs, work)
            call.status = reply.status
            return StreamingResponse(_streamed(reply, runs), reply.status, dict(reply.headers))

    @routes.post("/job/{name}", status_code=201, response_class=Response)
    async def job(name: str, request: Request) -> Response:
        """Leave a job. The body is its input, or a storage event; durable when it is answered."""
        with _noted(manager, request) as call:
            one, caller, body = await _enter(manager, gate, name, request)
            call.user = caller.uid
            await in_one_of(jobs, manager.submit, one, body, _passed(request), caller.uid)
            call.status = 201
            return empty(201)

    return routes


async def _enter(
    manager: Manager, gate: Gate, name: str, request: Request
) -> tuple[Deployed, Caller, bytes]:
    """The service, who calls it, and the body; credentials are looked at first."""
    header = request.headers.get("authorization", "")
    address = address_of(request)
    one, caller = await in_one_of(gate.threads, gate.called, name, header, address)
    body = await body_of(request, manager.settings.max_event)
    await in_one_of(gate.threads, check_call, manager, one, caller, body, _passed(request))
    return one, caller, body


def _passed(request: Request) -> Mapping[str, str]:
    """The headers that the service is told."""
    named = request.headers.get("connection", "").lower().split(",")
    dropped = _OURS | {name.strip() for name in named}
    found = request.headers.items()
    return {k: v for k, v in found if k not in dropped and not k.startswith(_PROXIES)}


@contextmanager
def _turn(waiting: Counter[str], owner: str) -> Iterator[None]:
    """A place to wait for an answer of an owner's service. TemporaryError when he has too many."""
    if waiting[owner] >= _RUNS // 2:
        said = f"{_RUNS // 2} calls of services of this owner wait for an answer already"
        raise TemporaryError(said, delay=_SOON)
    waiting[owner] += 1
    try:
        yield
    finally:
        waiting[owner] -= 1
        if not waiting[owner]:
            del waiting[owner]


@dataclass(slots=True)
class _Call:
    """How a call has ended so far, and whose it is."""

    status: int = 500
    user: str = "nil"


@contextmanager
def _noted(manager: Manager, request: Request) -> Iterator[_Call]:
    """Write a call into the log of calls, however it ends."""
    began, call = time.time(), _Call()
    try:
        yield call
    except (BridgeError, Refused) as error:
        call.status = answer_to(error).status_code
        raise
    finally:
        # As it was asked for: what is decoded may hold what a terminal obeys.
        path = quote(request.url.path)
        manager.calls.add(began, call.status, address_of(request), path, call.user)


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


async def _streamed(reply: Reply, threads: CapacityLimiter) -> AsyncIterator[bytes]:
    """The answer as it comes; the call is let go of when nobody reads on."""
    blocks = iter(reply.body)

    def following() -> bytes | None:
        return next(blocks, None)

    try:
        while (block := await in_one_of(threads, following)) is not None:
            yield block
    finally:
        reply.close()
