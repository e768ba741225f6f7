"""Events of many senders at once: those that come while others are committed share the next commit.

Each batch goes to one thread and back: a thread for each event costs more than the event. Before a
batch goes, those who were answered last have a moment to send again. Without it the first of them
is committed alone while the others come, and every event waits for two commits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from bridge.errors import TemporaryError
from manager.cloud import MINIO
from manager.core import Manager

__all__ = ["Intake"]

# As many bodies to a commit as the queue's store takes in one statement.
_BATCH: Final = 128
_MOMENT: Final = 0.003

_Waiting = tuple[bytes, asyncio.Future[None]]


class Intake:
    """Takes events of the manager's own object store. For one event loop."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._waiting: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="manager-intake")
        self._worker: asyncio.Task[None] | None = None
        self._usual = 1
        self._enough = asyncio.Event()

    async def take(self, body: bytes) -> None:
        """Accept the events of a body: durable on return. Errors as `Manager.ingest`'s."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((body, answer))
        if len(self._waiting) >= self._usual:
            self._enough.set()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        await answer

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                await self._gather()
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]
                bodies = [body for body, _ in batch]
                errors = await loop.run_in_executor(self._thread, self._accept, bodies)
                for (_, answer), error in zip(batch, errors, strict=True):
                    _tell(answer, error)
                self._usual = min(len(batch) + len(self._waiting), _BATCH)
        finally:
            self._worker = None

    async def _gather(self) -> None:
        """Until as many have come as there were around the last commit, or a moment is over."""
        # Requests that have come together are read by then.
        await asyncio.sleep(0)
        if len(self._waiting) < self._usual:
            self._enough.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._enough.wait(), _MOMENT)

    def _accept(self, bodies: list[bytes]) -> list[Exception | None]:
        """Accept all of them at once, or each by itself when one of them is at fault."""
        try:
            self._manager.make_room()
            self._manager.dispatcher.ingest_all(str(MINIO), bodies)
        except TemporaryError as error:
            return [error] * len(bodies)
        except Exception as error:
            if len(bodies) == 1:
                return [error]
            return [self._accept([body])[0] for body in bodies]
        return [None] * len(bodies)


def _tell(answer: asyncio.Future[None], error: Exception | None) -> None:
    if answer.done():  # its sender has gone
        return
    if error is None:
        answer.set_result(None)
    else:
        answer.set_exception(error)
