"""`/events`: where an object store sends what happened in its buckets."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from manager._http import Headers, answer_to, empty, read_body, refuse_ambiguous
from manager.core import Manager
from manager.gate import Gate, address_of
from manager.intake import Intake

__all__ = ["TOKEN", "Door", "router", "taking"]

_PATH: Final = "/events"
TOKEN: Final = b"token"
"""Of the query: the token of a store that has no header for it."""
_LARGEST: Final = 4 * 2**20

Take = Callable[[Headers, Receive], Awaitable[None]]
"""Takes the events in a store's request; durable on return, else it raises."""

_TAKEN: Final[Message] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-length", b"0")],
}
_END: Final[Message] = {"type": "http.response.body", "body": b""}


def taking(manager: Manager) -> Take:
    """What answers a store that sends events and is known to be one."""
    intake = Intake(manager)

    async def take(headers: Headers, receive: Receive) -> None:
        if body := await read_body(headers, receive, _LARGEST):
            await intake.take(body)

    return take


def router(take: Take, gate: Gate) -> APIRouter:
    """See the module."""
    routes = APIRouter(tags=["events"])

    @routes.get(_PATH, include_in_schema=False)
    @routes.head(_PATH, include_in_schema=False)
    def probe() -> Response:
        """How stores look whether somebody is there."""
        return empty(200)

    @routes.post(_PATH, response_class=Response)
    async def accept(request: Request) -> Response:
        """Take a store's events: durable when it is answered, once each however often sent.

        503 with Retry-After when they cannot be taken now. A body without a meaning is kept and
        answered with 200: to send it again would not help.
        """
        headers = request.scope["headers"]
        gate.store(_shown(request.scope), address_of(request))
        await take(headers, request.receive)
        return empty(200)

    return routes


class Door:
    """Lets events in before anything else looks at them: they come by the thousand.

    What the application does around its routes is done here for this one: ambiguous requests are
    refused, and `told` gets the status and the seconds of each. The application's own route
    describes it, and is only asked about those who are no store.
    """

    def __init__(
        self, app: ASGIApp, gate: Gate, take: Take, told: Callable[[int, float], None]
    ) -> None:
        self._app = app
        self._gate = gate
        self._take = take
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if not self._is_for_us(scope):
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        try:
            headers = scope["headers"]
            refuse_ambiguous(headers)
            await self._take(headers, receive)
        except Exception as error:
            answer = answer_to(error)
            self._told(answer.status_code, time.monotonic() - began)
            await answer(scope, receive, send)
        else:
            self._told(200, time.monotonic() - began)
            await send(_TAKEN)
            await send(_END)

    def _is_for_us(self, scope: Scope) -> bool:
        if scope["type"] != "http" or scope["path"] != _PATH or scope["method"] != "POST":
            return False
        return self._gate.is_store(_shown(scope))


def _shown(scope: Scope) -> str:
    """The header with the token; a store that sends no such header has it in its address."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return str(value.decode("latin-1"))
    tokens = parse_qs(scope["query_string"]).get(TOKEN, ())
    return f"Bearer {tokens[0].decode('latin-1')}" if tokens else ""
