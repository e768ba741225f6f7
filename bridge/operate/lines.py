"""Lines of logs, wherever they come from, and following them."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["Line", "follow"]

# Logs show lines some seconds after they were written, and not in order of time.
_LATE: Final = 15.0
_PAUSE: Final = 2.0
_REMEMBERED: Final = 100_000


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log.

    `at` is seconds since the epoch, `place` is `lambda`, `batch` or a cluster's name, `stream` says
    whose line it is there.
    """

    at: float
    place: str
    stream: str
    text: str
    id: str = ""


def follow(
    read: Callable[[float], Iterable[Line]],
    since: float,
    *,
    over: Callable[[], bool] = lambda: False,
    pause: float = _PAUSE,
) -> Iterator[Line]:
    """Lines as they come, each once; `read` gives those since a time.

    Goes on until `over` was true and what had been written by then is told.
    """
    told: OrderedDict[tuple[object, ...], None] = OrderedDict()
    newest = since
    ends: float | None = None
    while True:
        if ends is None and over():
            ends = time.monotonic() + _LATE / 3
        last = ends is not None and time.monotonic() >= ends
        for line in read(max(since, newest - _LATE)):
            key = (line.stream, line.id or (line.at, line.text))
            if key in told:
                continue
            told[key] = None
            newest = max(newest, line.at)
            yield line
        while len(told) > _REMEMBERED:
            told.popitem(last=False)
        if last:
            return
        time.sleep(pause)
