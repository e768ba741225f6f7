"""All of the dispatcher, put together: one method for each handler."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from bridge.errors import BridgeError
from lambda_runtime.dispatcher.burst import Burst, Part
from lambda_runtime.dispatcher.intake import Intake
from lambda_runtime.dispatcher.moving import Moving
from lambda_runtime.dispatcher.news import News
from lambda_runtime.dispatcher.reconcile import Reconciliation
from lambda_runtime.dispatcher.records import Message, Records, messages, parsed
from lambda_runtime.dispatcher.web import Web
from lambda_runtime.dispatcher.worker import Worker
from lambda_runtime.dispatcher.world import World

__all__ = ["Dispatcher"]

LOG: Final = logging.getLogger("oscar-bridge")
# What is left of an invocation's time for the last jobs that were begun.
_MARGIN: Final = 20.0
# The next look is a minute later.
_LOOK: Final = 45.0


class Dispatcher:
    """The handlers' work. Safe to use from several threads."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._worker = worker = Worker(world)
        self._intake = Intake(world, worker)
        self._moving = Moving(world, worker)
        self._news = News(world, worker, self._moving)
        self._events = Records(world.letters, "events")
        self._states = Records(world.letters, "states")
        self._reconciliation = Reconciliation(world, worker, self._news)
        self.web = Web(world, worker)

    def events(self, event: object) -> dict[str, Any]:
        """Objects that were made: in SQS, or straight from S3 or EventBridge.

        The answer is SQS's partial batch response.
        """
        with self._flushed():
            return self._events.each(list(messages(event)), self._intake.take, self._burst())

    def states(self, event: object) -> dict[str, Any]:
        """News of jobs, from functions' destinations and Batch; in SQS or not."""

        def take(message: Message, part: Part) -> None:
            self._news.take(parsed(message), part)

        with self._flushed():
            return self._states.each(list(messages(event)), take, self._burst())

    def waiting(self) -> dict[str, int]:
        """Look at jobs that wait too long where they are; what was done, by its name."""
        with self._flushed():
            return self._moving.run(time.monotonic() + _LOOK)

    @contextmanager
    def _flushed(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.world.flush()

    def _burst(self) -> Burst:
        return Burst(self.world, self._worker)

    def reconcile(self, seconds: float) -> dict[str, int]:
        """Look after silent jobs for that long; what was done, by its name."""
        with self._flushed():
            done = self._reconciliation.run(time.monotonic() + max(1.0, seconds - _MARGIN))
        LOG.info("reconciled: %s", done)
        try:
            self.world.learn()
        except BridgeError as error:
            LOG.warning("nothing was learned from the jobs: %s", error)
        return done
