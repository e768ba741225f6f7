"""Circuit breakers of the targets, kept in the table: many processes see the same ones."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Final

from bridge.dispatch.table import JobTable
from bridge.errors import BridgeError, TemporaryError
from bridge.estimates import Breaker
from bridge.scheduler import Snapshot

__all__ = ["Breakers"]

LOG: Final = logging.getLogger("oscar-bridge")
_FRESH: Final = 5.0
_TRIES: Final = 3


class Breakers:
    """Thread-safe. What cannot be read or written now counts as before: no job waits for that."""

    def __init__(self, table: JobTable, clock: Callable[[], float]) -> None:
        self._table = table
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Breaker]] = {}

    def told(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with what the breakers of its targets say now."""
        now = self._clock()
        states = (
            replace(one, breaker=self._of(one.spec.name).state(now)) for one in snapshot.targets
        )
        return replace(snapshot, targets=tuple(states))

    @contextmanager
    def around(self, target: str) -> Iterator[None]:
        """Around one submit to a target, of one job or many: it takes it, or refuses it for now."""
        try:
            yield
        except TemporaryError:
            self._submitted(target, ok=False)
            raise
        self._submitted(target, ok=True)

    def _submitted(self, target: str, *, ok: bool) -> None:
        if ok and self._of(target) == Breaker():
            return
        try:
            for _ in range(_TRIES):
                if self._changed(target, ok=ok):
                    return
        except BridgeError as error:
            LOG.warning("the breaker of %s does not know of a submit: %s", target, error)

    def _changed(self, target: str, *, ok: bool) -> bool:
        """False when another was faster."""
        text, now = self._table.kept(_name(target)), self._clock()
        before = _read(text)
        after = before.after(ok=ok, at=now)
        if after != before and not self._table.keep(_name(target), json.dumps(asdict(after)), text):
            return False
        self._learn(target, after)
        if after.state(now) != before.state(now):
            said = after.state(now), before.state(now)
            LOG.warning("the breaker of %s is %s now: it was %s", target, *said)
        return True

    def _of(self, target: str) -> Breaker:
        with self._lock:
            at, known = self._known.get(target, (float("-inf"), Breaker()))
        if time.monotonic() - at < _FRESH:
            return known
        try:
            known = _read(self._table.kept(_name(target)))
        except BridgeError as error:
            LOG.warning("the breaker of %s is not known: %s", target, error)
        self._learn(target, known)
        return known

    def _learn(self, target: str, known: Breaker) -> None:
        with self._lock:
            self._known[target] = time.monotonic(), known


def _name(target: str) -> str:
    return f"breaker/{target}"


def _read(text: str) -> Breaker:
    return Breaker(**json.loads(text)) if text else Breaker()
