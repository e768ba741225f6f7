"""`/system/services/{name}/exposed/…`: servers of this machine, as an ingress shows a cluster's."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Final

from fastapi import APIRouter, Request
from starlette.requests import HTTPConnection
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocket

from bridge.errors import BridgeError, NotFoundError, TargetUnavailable, TemporaryError
from bridge.targets.calls import Address
from manager import proxy, sockets
from manager._http import answer_to
from manager.auth import Refused, bearer, is_service_token
from manager.core import Manager
from manager.deployment import address_of_server, is_exposed
from manager.gate import Gate, address_of
from manager.routes.forward import cookie_name, keep, offered
from manager.service import Deployed
from manager.threads import in_one_of

__all__ = ["router"]

_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_FORWARD: Final = "forward"
# Parts of a path up to `exposed`, the empty one before its slash too.
_BEFORE: Final = 5
_MOST: Final = 128
_LATER: Final = 15.0
# A page must not take the whole of this server for its own.
_NOT_THEIRS: Final = (b"service-worker-allowed", b"clear-site-data")
_SAID_BY_US: Final = (b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"forwarded")


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module. Where services are on a cluster, its ingress answers instead: 404."""
    routes = APIRouter(tags=["services"])
    door = _Door(manager, gate)
    path = "/system/services/{name}/exposed"
    for route in (path, path + "/{rest:path}"):
        routes.add_api_route(
            route, door.passed, methods=_METHODS, response_class=Response, include_in_schema=False
        )
        routes.add_api_websocket_route(route, door.joined)
    return routes


class _Door:
    """Lets requests in to servers, and WebSockets."""

    def __init__(self, manager: Manager, gate: Gate) -> None:
        self._manager = manager
        self._gate = gate
        self._joined = 0

    async def passed(self, name: str, request: Request) -> Response:
        """Pass a request on to an exposed service; its answer as it comes."""
        one, address, token = await self._let_through(name, request)
        target, told = _target(one, request, token), _told(one, request, token)
        sent = proxy.Request(request.method, target, told, request.receive)
        answer = await proxy.forwarded(sent, address, self._manager.settings.run_wait)
        found = StreamingResponse(answer.body, answer.status)
        found.raw_headers = proxy.without(answer.headers, *_NOT_THEIRS)
        if token and token in request.query_params.getlist("token"):
            keep(found, name, token)
        return found

    async def joined(self, name: str, websocket: WebSocket) -> None:
        """Let a client and an exposed service talk; credentials are looked at when they begin."""
        self._joined += 1
        try:
            if self._joined > _MOST:
                raise TemporaryError(f"{_MOST} WebSockets are open already", delay=_LATER)
            one, address, token = await self._let_through(name, websocket)
            target, told = _target(one, websocket, token), _told(one, websocket, token)
            wait = self._manager.settings.run_wait
            await sockets.joined(websocket, target, told, address, wait)
        except (BridgeError, Refused) as error:
            await websocket.send_denial_response(answer_to(error))
        finally:
            self._joined -= 1

    async def _let_through(
        self, name: str, request: HTTPConnection
    ) -> tuple[Deployed, Address, str]:
        return await in_one_of(self._gate.threads, self._entered, name, request)

    def _entered(self, name: str, request: HTTPConnection) -> tuple[Deployed, Address, str]:
        """The service, where its server is, and the service's token if that has opened the door;
        credentials are looked at where it wants some."""
        one = self._manager.find(name)
        expose = one.options.expose if one is not None and is_exposed(one) else None
        if one is None or expose is None:
            raise Refused(404)
        token = self._let_in(name, request, expose.auth_type) if expose.set_auth else ""
        try:
            return one, address_of_server(self._manager, one), token
        except NotFoundError:
            raise Refused(404) from None
        except TargetUnavailable as error:
            raise Refused(502, f"{name} is not ready: {error.message}") from error

    def _let_in(self, name: str, request: HTTPConnection, kind: str) -> str:
        if kind != _FORWARD:
            header = request.headers.get("authorization", "")
            self._gate.let_in(name, header, address_of(request))
            return ""
        _, header = self._gate.opened(name, list(offered(name, request)), address_of(request))
        return token if is_service_token(token := bearer(header)) else ""


def _target(one: Deployed, request: HTTPConnection, token: str) -> bytes:
    """The path as the server knows it, as it was written, with the query but for the token."""
    path: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    if token:
        query = b"&".join(part for part in query.split(b"&") if part != b"token=" + token.encode())
    expose = one.options.expose
    if expose is None or not expose.rewrite_target:
        path = b"/" + b"/".join(path.split(b"/")[_BEFORE:]).lstrip(b"/")
    return path + (b"?" + query if query else b"")


def _told(one: Deployed, request: HTTPConnection, token: str) -> proxy.Headers:
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
        (b"x-forwarded-proto", request.url.scheme.replace("ws", "http").encode()),
    ]


def _other_cookies(name: str, header: str) -> str:
    """The cookies that are the server's own."""
    try:
        found = SimpleCookie(header)
    except CookieError:
        return ""
    found.pop(cookie_name(name), None)
    return "; ".join(f"{key}={one.coded_value}" for key, one in found.items())
