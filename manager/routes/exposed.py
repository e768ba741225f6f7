"""`/system/services/{name}/exposed/…`: servers of this machine, as an ingress shows a cluster's."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Final

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from bridge.errors import NotFoundError, TargetUnavailable
from bridge.targets.calls import Address
from manager import proxy
from manager.auth import Refused, bearer, is_service_token
from manager.core import Manager
from manager.deployment import address_of_server, is_exposed
from manager.gate import Gate, address_of
from manager.routes.forward import cookie_name, keep, offered
from manager.service import Deployed

__all__ = ["router"]

_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_FORWARD: Final = "forward"
_SAID_BY_US: Final = (b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"forwarded")


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module. Where services are on a cluster, its ingress answers instead: 404."""
    routes = APIRouter(tags=["services"])

    def entered(name: str, request: Request) -> tuple[Deployed, Address, str]:
        """The service, where its server is, and the service's token if that has opened the door;
        credentials are looked at where it wants some."""
        one = manager.find(name)
        options = one.options.expose if one is not None and is_exposed(one) else None
        if one is None or options is None:
            raise Refused(404)
        token = (
            let_in(name, request, users=options.auth_type == _FORWARD) if options.set_auth else ""
        )
        try:
            found = address_of_server(manager, one)
        except NotFoundError:
            raise Refused(404) from None
        except TargetUnavailable as error:
            raise Refused(502, f"{name} is not ready: {error.message}") from error
        return one, found, token

    def let_in(name: str, request: Request, *, users: bool) -> str:
        if users:
            _, header = gate.opened(name, list(offered(name, request)), address_of(request))
            return token if is_service_token(token := bearer(header)) else ""
        gate.let_in(name, request.headers.get("authorization", ""), address_of(request))
        return ""

    async def passed(name: str, request: Request) -> Response:
        """Pass a request on to an exposed service; its answer as it comes."""
        one, address, token = await run_in_threadpool(entered, name, request)
        target, told = _target(one, request, token), _told(one, request, token)
        sent = proxy.Request(request.method, target, told, request.receive)
        answer = await proxy.forwarded(sent, address, manager.settings.run_wait)
        found = StreamingResponse(answer.body, answer.status)
        found.raw_headers = answer.headers
        if token and token in request.query_params.getlist("token"):
            keep(found, name, token)
        return found

    path = "/system/services/{name}/exposed"
    for route in (path, path + "/{rest:path}"):
        routes.add_api_route(
            route, passed, methods=_METHODS, response_class=Response, include_in_schema=False
        )
    return routes


def _target(one: Deployed, request: Request, token: str) -> bytes:
    """The path as the server knows it, as it was written, with the query but for the token."""
    path: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    if token:
        query = b"&".join(part for part in query.split(b"&") if part != b"token=" + token.encode())
    expose = one.options.expose
    if expose is None or not expose.rewrite_target:
        path = b"/" + path.split(b"/exposed", 1)[1].lstrip(b"/")
    return path + (b"?" + query if query else b"")


def _told(one: Deployed, request: Request, token: str) -> proxy.Headers:
    """The headers without what has proved to us who sends them, and with where that is."""
    expose = one.options.expose
    headers = proxy.without(request.headers.raw, *_SAID_BY_US)
    if expose is not None and expose.set_auth:
        headers = proxy.without(headers, b"authorization", b"cookie")
        if kept := _other_cookies(one.name, request.headers.get("cookie", "")):
            headers.append((b"cookie", kept.encode("latin-1")))
    if token:
        # The page that named it in its query is where the next request says that it comes from.
        headers = [(key, value) for key, value in headers if token.encode() not in value]
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
