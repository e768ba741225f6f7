"""Inputs of stores that send no events: new files are found by listing them again and again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from bridge.dispatch.engine import Dispatcher
from bridge.dispatch.protocol import Listing, Place
from bridge.errors import BridgeError, NotFoundError
from bridge.storage.protocol import ObjectInfo

__all__ = ["ListedSource"]

_LOG: Final = logging.getLogger("bridge.dispatch")
_NEVER: Final[Mapping[str, float]] = MappingProxyType({})
# Seconds between two looks at a place that cannot be listed, at most.
_LONGEST: Final = 600.0

_Mark = tuple[str, int, str]
"""What tells that an object has changed."""


@dataclass(slots=True)
class _Known:
    """A place as it was seen last: objects with whether they have been offered to the services."""

    objects: Mapping[str, tuple[_Mark, bool]] = field(default_factory=dict)
    due: float = 0.0
    failures: int = 0


class ListedSource:
    """Lists places every `interval` seconds; what has come to stay there becomes jobs.

    An object is taken when two looks in a row found it the same, so that one that is still being
    written is not. What was taken is known by its job: a restart finds what came meanwhile, and
    takes nothing twice; several of these on one store neither. Content that changes, as its ETag
    says, is another event; that it was changed and changed back between two looks is not seen, and
    the event of an object that was gone again by the next look never was. `since` is as for
    `Dispatcher.reconcile`. A place that cannot be listed is tried again later and later, and keeps
    no other from its turn. Memory grows with the objects that lie in the places.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        listing: Listing,
        places: Callable[[], Iterable[Place]],
        *,
        interval: float,
        since: Callable[[], Mapping[str, float]] = lambda: _NEVER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dispatcher = dispatcher
        self._listing = listing
        self._places = places
        self._interval = interval
        self._since = since
        self._clock = clock
        self._known: dict[Place, _Known] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listed-events", daemon=True)

    def start(self) -> None:
        """Begin to look, in a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Look no more; waits for the look that is under way. Safe to call twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception:
                _LOG.exception("looking for new files failed; trying again")
            self._stop.wait(self._interval)

    def look(self) -> tuple[str, ...]:
        """List every place that is due, once; the new jobs."""
        places = sorted(set(self._places()))
        self._known = {place: self._known.get(place, _Known()) for place in places}
        return tuple(job for place in places for job in self._look(place))

    def _look(self, place: Place) -> tuple[str, ...]:
        known = self._known[place]
        if self._stop.is_set() or known.due > self._clock():
            return ()
        now: dict[str, tuple[_Mark, bool]] = {}

        def settled(*where: str) -> Iterator[ObjectInfo]:
            for info in self._there(*where):
                mark = (info.etag, info.size, info.modified)
                before, offered = known.objects.get(info.key, (None, False))
                now[info.key] = mark, before == mark
                if before == mark and not offered:
                    yield info

        try:
            found = self._dispatcher.reconcile(settled, [place], self._since())
        except Exception as error:
            # Whatever a server says, or a file system: the other places must have their turn.
            self._later(place, error)
            return ()
        self._known[place] = _Known(now)
        return found

    def _there(self, provider: str, bucket: str, prefix: str) -> Iterator[ObjectInfo]:
        try:
            yield from self._listing(provider, bucket, prefix)
        except NotFoundError:
            # A folder that nobody has made yet holds nothing.
            return

    def _later(self, place: Place, error: Exception) -> None:
        known = self._known[place]
        known.failures += 1
        longest = max(_LONGEST, self._interval)
        pause = min(longest, self._interval * 2.0 ** min(known.failures, 30))
        known.due = self._clock() + pause
        said = error if isinstance(error, BridgeError) else repr(error)
        _LOG.warning("%s:%s/%s cannot be listed, again in %.0f s: %s", *place, pause, said)
