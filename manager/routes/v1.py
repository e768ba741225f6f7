"""`/api/v1`: what OSCAR's API does not have. Jobs across targets, why they are there, their cost.

Bodies are JSON, errors too: `{"error": …}`.
"""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

from fastapi import APIRouter
from fastapi import Query as Param
from starlette.responses import Response

from bridge.scheduler import as_json
from bridge.targets import JobState
from manager._http import NO_CONTENT, empty, json_answer
from manager.auth import Caller
from manager.core import Manager
from manager.cost import costs
from manager.estimates import estimates, targets
from manager.gate import Gate
from manager.jobs import Query, Sight, detail_view, job_view, read_states
from manager.metrics import read_window
from manager.threads import CapacityLimiter, in_one_of

__all__ = ["router"]

_PATH: Final = "/api/v1"
_DEAD: Final = f"{_PATH}/dead-letters"
_LONGEST: Final = 500
# As in `manager.routes.metrics`.
_REPORTS: Final = 2
Service = Annotated[str, Param(description="only of this service")]
State = Annotated[str, Param(description="states with commas between them: failed,dead")]
Target = Annotated[str, Param(description="only on this target")]
Page = Annotated[str, Param(description="`next_page` of the answer before")]
Limit = Annotated[int, Param(ge=1, description=f"most jobs in the answer, up to {_LONGEST}")]
Start = Annotated[str, Param(description="RFC 3339; a day before the end")]
End = Annotated[str, Param(description="RFC 3339; now")]


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module. Callers see the jobs of their services and those that they called."""
    routes = APIRouter(tags=["v1"])
    for part in (_jobs, _dead_letters, _services):
        part(routes, manager, gate)
    return routes


def _jobs(routes: APIRouter, manager: Manager, gate: Gate) -> None:
    size = manager.settings.page

    @routes.get(f"{_PATH}/jobs")
    def jobs(
        *,
        service: Service = "",
        state: State = "",
        target: Target = "",
        page: Page = "",
        limit: Limit = size,
        caller: Caller = gate.user,
    ) -> Response:
        """Jobs of all services, the newest first."""
        states = read_states(state)
        return _listed(manager, caller, Query(service, states, target, page, min(limit, _LONGEST)))

    @routes.get(_PATH + "/jobs/{job}")
    def job(job: str, caller: Caller = gate.user) -> Response:
        """One job: its way in time, and each decision with every candidate and why it was not."""
        return json_answer(detail_view(Sight(manager, caller).detail(job)))

    @routes.post(_PATH + "/jobs/{job}/cancel")
    def cancel(job: str, caller: Caller = gate.user) -> Response:
        """End a job; 409 when it is over."""
        return json_answer(job_view(Sight(manager, caller).cancel(job)))

    @routes.post(_PATH + "/jobs/{job}/replay", status_code=201)
    def replay(job: str, caller: Caller = gate.user) -> Response:
        """Make a new job of the same event."""
        return json_answer({"job": Sight(manager, caller).replay(job)}, 201)


def _dead_letters(routes: APIRouter, manager: Manager, gate: Gate) -> None:
    size = manager.settings.page

    @routes.get(_DEAD)
    def dead(
        service: Service = "", page: Page = "", limit: Limit = size, caller: Caller = gate.user
    ) -> Response:
        """Jobs that were given up, the newest first."""
        query = Query(service, (JobState.DEAD,), "", page, min(limit, _LONGEST))
        return _listed(manager, caller, query)

    @routes.post(f"{_DEAD}/redrive")
    def redrive_all(service: Service = "", caller: Caller = gate.user) -> Response:
        """Make new jobs in the place of dead ones; `more` says that there are others."""
        made, more = Sight(manager, caller).redrive_all(service, _LONGEST)
        return json_answer({"jobs": made, "more": more})

    @routes.delete(_DEAD, status_code=NO_CONTENT)
    def purge_all(service: Service = "", caller: Caller = gate.user) -> Response:
        """Put all dead jobs away."""
        Sight(manager, caller).purge_all(service)
        return empty(NO_CONTENT)

    @routes.post(_DEAD + "/{job}/redrive", status_code=201)
    def redrive(job: str, caller: Caller = gate.user) -> Response:
        """Make a new job in the place of a dead one: the same one however often it is asked for."""
        return json_answer({"job": Sight(manager, caller).redrive(job)}, 201)

    @routes.delete(_DEAD + "/{job}", status_code=NO_CONTENT)
    def purge(job: str, caller: Caller = gate.user) -> Response:
        """Put a dead job away."""
        Sight(manager, caller).purge(job)
        return empty(NO_CONTENT)


def _services(routes: APIRouter, manager: Manager, gate: Gate) -> None:
    reports = CapacityLimiter(_REPORTS)

    @routes.get(_PATH + "/services/{name}/plan")
    def plan(name: str, caller: Caller = gate.user) -> Response:
        """Where a job of the service would go now, and why not elsewhere."""
        return json_answer(as_json(manager.places.decision(gate.seen(name, caller).service)))

    @routes.post(_PATH + "/services/{name}/token")
    def rotate(name: str, caller: Caller = gate.user) -> Response:
        """Give the service a new token, which is in the answer; the old one ends at once."""
        made = manager.rotate(gate.owned(name, caller))
        return json_answer({"service": made.name, "token": made.token.reveal()})

    @routes.get(f"{_PATH}/targets")
    def places(caller: Caller = gate.user) -> Response:
        """Where jobs may run: how many run and wait there, and how many services are on their way
        there."""
        del caller
        return json_answer({"targets": targets(manager)})

    @routes.get(f"{_PATH}/estimates")
    def learned(service: Service = "", caller: Caller = gate.user) -> Response:
        """How long runs take by service and target, how sure that is, and how well it was foretold;
        how targets start, move data and fail; what was spent today and this month."""
        if service:
            gate.seen(service, caller)
        return json_answer(estimates(manager, caller, service))

    @routes.get(f"{_PATH}/cost")
    async def cost(start: Start = "", end: End = "", caller: Caller = gate.user) -> Response:
        """What jobs cost at list prices, by service and target."""
        window = read_window(start, end, time.time())
        return json_answer(await in_one_of(reports, costs, manager, caller, window))


def _listed(manager: Manager, caller: Caller, query: Query) -> Response:
    found, after = Sight(manager, caller).page(query)
    answer: dict[str, Any] = {"jobs": [job_view(record) for record in found]}
    return json_answer(answer | ({"next_page": after} if after else {}))
