"""`/system/services/{name}/deployment`, and starting and stopping what is exposed."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from manager._http import json_answer
from manager.auth import Caller
from manager.core import Manager
from manager.deployment import Change, change, log, summary
from manager.gate import Gate
from manager.service import Deployed

__all__ = ["router"]

_ONE: Final = "/system/services/{name}"
_TAIL: Final = 200
Stamped = Annotated[bool, Query(description="give each line its time")]
Tail = Annotated[int, Query(alias="tailLines", description="how many lines, at most 1000")]


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module."""
    routes = APIRouter(tags=["services"])

    def named(one: Deployed, found: dict[str, Any]) -> Response:
        facts = {"service_name": one.name, "namespace": manager.settings.services_namespace}
        return json_answer(facts | found)

    @routes.get(f"{_ONE}/deployment")
    def deployment(name: str, caller: Caller = gate.user) -> Response:
        """How the service stands."""
        one = gate.seen(name, caller)
        return named(one, summary(manager, one))

    @routes.get(f"{_ONE}/deployment/logs")
    def logs(
        name: str, timestamps: Stamped = False, tail: Tail = _TAIL, caller: Caller = gate.user
    ) -> Response:
        """What the copies of the service have said last: in it may be what others have sent."""
        gate.seen(name, caller)
        one = gate.owned(name, caller)
        return json_answer(log(manager, one, timestamps=timestamps, tail=tail))

    def changing(what: Change) -> None:
        def changed(name: str, caller: Caller = gate.user) -> Response:
            one = gate.owned(name, caller)
            return named(one, change(manager, one, what))

        changed.__doc__ = f"{what.capitalize()} an exposed service."
        routes.post(f"{_ONE}/{what}", name=what)(changed)

    for what in _CHANGES:
        changing(what)
    return routes


_CHANGES: Final[tuple[Change, ...]] = ("start", "stop", "restart")
