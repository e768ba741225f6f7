"""`/system/metrics`: how often services were asked for, and what they used."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from manager import metrics
from manager._http import is_true, json_answer
from manager.auth import Caller
from manager.core import Manager
from manager.gate import Gate
from manager.threads import CapacityLimiter, in_one_of

__all__ = ["router"]

_PATH: Final = "/system/metrics"
# To add up many jobs takes long, and is done for one at a time: the rest must not wait with them.
_REPORTS: Final = 2
_TABLE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}}
}
Start = Annotated[str, Query(description="RFC 3339; a day before the end")]
End = Annotated[str, Query(description="RFC 3339; now")]
GroupBy = Annotated[str, Query(description="service, user or country")]
Users = Annotated[str, Query(description="true names the users of each service")]
Form = Annotated[str, Query(alias="format", description="json or csv")]
Metric = Annotated[str, Query(description="only this one")]


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module. What others than the administrator get is of the services that they see."""
    routes, reports = APIRouter(tags=["metrics"]), CapacityLimiter(_REPORTS)

    @routes.get(_PATH)
    async def summary(start: Start = "", end: End = "", caller: Caller = gate.user) -> Response:
        """Everything together."""
        window = metrics.read_window(start, end, time.time())
        return json_answer(await in_one_of(reports, metrics.summary, manager, caller, window))

    @routes.get(f"{_PATH}/breakdown", responses=_TABLE)
    async def breakdown(
        *,
        group_by: GroupBy = "",
        start: Start = "",
        end: End = "",
        include_users: Users = "",
        form: Form = "",
        caller: Caller = gate.user,
    ) -> Response:
        """By service, user or country."""
        users = is_true(include_users)
        by = metrics.read_grouping(group_by, form, users=users)
        window = metrics.read_window(start, end, time.time())
        work = partial(metrics.breakdown, manager, caller, window, by, users=users)
        found = await in_one_of(reports, work)
        if form == "csv":
            return Response(metrics.table(found), media_type="text/csv")
        return json_answer(found)

    @routes.get(_PATH + "/{name}")
    async def service(
        name: str, metric: Metric = "", start: Start = "", end: End = "", caller: Caller = gate.user
    ) -> Response:
        """One service."""
        window = metrics.read_window(start, end, time.time())

        def work() -> dict[str, Any]:
            one = gate.seen(name, caller)
            if metric:
                return metrics.service_metric(manager, caller, one, window, metric)
            return metrics.service_metrics(manager, caller, one, window)

        return json_answer(await in_one_of(reports, work))

    return routes
