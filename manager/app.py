"""The ASGI application: OSCAR's routes over a `Manager`."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from bridge import __version__
from manager._http import Tidy, handle_errors
from manager.auth import Authenticator, Basic
from manager.core import Manager
from manager.gate import Gate
from manager.oidc import Oidc
from manager.routes import (
    buckets,
    deployments,
    events,
    forward,
    invocations,
    jobs,
    quotas,
    services,
    system,
)

__all__ = ["create_app"]

_DESCRIPTION: Final = "OSCAR's REST API: services, their jobs, and the buckets that feed them."


def create_app(manager: Manager) -> FastAPI:
    """The application of a manager, which is started and closed by the caller."""
    settings = manager.settings
    ways: list[Authenticator] = [Basic(settings.user, settings.password)]
    if settings.oidc is not None:
        ways.append(Oidc(settings.oidc))
    gate = Gate(manager, ways)
    app = FastAPI(
        title="OSCAR Bridge",
        description=_DESCRIPTION,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for part in (
        system,
        services,
        deployments,
        forward,
        invocations,
        jobs,
        buckets,
        quotas,
        events,
    ):
        app.include_router(part.router(manager, gate))
    handle_errors(app)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(settings.origins),
        allow_methods=["*"],
        allow_headers=["Authorization", "Content-Type"],
    )
    app.add_middleware(Tidy)
    app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.proxies))
    return app
