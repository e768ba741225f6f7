"""What all routes share: bodies, answers, and errors as OSCAR's clients expect them."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bridge.errors import BridgeError, EventError, TemporaryError, UsageError
from manager._json import compact, read_object
from manager.auth import Refused
from manager.core import LOG, ConflictError
from manager.quotas import QuotaError

__all__ = [
    "JSON_BODY",
    "NO_CONTENT",
    "Tidy",
    "answer_to",
    "body_of",
    "empty",
    "handle_errors",
    "is_true",
    "json_answer",
    "object_of",
    "read_body",
    "refuse_ambiguous",
    "text_answer",
]

Headers = Iterable[tuple[bytes, bytes]]

_ONCE: Final = (b"host", b"content-length", b"transfer-encoding", b"authorization")


def json_answer(value: Any, status: int = 200) -> Response:
    """Compact JSON."""
    return Response(compact(value), status, media_type="application/json; charset=utf-8")


def text_answer(text: str, status: int = 200) -> Response:
    """Plain text."""
    return PlainTextResponse(text, status)


def empty(status: int) -> Response:
    """No body."""
    return Response(status_code=status)


NO_CONTENT: Final = 204
JSON_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}
"""What the interface says of routes that read an object, whatever its type is said to be."""
_TRUE: Final = frozenset({"1", "t", "true"})
# Of whom nothing is known nothing is said.
_UNKNOWN: Final = 401
# Below these, errors are JSON; OSCAR's clients want text everywhere else.
_IN_JSON: Final = ("/system/metrics", "/system/status", "/api/v1/")


def is_true(text: str) -> bool:
    """As Go reads flags; what is neither is false."""
    return text.lower() in _TRUE


async def body_of(request: Request, limit: int) -> bytes:
    """The whole body, whatever its type is said to be; Refused (413) when it is too large.

    Never holds much more than the limit.
    """
    return await read_body(request.scope["headers"], request.receive, limit)


async def object_of(request: Request, limit: int) -> dict[str, Any]:
    """The JSON object in the body; UsageError for anything else, Refused as `body_of`'s.

    Read in a thread: a large one takes its time, in which others are answered.
    """
    return await run_in_threadpool(read_object, await body_of(request, limit))


async def read_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    """`body_of` a request with these headers, of which nothing was read yet."""
    said = next((value for name, value in headers if name == b"content-length"), b"0")
    if int(said) > 2 * limit:
        # Who sends a little too much is heard out: he would not see the answer while he sends.
        raise _too_large(limit)
    parts, size, more = list[bytes](), 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the body was cut off")
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> Refused:
    return Refused(413, f"the body is larger than {limit} bytes", {"Connection": "close"})


def handle_errors(app: FastAPI) -> None:
    """Answer every error in plain text, or as `{"error": …}` where that is the custom."""
    app.add_exception_handler(Refused, _async(_refused))
    app.add_exception_handler(HTTPException, _async(_unknown))
    app.add_exception_handler(RequestValidationError, _async(_unreadable))
    app.add_exception_handler(BridgeError, _async(_failed))
    app.add_exception_handler(Exception, _async(_broken))


def answer_to(error: Exception) -> Response:
    """The answer to an error, where no application is that would look for it."""
    if isinstance(error, Refused):
        return _refused(error)
    return _failed(error) if isinstance(error, BridgeError) else _broken(error)


def _async(
    make: Callable[[Exception], Response],
) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handler(request: Request, error: Exception) -> Response:
        answer = make(error)
        status = answer.status_code
        if status != _UNKNOWN and request.url.path.startswith(_IN_JSON):
            text = bytes(answer.body).decode() or HTTPStatus(status).phrase.lower()
            said = json_answer({"error": text}, status)
            kept = {k: v for k, v in answer.headers.items() if not k.startswith("content-")}
            said.headers.update(kept)
            return said
        return answer

    return handler


def _refused(error: Exception) -> Response:
    assert isinstance(error, Refused)
    if not error.text:
        return Response(status_code=error.status, headers=error.headers)
    return PlainTextResponse(error.text, error.status, headers=error.headers)


def _unknown(error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code in (404, 405):
        return text_answer("404 page not found", 404)
    return text_answer(str(error.detail), error.status_code)


def _unreadable(error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    said = (f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
    return text_answer("; ".join(said), 400)


def _failed(error: Exception) -> Response:
    assert isinstance(error, BridgeError)
    text = f"{error.message} ({error.hint})" if error.hint else error.message
    if isinstance(error, TemporaryError):
        wait = str(max(1, math.ceil(error.delay)))
        return PlainTextResponse(text, 503, headers={"Retry-After": wait})
    return text_answer(text, _status(error))


def _status(error: BridgeError) -> int:
    if isinstance(error, ConflictError | QuotaError):
        return 403 if isinstance(error, QuotaError) else 409
    wrong = isinstance(error, UsageError | EventError) or error.code in ("fdl", "placement")
    if wrong or error.code == "unsafe-path":
        return 400
    return 404 if error.code == "not-found" else 500


def _broken(error: Exception) -> Response:
    LOG.error("a request failed", exc_info=error)
    return text_answer("internal error", 500)


class Tidy:
    """Before all routes: ambiguous requests are refused, a slash at a path's end is dropped."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if scope["type"] == "http":
            try:
                refuse_ambiguous(scope["headers"])
            except Refused as error:
                await _refused(error)(scope, receive, send)
                return
            path = scope["path"]
            if len(path) > 1 and path.endswith("/") and "/exposed/" not in path:
                scope = {**scope, "path": path.rstrip("/") or "/"}
        await self._app(scope, receive, send)


def refuse_ambiguous(headers: Headers) -> None:
    """Refused (400) for headers that two servers may read differently.

    That is how requests are smuggled past a proxy.
    """
    names = [name for name, _ in headers]
    twice = any(names.count(name) > 1 for name in _ONCE)
    if twice or (b"content-length" in names and b"transfer-encoding" in names):
        raise Refused(400, "ambiguous request headers")
