"""The ASGI application: OSCAR's routes over a `Manager`."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from bridge import __version__
from manager._http import Tidy, handle_errors
from manager.auth import Authenticator, Basic
from manager.bodies import Bodies
from manager.core import Manager
from manager.described import describe
from manager.gate import Gate
from manager.oidc import Oidc
from manager.routes import (
    buckets,
    decisions,
    deployments,
    events,
    exposed,
    federation,
    forward,
    invocations,
    jobs,
    metrics,
    quotas,
    services,
    stream,
    system,
    v1,
    volumes,
    watching,
)
from manager.telemetry import Measured, Telemetry

__all__ = ["create_app"]

# In the order in which a request is compared with them: first what comes most often.
_PARTS: Final = (
    invocations,
    system,
    services,
    deployments,
    forward,
    exposed,
    jobs,
    buckets,
    metrics,
    federation,
    volumes,
    quotas,
    v1,
    decisions,
    stream,
)
_DESCRIPTION: Final = "OSCAR's REST API: services, their jobs, and the buckets that feed them."
_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"description": "Refused. The body says why, as text; it may be empty."},
    502: {"description": "The service gave no answer in time, or a broken one."},
    503: {"description": "Not now; `Retry-After` says when to ask again."},
}


class _Application(FastAPI):
    """FastAPI behind a door: what it does for each request takes longer than to take an event."""

    door: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        await self.door(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """The description of the interface; made once."""
        if self.openapi_schema is None:
            describe(super().openapi())
        assert self.openapi_schema is not None
        return self.openapi_schema

    async def beyond(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What the door lets through to all routes."""
        await super().__call__(scope, receive, send)


def create_app(manager: Manager) -> FastAPI:
    """The application of a manager, which is started and closed by the caller."""
    settings = manager.settings
    ways: list[Authenticator] = [Basic(settings.user, settings.password)]
    if settings.oidc is not None:
        ways.append(Oidc(settings.oidc))
    gate = Gate(manager, ways)
    app = _Application(
        title="OSCAR Bridge",
        description=_DESCRIPTION,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=_ERRORS,
    )
    telemetry = Telemetry(manager)
    for part in _PARTS:
        app.include_router(part.router(manager, gate))
    app.include_router(watching.router(manager, gate, telemetry))
    take = events.taking(manager)
    app.include_router(events.router(take, gate))
    door = events.Door(app.beyond, gate, take, partial(telemetry.answered, "events"))
    app.door = Bodies(door, settings.max_held)
    handle_errors(app)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(settings.origins),
        allow_methods=["*"],
        allow_headers=["Authorization", "Content-Type", "Last-Event-ID"],
    )
    app.add_middleware(Measured, telemetry=telemetry)
    app.add_middleware(Tidy)
    app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.proxies))
    return app
