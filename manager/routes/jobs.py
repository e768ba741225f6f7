"""`/system/logs`: the jobs of a service, what they said, and the manager's own log of calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from bridge.dispatch import JobRecord
from bridge.targets import JobState, Target
from bridge.targets.protocol import KeepsLogs
from manager._http import NO_CONTENT, empty, is_true, json_answer
from manager.access import owns
from manager.auth import Caller, Refused
from manager.calls import rfc3339
from manager.core import Manager
from manager.gate import Gate
from manager.jobs import job_log
from manager.status import PHASES

__all__ = ["router"]

_PATH: Final = "/system/logs/{name}"
_BLOCK: Final = 1 << 16
Page = Annotated[str, Query(description="`next_page` of the answer before")]
Flag = Annotated[str, Query(description="true or false")]


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module."""
    routes = APIRouter(tags=["jobs"])
    for part in (_of_service, _one_job):
        part(routes, manager, gate)
    return routes


def _whose(gate: Gate, name: str, caller: Caller) -> str:
    """Whose jobs of the service the caller may see: "" for everyone's."""
    return "" if owns(caller, gate.seen(name, caller)) else caller.uid


def _of_service(routes: APIRouter, manager: Manager, gate: Gate) -> None:
    jobs, size = manager.parts.jobs, manager.settings.page

    @routes.get("/system/logs")
    def calls(timestamps: Flag = "", caller: Caller = gate.admin) -> Response:
        """The newest calls of services, as this process has answered them."""
        shown = [e.as_json(timestamps=is_true(timestamps)) for e in manager.calls.newest()]
        return json_answer({"logs": shown})

    @routes.get(_PATH)
    def read_all(name: str, page: Page = "", caller: Caller = gate.user) -> Response:
        """A page of the service's jobs, the oldest first; others than its owner see their own."""
        who = _whose(gate, name, caller)
        if page and jobs.job(page) is None:
            raise Refused(400, "there is no such page")
        found = jobs.jobs(service=name, caller=who, shown=True, after=page, limit=size)
        answer: dict[str, Any] = {"jobs": {record.id: _entry(record) for record in found}}
        if found and (left := jobs.left(name, found[-1].id, caller=who)):
            answer |= {"next_page": found[-1].id, "remaining_jobs": left}
        return json_answer(answer)

    @routes.delete(_PATH, status_code=NO_CONTENT)
    def delete_all(
        name: str, every: Annotated[str, Query(alias="all")] = "", caller: Caller = gate.user
    ) -> Response:
        """Put away the jobs that have succeeded, or with `all` every job; open ones are ended."""
        gate.owned(name, caller)
        if is_true(every):
            manager.dispatcher.cancel_all(name)
            jobs.hide(name)
        else:
            jobs.hide(name, states=[JobState.SUCCEEDED])
        return empty(NO_CONTENT)


def _one_job(routes: APIRouter, manager: Manager, gate: Gate) -> None:
    def one_of(name: str, job: str, caller: Caller) -> JobRecord:
        """A job that the caller may see and end; raises Refused."""
        who = _whose(gate, name, caller)
        record = manager.parts.jobs.job(job)
        known = record is not None and record.service == name and not record.hidden
        if record is None or not known or (who and record.caller != who):
            raise Refused(404, f"the service {name} has no job {job}")
        return record

    @routes.get(_PATH + "/{job}", response_class=PlainTextResponse)
    def read(name: str, job: str, timestamps: Flag = "", caller: Caller = gate.user) -> Response:
        """What a job has said so far. Lines have no times of their own: all get its start's."""
        record = one_of(name, job, caller)
        target = manager.parts.targets.get(record.target)
        lines = job_log(target, record)
        before = f"{_nanos(record.started or record.accepted)} " if is_true(timestamps) else ""
        blocks = _blocks(lines, before)
        # Read before the answer begins: what fails has a status of its own.
        first = next(blocks)
        if not first and record.state.final and not _is_kept(target, job):
            raise Refused(404, f"the log of {job} is not there any more")
        return StreamingResponse(chain([first], blocks), media_type="text/plain")

    @routes.delete(_PATH + "/{job}", status_code=NO_CONTENT)
    def delete(name: str, job: str, caller: Caller = gate.user) -> Response:
        """Put a job away; an open one is ended."""
        record = one_of(name, job, caller)
        manager.dispatcher.cancel(record.id)
        manager.parts.jobs.hide(name, job=record.id)
        return empty(NO_CONTENT)


def _is_kept(target: Target | None, job: str) -> bool:
    """Whether an empty log is one of a job that has said nothing."""
    return target is not None and (not isinstance(target, KeepsLogs) or target.has_log(job))


def _blocks(lines: Iterable[str], before: str) -> Iterator[bytes]:
    """The lines in blocks, at least one; a log may be larger than the memory."""
    block = bytearray()
    for line in lines:
        block += f"{before}{line}\n".encode()
        if len(block) >= _BLOCK:
            yield bytes(block)
            block.clear()
    yield bytes(block)


def _entry(record: JobRecord) -> dict[str, str]:
    times = {"start_time": record.started, "finish_time": record.ended}
    found = {"status": PHASES[record.state], "creation_time": rfc3339(record.accepted)}
    return found | {name: rfc3339(at) for name, at in times.items() if at is not None}


def _nanos(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
