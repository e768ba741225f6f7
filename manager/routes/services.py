"""`/system/services`: create, read, change and delete services."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from bridge.fdl import limits
from manager._http import JSON_BODY, NO_CONTENT, empty, json_answer, object_of, text_answer
from manager.access import may_see, owns
from manager.auth import Caller, Refused
from manager.core import Manager
from manager.deployment import summary
from manager.federation import Federations
from manager.gate import Gate
from manager.service import Deployed, read_source
from manager.view import Reader, view

__all__ = ["router"]

_PATH: Final = "/system/services"
_GO: Final = "Go-http-client"
Include = Annotated[str, Query(description="`deployment` adds how the service stands")]


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module."""
    routes = APIRouter(tags=["services"])
    settings = manager.settings
    federations = Federations(manager)

    def shown(one: Deployed, caller: Caller, request: Request, include: str) -> dict[str, Any]:
        go = request.headers.get("user-agent", "").startswith(_GO)
        reader = Reader(owner=owns(caller, one), lone_port=go and settings.lone_ports)
        platform = manager.parts.buckets.provider()[0]
        found = view(one, reader, platform=platform, namespace=settings.services_namespace)
        if "deployment" in include.split(","):
            found["deployment"] = summary(manager, one)
        return found

    @routes.post(_PATH, status_code=201, response_class=Response, openapi_extra=JSON_BODY)
    async def create(request: Request, caller: Caller = gate.user) -> Response:
        """Make a service. The body is an entry of an FDL file, with the script's text."""
        source = read_source(await object_of(request, settings.max_service))
        made = await run_in_threadpool(manager.create, caller, source)
        # The answer has no body: what did not reach a member is in the log.
        await run_in_threadpool(federations.tell, made)
        return empty(201)

    @routes.put(_PATH, status_code=NO_CONTENT, openapi_extra=JSON_BODY)
    async def update(request: Request, caller: Caller = gate.user) -> Response:
        """Change the service that the body names. Secrets that are blank or left out stay.

        200 with a warning when members of its federation do not have the change.
        """
        source = read_source(await object_of(request, settings.max_service))
        name = str(source["service"].get("name", ""))
        old = await run_in_threadpool(gate.owned, name, caller)
        made = await run_in_threadpool(manager.update, caller, old, source)
        if warnings := await run_in_threadpool(federations.tell, made):
            return text_answer(f"warning: {'; '.join(warnings)}")
        return empty(NO_CONTENT)

    @routes.get(_PATH)
    def read_all(request: Request, include: Include = "", caller: Caller = gate.user) -> Response:
        """All services that the caller may see."""
        seen = (one for one in manager.services() if may_see(caller, one))
        return json_answer([shown(one, caller, request, include) for one in seen])

    @routes.get(_PATH + "/{name}")
    def read(
        name: str, request: Request, include: Include = "", caller: Caller = gate.user
    ) -> Response:
        """One service, with its token."""
        if limits()["oscar.name"].broken_by(name):
            raise Refused(400, f"{name!r} is not a name of a service")
        return json_answer(shown(gate.seen(name, caller), caller, request, include))

    @routes.delete(_PATH + "/{name}", status_code=NO_CONTENT)
    def delete(name: str, caller: Caller = gate.user) -> Response:
        """Delete a service. What is in its buckets stays."""
        manager.delete(gate.owned(name, caller).name)
        return empty(NO_CONTENT)

    return routes
