"""What is known of services and targets on AWS, from the newest jobs of each service.

There is no process that stays: on the schedule of the reconciliation the estimates are made anew
from the table, which needs no memory of what was counted, and put into the work bucket as one
object, which every dispatcher reads now and then.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final

from bridge.dispatch.lessons import LEARNED, learned, lessons_of, observation
from bridge.dispatch.table import JobTable
from bridge.errors import BridgeError
from bridge.estimates import Estimates
from bridge.scheduler import Snapshot
from bridge.targets.aws import Account

__all__ = ["Learned"]

LOG: Final = logging.getLogger("oscar-bridge")
_JOBS: Final = 200
_FRESH: Final = 60.0


class Learned:
    """Thread-safe."""

    def __init__(self, account: Account, table: JobTable, clock: Callable[[], float]) -> None:
        self._account = account
        self._table = table
        self._clock = clock
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._book = Estimates()

    def informed(self, snapshot: Snapshot, service: str) -> Snapshot:
        """The snapshot with what is known of a service; money is not known."""
        with self._lock:
            if time.monotonic() - self._at >= _FRESH:
                self._at = time.monotonic()
                self._read()
            informed = self._book.informed(snapshot, service, self._clock())
        return Snapshot(informed.targets, informed.taken, snapshot.spent)

    def _read(self) -> None:
        try:
            self._book = learned(self._account.get(LEARNED)) or self._book
        except (BridgeError, ValueError) as error:
            # A decision without it is better than none.
            LOG.warning("what was learned of the targets is not known: %s", error)

    def learn(self, services: Iterable[str]) -> None:
        """Make the estimates of these services anew, from their newest jobs."""
        book, now = Estimates(), self._clock()
        for service in services:
            for detail in reversed(self._table.details(service, _JOBS)):
                if not detail.job.state.final:
                    continue
                for lesson in lessons_of(detail):
                    if (seen := observation(lesson, lambda *_: Decimal(0))) is not None:
                        book.observe(seen, now)
        name, text = Estimates.MARK
        self._account.put(LEARNED, json.dumps({**book.changes(), name: text}).encode())
