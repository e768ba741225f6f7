"""`/events`: where an object store sends what happened in its buckets."""

from __future__ import annotations

import hmac
from typing import Final

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from starlette.responses import Response

from manager._http import body_of, empty
from manager.auth import Refused, bearer
from manager.cloud import MINIO
from manager.core import Manager
from manager.gate import Gate

__all__ = ["router"]

# A store sends as many events at once as objects are put; each waits for its commit in a thread.
_THREADS: Final = 64
_LARGEST: Final = 4 * 2**20


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module."""
    routes = APIRouter(tags=["events"])
    limiter = CapacityLimiter(_THREADS)
    expected = manager.settings.webhook_token.reveal()

    @routes.get("/events", include_in_schema=False)
    @routes.head("/events", include_in_schema=False)
    def probe() -> Response:
        """How stores look whether somebody is there."""
        return empty(200)

    @routes.post("/events")
    async def take(request: Request) -> Response:
        """Take a store's events: durable when it is answered, once each however often sent.

        503 with Retry-After when they cannot be taken now. A body without a meaning is kept and
        answered with 200: to send it again would not help.
        """
        token = bearer(request.headers.get("authorization", ""))
        if not expected or not hmac.compare_digest(token.encode(), expected.encode()):
            raise Refused(401, headers={"WWW-Authenticate": "Bearer"})
        body = await body_of(request, _LARGEST)
        if body:
            await to_thread.run_sync(manager.ingest, str(MINIO), body, limiter=limiter)
        return empty(200)

    return routes
