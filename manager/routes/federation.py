"""`/system/federation/{name}`: the members that share the jobs of a service."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from manager._http import JSON_BODY, json_answer, object_of, text_answer
from manager.auth import Caller
from manager.core import Manager
from manager.federation import Change, Federations, read_wish
from manager.gate import Gate
from manager.threads import CapacityLimiter, in_one_of

__all__ = ["router"]

_PATH: Final = "/system/federation/{name}"
# They wait for one another, and for members elsewhere.
_CHANGES: Final = 4


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module."""
    routes = APIRouter(tags=["federation"])
    federations, changes = Federations(manager), CapacityLimiter(_CHANGES)

    async def changed(change: Change, name: str, request: Request, caller: Caller) -> Response:
        await in_one_of(gate.threads, gate.owned, name, caller)
        wish = read_wish(await object_of(request, manager.settings.max_service))
        made, warnings = await in_one_of(changes, federations.change, caller, name, change, wish)
        if warnings:
            said = "; ".join(warnings)
            return text_answer(f"warning: the members are stored, but not all of it worked: {said}")
        return json_answer(federations.shown(made, caller))

    @routes.get(_PATH)
    def read(name: str, caller: Caller = gate.user) -> Response:
        """The members and how they are joined."""
        return json_answer(federations.shown(gate.seen(name, caller), caller))

    @routes.post(_PATH, openapi_extra=JSON_BODY)
    async def add(name: str, request: Request, caller: Caller = gate.user) -> Response:
        """Add members. One that is there already is replaced."""
        return await changed("add", name, request, caller)

    @routes.put(_PATH, openapi_extra=JSON_BODY)
    async def replace(name: str, request: Request, caller: Caller = gate.user) -> Response:
        """Replace each listed member by the first of `update`."""
        return await changed("replace", name, request, caller)

    @routes.delete(_PATH, openapi_extra=JSON_BODY)
    async def remove(name: str, request: Request, caller: Caller = gate.user) -> Response:
        """Remove members; with `delete`, services of this cluster that they are, too."""
        return await changed("remove", name, request, caller)

    return routes
