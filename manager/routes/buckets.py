"""`/system/buckets`: buckets, what is in them, and URLs to their objects."""

from __future__ import annotations

import time
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from bridge.errors import UsageError
from manager._http import JSON_BODY, NO_CONTENT, empty, json_answer, object_of
from manager.auth import Caller
from manager.bucketing import Bucketing, read_presign, read_wish
from manager.core import Manager
from manager.gate import Gate
from manager.threads import CapacityLimiter, in_one_of

__all__ = ["router"]

_PATH: Final = "/system/buckets"
# To empty a bucket takes as long as there are objects in it: who reads must not wait for that.
_CHANGES: Final = 8
Page = Annotated[str, Query(description="`next_page` of the answer before")]
Limit = Annotated[str, Query(description="most objects in the answer")]


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module."""
    routes = APIRouter(tags=["buckets"])
    parts = manager.parts
    buckets = Bucketing(parts.buckets, parts.state, manager.accounts, manager.quotas)
    _writing(routes, buckets, manager.settings.max_service, gate)
    _reading(routes, buckets, manager.settings.page, gate)
    return routes


def _writing(routes: APIRouter, buckets: Bucketing, most: int, gate: Gate) -> None:
    changes, ends = CapacityLimiter(_CHANGES), CapacityLimiter(_CHANGES)

    @routes.post(_PATH, status_code=201, response_class=Response, openapi_extra=JSON_BODY)
    async def create(request: Request, caller: Caller = gate.user) -> Response:
        """Make a bucket."""
        wish = read_wish(await object_of(request, most))
        await in_one_of(changes, buckets.create, caller, wish)
        return empty(201)

    @routes.put(_PATH, status_code=NO_CONTENT, openapi_extra=JSON_BODY)
    async def update(request: Request, caller: Caller = gate.user) -> Response:
        """Change who may look into a bucket."""
        wish = read_wish(await object_of(request, most))
        await in_one_of(changes, buckets.update, caller, wish)
        return empty(NO_CONTENT)

    @routes.post(_PATH + "/{name}/presign", openapi_extra=JSON_BODY)
    async def presign(name: str, request: Request, caller: Caller = gate.user) -> Response:
        """A URL that does one operation on one object without credentials."""
        wish = read_presign(await object_of(request, most))
        now = time.time()
        found = await in_one_of(changes, buckets.presign, caller, name, wish, now)
        return json_answer(found)

    @routes.delete(_PATH + "/{name}", status_code=NO_CONTENT)
    async def delete(name: str, caller: Caller = gate.user) -> Response:
        """Remove a bucket with everything in it."""
        await in_one_of(ends, buckets.delete, caller, name)
        return empty(NO_CONTENT)


def _reading(routes: APIRouter, buckets: Bucketing, most: int, gate: Gate) -> None:
    @routes.get(_PATH)
    def read_all(caller: Caller = gate.user) -> Response:
        """All buckets that the caller may look into."""
        return json_answer(buckets.seen(caller))

    @routes.get(_PATH + "/{name}")
    def read(name: str, page: Page = "", limit: Limit = "", caller: Caller = gate.user) -> Response:
        """One bucket with a page of its objects."""
        return json_answer(buckets.contents(caller, name, page, _size(limit, most)))


def _size(limit: str, most: int) -> int:
    if limit and (not limit.isdecimal() or not int(limit)):
        raise UsageError("limit must be a whole number above 0")
    return min(int(limit), most) if limit else most
