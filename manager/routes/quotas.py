"""`/system/quotas`: how much users may have, and have."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from manager._http import json_answer, object_of
from manager.auth import Caller, Refused
from manager.core import Manager
from manager.gate import Gate
from manager.quota import read_quota, shown
from manager.volumes import Volumery, held

__all__ = ["router"]

_PATH: Final = "/system/quotas/user"


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module."""
    routes = APIRouter(tags=["quotas"])
    quotas = manager.quotas

    def answer(uid: str) -> Response:
        volumes = held(manager.parts.targets.values())
        sizes = Volumery(volumes, manager.services(), "").sizes(uid) if volumes else []
        return json_answer(shown(uid, quotas.of(uid), quotas.used(uid, sizes)))

    @routes.get(_PATH)
    def own(caller: Caller = gate.user) -> Response:
        """The caller's own quota. The administrator has none."""
        if caller.admin:
            raise Refused(401, "the administrator has no quota")
        return answer(caller.uid)

    @routes.get(_PATH + "/{name:path}")
    def read(name: str, caller: Caller = gate.admin) -> Response:
        """A user's quota."""
        return answer(name)

    @routes.put(_PATH + "/{name:path}")
    async def change(name: str, request: Request, caller: Caller = gate.admin) -> Response:
        """Change what the body names of a user's quota."""
        body = await object_of(request, manager.settings.max_service)

        def put() -> Response:
            quotas.put(name, read_quota(body, quotas.of(name)))
            return answer(name)

        return await run_in_threadpool(put)

    return routes
