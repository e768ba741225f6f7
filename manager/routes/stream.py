"""`/api/v1/events`: changes of jobs as they happen (Server-Sent Events)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from bridge.dispatch import JobEvent, JobRecord
from bridge.errors import TemporaryError
from manager.auth import Caller
from manager.calls import exact
from manager.core import Manager
from manager.feed import Feed, Place
from manager.gate import Gate
from manager.jobs import Sight

__all__ = ["router"]

# Streams at once, and of one user.
_MOST: Final = 64
_EACH: Final = 16
_BATCH: Final = 500
# Seconds: between two looks whether we stop, until a line without news, until credentials must be
# shown again.
_LOOK: Final = 0.5
_BEAT: Final = 15.0
_LONGEST: Final = 600.0
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
_LATE: Final = "some changes are left out; what is known of the newest jobs follows"
Service = Annotated[str, Query(description="only of this service")]
Last = Annotated[str, Header(alias="Last-Event-ID", description="go on behind this event")]


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module."""
    routes = APIRouter(tags=["v1"])
    feed = Feed(manager.parts.jobs, time.time)
    open_ = Counter[str]()

    @routes.get("/api/v1/events", response_class=StreamingResponse, responses=_EVENTS)
    async def events(
        service: Service = "", last: Last = "", caller: Caller = gate.user
    ) -> Response:
        """Changes of the caller's jobs, without end. `Last-Event-ID` goes on where it broke off.

        An event `gap` says that changes are left out: the stream was read too slowly, or it goes on
        at another process. After ten minutes the stream ends, and credentials are looked at again.
        """
        if service:
            await run_in_threadpool(gate.seen, service, caller)
        if open_.total() >= _MOST or open_[caller.uid] >= _EACH:
            raise TemporaryError("too many streams are open already", delay=_BEAT)
        stream = _Stream(manager, feed, Sight(manager, caller), service)
        return StreamingResponse(
            _counted(open_, caller.uid, stream.read(Place.read(last))),
            media_type="text/event-stream",
            headers=_HEADERS,
        )

    return routes


async def _counted(open_: Counter[str], uid: str, lines: AsyncIterator[str]) -> AsyncIterator[str]:
    open_[uid] += 1
    try:
        async for line in lines:
            yield line
    finally:
        open_[uid] -= 1
        if not open_[uid]:
            del open_[uid]


class _Stream:
    """One reader's way through the feed. It holds one batch, however slowly it is read."""

    def __init__(self, manager: Manager, feed: Feed, sight: Sight, service: str) -> None:
        self._manager = manager
        self._feed = feed
        self._sight = sight
        self._service = service

    async def read(self, last: Place | None) -> AsyncIterator[str]:
        """The lines of the stream."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # The loop has ended.
                loop.call_soon_threadsafe(news.set)

        unfollow = self._feed.follow(wake)
        try:
            # What was missed is read after this: nothing falls between.
            place = last if last and self._feed.knows(last) else self._feed.place
            yield f"retry: 2000\nid: {place}\n\n"
            if last is not None and place is not last:
                yield await run_in_threadpool(self._missed, last.at)
            end, beat = time.monotonic() + _LONGEST, time.monotonic() + _BEAT
            while not self._manager.stopping.is_set() and time.monotonic() < end:
                news.clear()
                found, after, lost = self._feed.after(place, _BATCH)
                if lost:
                    yield await run_in_threadpool(self._missed, place.at)
                if text := await run_in_threadpool(self._told, found, after):
                    yield text
                elif time.monotonic() >= beat:
                    yield f": {exact(time.time())}\n\n"
                    beat = time.monotonic() + _BEAT
                place = after
                if len(found) < _BATCH:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(news.wait(), _LOOK)
        finally:
            unfollow()

    def _told(self, found: list[JobEvent], after: Place) -> str:
        """The changes that may be seen; the last one is where to go on."""
        his = [one for one in found if self._is_his(one.service, one.job, one.at)]
        if not his:
            return ""
        texts = [_text(_of_event(one)) for one in his]
        return "".join([*texts[:-1], f"id: {after}\n{texts[-1]}"])

    def _missed(self, since: float) -> str:
        """What the newest jobs became after a time, as their records have it."""
        records = self._manager.parts.jobs.jobs(shown=True, newest=True, limit=2 * _BATCH)
        late = [one for one in records if _changed(one) > since]
        his = [one for one in late if self._is_his(one.service, one.id, one.accepted)]
        return "".join(
            [
                f"event: gap\ndata: {json.dumps({'since': exact(since), 'reason': _LATE})}\n\n",
                *(_text(_of_record(one)) for one in sorted(his, key=_changed)),
            ]
        )

    def _is_his(self, service: str, job: str, at: float) -> bool:
        asked = partial(self._manager.parts.jobs.job, job)
        return self._service in ("", service) and self._sight.may_see(service, at, asked)


def _text(value: dict[str, Any]) -> str:
    known = {key: item for key, item in value.items() if item not in (None, "")}
    return f"event: job\ndata: {json.dumps(known)}\n\n"


def _of_event(one: JobEvent) -> dict[str, Any]:
    return {
        "job": one.job,
        "service": one.service,
        "state": one.state,
        "previous": one.previous,
        "target": one.target,
        "attempt": one.attempt,
        "exit_code": one.exit_code,
        "reason": one.reason,
        "at": exact(one.at),
    }


def _of_record(one: JobRecord) -> dict[str, Any]:
    return {
        "job": one.id,
        "service": one.service,
        "state": one.state,
        "target": one.target,
        "attempt": one.attempt,
        "exit_code": one.exit_code,
        "reason": one.reason,
        "at": exact(_changed(one)),
    }


def _times(one: JobRecord) -> Iterator[float]:
    yield one.accepted
    yield from filter(None, (one.placed, one.submitted, one.started, one.ended))


def _changed(one: JobRecord) -> float:
    return max(_times(one))
