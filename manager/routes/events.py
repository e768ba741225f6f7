"""`/events`: where an object store sends what happened in its buckets."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from manager._http import body_of, empty
from manager.auth import Refused, bearer
from manager.core import Manager
from manager.gate import Gate
from manager.intake import Intake

__all__ = ["router"]

_LARGEST: Final = 4 * 2**20


class _Direct(APIRoute):
    """A route whose function gets the request as it is: the busiest one needs nothing parsed."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """See APIRoute."""
        handler: Callable[[Request], Awaitable[Response]] = self.endpoint
        return handler


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module."""
    routes = APIRouter(tags=["events"])
    intake = Intake(manager)
    expected = manager.settings.webhook_token.reveal()

    @routes.get("/events", include_in_schema=False)
    @routes.head("/events", include_in_schema=False)
    def probe() -> Response:
        """How stores look whether somebody is there."""
        return empty(200)

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
            await intake.take(body)
        return empty(200)

    routes.add_api_route(
        "/events",
        take,
        methods=["POST"],
        response_class=Response,
        route_class_override=_Direct,
    )
    return routes
