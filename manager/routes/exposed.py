"""`/system/services/{name}/exposed/…`: servers of this machine, as an ingress shows a cluster's."""

from __future__ import annotations

from collections.abc import Iterator
from http.cookies import CookieError, SimpleCookie
from typing import Final

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from bridge.errors import NotFoundError, TargetUnavailable
from bridge.targets.calls import Address
from manager import proxy
from manager.auth import Refused
from manager.core import Manager
from manager.deployment import address_of_server, is_exposed
from manager.gate import Gate, address_of
from manager.routes.forward import cookie_name, offered
from manager.service import Deployed

__all__ = ["router"]

_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_FORWARD: Final = "forward"
_SAID_BY_US: Final = (b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"forwarded")


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module. Where services are on a cluster, its ingress answers instead: 404."""
    routes = APIRouter(tags=["services"])

    def entered(name: str, request: Request) -> tuple[Deployed, Address]:
        """The service, and where its server is; credentials are looked at where it wants some."""
        one = manager.find(name)
        options = one.options.expose if one is not None and is_exposed(one) else None
        if options is not None and options.set_auth:
            users = options.auth_type == _FORWARD
            headers = list(_headers(name, request, users=users))
            gate.let_in(name, headers, address_of(request), users=users)
        if one is None or options is None:
            raise Refused(404)
        try:
            found = address_of_server(manager, one)
        except NotFoundError:
            raise Refused(404) from None
        except TargetUnavailable as error:
            raise Refused(502, f"{name} is not ready: {error.message}") from error
        return one, found

    async def passed(name: str, request: Request) -> Response:
        """Pass a request on to an exposed service; its answer as it comes."""
        one, address = await run_in_threadpool(entered, name, request)
        sent = proxy.Request(
            request.method, _target(one, request), _told(one, request), request.stream()
        )
        answer = await proxy.forwarded(sent, address, manager.settings.run_wait)
        found = StreamingResponse(answer.body, answer.status)
        found.raw_headers = answer.headers
        return found

    path = "/system/services/{name}/exposed"
    for route in (path, path + "/{rest:path}"):
        routes.add_api_route(
            route, passed, methods=_METHODS, response_class=Response, include_in_schema=False
        )
    return routes


def _headers(name: str, request: Request, *, users: bool) -> Iterator[str]:
    if users:
        yield from offered(name, request)
    else:
        yield request.headers.get("authorization", "")


def _target(one: Deployed, request: Request) -> bytes:
    """The path as the server knows it, as it was written, with the query."""
    path: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    expose = one.options.expose
    if expose is None or not expose.rewrite_target:
        path = b"/" + path.split(b"/exposed", 1)[1].lstrip(b"/")
    return path + (b"?" + query if query else b"")


def _told(one: Deployed, request: Request) -> proxy.Headers:
    """The headers without what has proved to us who sends them, and with where that is."""
    expose = one.options.expose
    headers = proxy.without(request.headers.raw, *_SAID_BY_US)
    if expose is not None and expose.set_auth:
        headers = proxy.without(headers, b"authorization", b"cookie")
        if kept := _other_cookies(one.name, request.headers.get("cookie", "")):
            headers.append((b"cookie", kept.encode("latin-1")))
    return [
        *headers,
        (b"x-forwarded-for", address_of(request).encode()),
        (b"x-forwarded-host", request.headers.get("host", "").encode("latin-1")),
        (b"x-forwarded-proto", request.url.scheme.encode()),
    ]


def _other_cookies(name: str, header: str) -> str:
    """The cookies that are the server's own."""
    try:
        found = SimpleCookie(header)
    except CookieError:
        return ""
    found.pop(cookie_name(name), None)
    return "; ".join(f"{key}={one.coded_value}" for key, one in found.items())
