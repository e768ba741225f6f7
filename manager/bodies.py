"""How much of requests' bodies is in memory at once: before it is too much, senders come later."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from manager.auth import Refused

__all__ = ["Bodies"]

_LATER = {"Retry-After": "2", "Connection": "close"}


class Bodies:
    """Counts the bytes that requests have brought until they are answered; refuses (503) the body
    that would be more than `most` bytes together with all others.

    A body counts as it comes, and is only read for who has proved who he is. What is streamed
    through, to `/exposed/`, is not held and does not count. For one event loop.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if scope["type"] != "http" or "/exposed/" in scope["path"]:
            await self._app(scope, receive, send)
            return
        brought = 0

        async def counted() -> Message:
            nonlocal brought
            message = await receive()
            size = len(message.get("body", b""))
            brought += size
            self._held += size
            # One that comes alone is bounded by its route.
            if self._held > max(self._most, brought):
                raise Refused(503, "too much is being sent at once; send it again later", _LATER)
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            self._held -= brought
