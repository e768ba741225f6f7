"""`/system/services`: create, read, change and delete services."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
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
from manager.threads import CapacityLimiter, in_one_of
from manager.view import Reader, view

__all__ = ["router"]

_PATH: Final = "/system/services"
_GO: Final = "Go-http-client"
# Changes wait for one another, and for members elsewhere; who reads must not wait with them.
_CHANGES: Final = 8
Include = Annotated[str, Query(description="`deployment` adds how the service stands")]


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module."""
    routes = APIRouter(tags=["services"])
    for part in (_writing, _reading):
        part(routes, manager, gate)
    return routes


def _writing(routes: APIRouter, manager: Manager, gate: Gate) -> None:
    federations, most = Federations(manager), manager.settings.max_service
    changes, members = CapacityLimiter(_CHANGES), CapacityLimiter(_CHANGES)

    @routes.post(_PATH, status_code=201, response_class=Response, openapi_extra=JSON_BODY)
    async def create(request: Request, caller: Caller = gate.user) -> Response:
        """Make a service. The body is an entry of an FDL file, with the script's text."""
        source = read_source(await object_of(request, most))
        made = await in_one_of(changes, manager.create, caller, source)
        # The answer has no body: what did not reach a member is in the log.
        await in_one_of(members, federations.tell, made)
        return empty(201)

    @routes.put(_PATH, status_code=NO_CONTENT, openapi_extra=JSON_BODY)
    async def update(request: Request, caller: Caller = gate.user) -> Response:
        """Change the service that the body names. Secrets that are blank or left out stay.

        200 with a warning when members of its federation do not have the change.
        """
        source = read_source(await object_of(request, most))
        name = str(source["service"].get("name", ""))

        def change() -> Deployed:
            return manager.update(caller, gate.owned(name, caller), source)

        made = await in_one_of(changes, change)
        if warnings := await in_one_of(members, federations.tell, made):
            return text_answer(f"warning: {'; '.join(warnings)}")
        return empty(NO_CONTENT)

    @routes.delete(_PATH + "/{name}", status_code=NO_CONTENT)
    async def delete(name: str, caller: Caller = gate.user) -> Response:
        """Delete a service. What is in its buckets stays."""

        def work() -> None:
            manager.delete(gate.owned(name, caller).name)

        await in_one_of(changes, work)
        return empty(NO_CONTENT)


def _reading(routes: APIRouter, manager: Manager, gate: Gate) -> None:
    shown = partial(_shown, manager)

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


def _shown(
    manager: Manager, one: Deployed, caller: Caller, request: Request, include: str
) -> dict[str, Any]:
    settings = manager.settings
    go = request.headers.get("user-agent", "").startswith(_GO)
    reader = Reader(owner=owns(caller, one), lone_port=go and settings.lone_ports)
    platform = manager.parts.buckets.provider()[0]
    found = view(one, reader, platform=platform, namespace=settings.services_namespace)
    if "deployment" in include.split(","):
        found["deployment"] = summary(manager, one)
    return found
