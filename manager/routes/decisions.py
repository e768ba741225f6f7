"""`/api/v1`, decisions: why jobs are where they are, and what other policies would have done."""

from __future__ import annotations

import threading
import time
from typing import Annotated, Final

from fastapi import APIRouter
from fastapi import Query as Param
from starlette.responses import Response

from bridge.errors import TemporaryError
from bridge.operate.audit import (
    MOST,
    explained_job,
    explained_now,
    history,
    report_json,
)
from bridge.scheduler import replay
from manager._http import json_answer
from manager.auth import Caller
from manager.core import Manager
from manager.gate import Gate
from manager.jobs import Sight
from manager.metrics import read_window

__all__ = ["router"]

_PATH: Final = "/api/v1"
_AGAIN: Final = 5.0
Policy = Annotated[str, Param(description="decide again with it; without it, only trials")]
Service = Annotated[str, Param(description="only of this service")]
Start = Annotated[str, Param(description="RFC 3339; a day before now")]
Limit = Annotated[int, Param(ge=1, le=MOST, description="most decisions, the newest")]


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module. Callers see the jobs of their services and those that they called."""
    routes = APIRouter(tags=["v1"])
    for part in (_explained, _compared):
        part(routes, manager, gate)
    return routes


def _explained(routes: APIRouter, manager: Manager, gate: Gate) -> None:
    @routes.get(_PATH + "/jobs/{job}/decision")
    def decision(job: str, caller: Caller = gate.user) -> Response:
        """A job's decisions by attempt, the last one counts, with what its service's file says,
        and what became of the job."""
        detail = Sight(manager, caller).detail(job)
        one = manager.find(detail.job.service)
        return json_answer(explained_job(detail, one.service if one else None).as_json())

    @routes.get(_PATH + "/services/{name}/decision")
    def now(name: str, caller: Caller = gate.user) -> Response:
        """The same for the decision that a job of the service would get now."""
        service = gate.seen(name, caller).service
        found = explained_now(service, manager.places.decision(service))
        return json_answer(found.as_json())


def _compared(routes: APIRouter, manager: Manager, gate: Gate) -> None:
    # Thousands of decisions are seconds of work, which jobs would wait for.
    one_at_a_time = threading.Lock()

    @routes.get(f"{_PATH}/policies/compare")
    def compare(
        policy: Policy = "",
        service: Service = "",
        start: Start = "",
        limit: Limit = MOST,
        caller: Caller = gate.user,
    ) -> Response:
        """What a policy would have done with the jobs of that time, and what was on trial.

        Nothing runs again: only decisions are taken again, one such request at a time. Times and
        costs are sums.
        """
        since = read_window(start, "", time.time()).start
        sight = Sight(manager, caller)
        if not one_at_a_time.acquire(blocking=False):
            raise TemporaryError("another comparison is under way", delay=_AGAIN)
        try:
            past = history(sight.newest(service), manager.parts.jobs.detail, since, limit)
            services = {one.name: one.service for one in manager.services()}
            return json_answer(report_json(replay(past, services, policy), policy, since))
        finally:
            one_at_a_time.release()
