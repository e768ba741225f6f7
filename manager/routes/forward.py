"""`/system/services/{name}/auth`: what an ingress asks before it lets somebody in to a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Request
from starlette.requests import HTTPConnection
from starlette.responses import Response

from manager._http import empty
from manager.auth import Refused, bearer, is_service_token
from manager.core import Manager
from manager.deployment import is_exposed
from manager.gate import Gate, address_of

__all__ = ["cookie_name", "keep", "offered", "router"]

_OK: Final = 200


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module."""
    routes = APIRouter(tags=["services"])

    @routes.get("/system/services/{name}/auth", response_class=Response)
    def auth(name: str, request: Request) -> Response:
        """Whether a request to an exposed service may pass: with a user's credentials or with the
        service's token, which may also be in the query and is then kept as a cookie."""
        one, header = gate.opened(name, list(offered(name, request)), address_of(request))
        if not is_exposed(one):
            raise Refused(404)
        answer = empty(_OK)
        if is_service_token(token := bearer(header)):
            keep(answer, name, token)
        return answer

    return routes


def offered(name: str, request: HTTPConnection) -> Iterator[str]:
    """The credentials of a request in the form of a header: a server may use the header itself."""
    if header := request.headers.get("authorization", ""):
        yield header
    forwarded = parse_qs(urlsplit(request.headers.get("x-forwarded-uri", "")).query)
    tokens = (
        *request.query_params.getlist("token"),
        *forwarded.get("token", []),
        request.cookies.get(cookie_name(name), ""),
    )
    yield from (f"Bearer {token}" for token in tokens if is_service_token(token))


def keep(answer: Response, name: str, token: str) -> None:
    """Let a browser show a service's token from now on by a cookie, on the service's pages only."""
    path = f"/system/services/{name}/exposed"
    answer.set_cookie(cookie_name(name), token, path=path, httponly=True, samesite="lax")


def cookie_name(name: str) -> str:
    """The cookie that keeps a service's token."""
    return f"oscar_service_{name.replace('-', '_')}_auth"
