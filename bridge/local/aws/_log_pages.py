"""FilterLogEvents in pages, over an emulator that answers with the first page only.

A token says after which time to go on, and how many events of that time were given already.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

Json = dict[str, Any]
Ask = Callable[[Json], Awaitable[Json]]

_TOKEN: Final = re.compile(r"(\d+)-(\d+)")
_MOST: Final = 10_000


async def filtered(body: Json, ask: Ask) -> Json:
    """One page; `ask` puts a request to the emulator. ValueError for a token that is not ours."""
    after, given = _position(body)
    limit = min(int(body.get("limit") or _MOST), _MOST)
    wanted = {key: value for key, value in body.items() if key != "nextToken"}
    wanted["limit"] = min(given + limit + 1, _MOST)
    if after is not None:
        wanted["startTime"] = after
    answer = await ask(wanted)
    events = answer.get("events", [])[given:]
    page = events[:limit]
    answer["events"] = page
    more = len(events) > limit or len(events) + given == _MOST
    if more and page:
        last = int(page[-1]["timestamp"])
        seen = sum(1 for one in page if int(one["timestamp"]) == last)
        if last == after:
            seen += given
        answer["nextToken"] = f"{last}-{seen}"
    return answer


def _position(body: Json) -> tuple[int | None, int]:
    token = body.get("nextToken")
    if token is None:
        return body.get("startTime"), 0
    found = _TOKEN.fullmatch(str(token))
    if found is None:
        raise ValueError(f"the token {token!r} is not one of ours")
    return int(found[1]), int(found[2])
