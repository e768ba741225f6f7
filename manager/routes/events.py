"""`/events`: where an object store sends what happened in its buckets."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from manager._http import answer_to, body_of, empty
from manager.auth import Refused, bearer
from manager.core import Manager
from manager.intake import Intake

__all__ = ["Door", "router", "taking"]

_PATH: Final = "/events"
_LARGEST: Final = 4 * 2**20

Take = Callable[[Request], Awaitable[Response]]


def taking(manager: Manager) -> Take:
    """What answers a store that sends events."""
    intake = Intake(manager)
    expected = manager.settings.webhook_token.reveal().encode()

    async def take(request: Request) -> Response:
        """Take a store's events: durable when it is answered, once each however often sent.

        503 with Retry-After when they cannot be taken now. A body without a meaning is kept and
        answered with 200: to send it again would not help.
        """
        token = bearer(request.headers.get("authorization", ""))
        if not expected or not hmac.compare_digest(token.encode(), expected):
            raise Refused(401, headers={"WWW-Authenticate": "Bearer"})
        body = await body_of(request, _LARGEST)
        if body:
            await intake.take(body)
        return empty(200)

    return take


def router(take: Take) -> APIRouter:
    """See the module."""
    routes = APIRouter(tags=["events"])

    @routes.get(_PATH, include_in_schema=False)
    @routes.head(_PATH, include_in_schema=False)
    def probe() -> Response:
        """How stores look whether somebody is there."""
        return empty(200)

    routes.add_api_route(_PATH, take, methods=["POST"], response_class=Response)
    return routes


class Door:
    """Lets events in before all other routes are looked at: they come by the thousand.

    The application's own route describes them, and is not asked.
    """

    def __init__(self, app: ASGIApp, take: Take) -> None:
        self._app = app
        self._take = take

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if scope["type"] != "http" or scope["path"] != _PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            answer = await self._take(Request(scope, receive))
        except Exception as error:
            answer = answer_to(error)
        await answer(scope, receive, send)
