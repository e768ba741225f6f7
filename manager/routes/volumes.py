"""`/system/volumes`: volumes that services mount by name."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from manager._http import JSON_BODY, NO_CONTENT, empty, json_answer, object_of
from manager.auth import Caller, Refused
from manager.core import Manager
from manager.gate import Gate
from manager.threads import CapacityLimiter, in_one_of
from manager.volumes import Volumery, held, read_volume

__all__ = ["router"]

_PATH: Final = "/system/volumes"


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module."""
    routes = APIRouter(tags=["volumes"])
    settings = manager.settings
    volumes, changes = held(manager.parts.targets.values()), CapacityLimiter(1)

    def there() -> Volumery:
        if volumes is None:
            raise Refused(404, "404 page not found")
        return Volumery(volumes, manager.services(), settings.services_namespace)

    @routes.get(_PATH)
    def read_all(caller: Caller = gate.user) -> Response:
        """The caller's volumes. 404 where no place of services has volumes."""
        return json_answer(there().seen(caller))

    @routes.post(_PATH, status_code=201, openapi_extra=JSON_BODY)
    async def create(request: Request, caller: Caller = gate.user) -> Response:
        """Make a volume of a name and a size."""
        if volumes is None:
            there()
        wish = read_volume(await object_of(request, settings.max_service))

        def make() -> dict[str, Any]:
            # One after the other, with services too: else two would fit where one does.
            with manager.parts.state.exclusive():
                return there().create(caller, wish, manager.quotas)

        return json_answer(await in_one_of(changes, make), 201)

    @routes.get(_PATH + "/{name}")
    def read(name: str, caller: Caller = gate.user) -> Response:
        """One volume, and what has it mounted."""
        return json_answer(there().one(caller, name))

    @routes.delete(_PATH + "/{name}", status_code=NO_CONTENT)
    def delete(name: str, caller: Caller = gate.user) -> Response:
        """Delete a volume with what is in it; 400 while a service has it mounted."""
        there().delete(caller, name)
        return empty(NO_CONTENT)

    return routes
