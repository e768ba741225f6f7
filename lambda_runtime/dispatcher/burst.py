"""Jobs of one invocation that go to Batch together: one array for those of a service.

Which jobs are in an array is decided by the same conditional write that places each: `placed` with
the array's name and a number as its handle, or without a handle, and then it goes alone. So nobody
else submits a job that is in an array. Who finds one that is only placed submits its array, once,
where all of its jobs were placed in it; else he settles that it never will be, and the job goes
alone.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bridge.dispatch.model import JobRecord
from bridge.errors import BridgeError
from bridge.scheduler import Decision
from bridge.targets import Job
from lambda_runtime.dispatcher.registry import Known
from lambda_runtime.dispatcher.world import World

if TYPE_CHECKING:
    from lambda_runtime.dispatcher.worker import Worker

__all__ = ["Burst", "Part", "Placing"]

LOG: Final = logging.getLogger("oscar-bridge")
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Placing:
    """A job whose target is decided, and not on record yet."""

    job: JobRecord
    known: Known
    decision: Decision


class Part:
    """What one message brings to a burst."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.jobs: list[Placing] = []
        self.error: Exception | None = None

    def takes(self, one: Placing) -> bool:
        """Whether the job waits for the others of its burst; else it goes alone and now."""
        target = self._world.target(one.known, one.decision.target)
        if target is not self._world.batches or not one.known.at.arrays:
            return False
        self.jobs.append(one)
        return True


class Burst:
    """All that one invocation brings. Its parts may be filled by several threads."""

    def __init__(self, world: World, worker: Worker) -> None:
        self._world = world
        self._worker = worker
        self._parts: dict[str, Part] = {}

    def part(self, name: str) -> Part:
        """The part of a message."""
        return self._parts.setdefault(name, Part(self._world))

    def check(self, name: str) -> None:
        """Raise what went wrong with a part's jobs: then its message has to come again."""
        error = self._parts[name].error
        if error is not None:
            raise error

    def go(self) -> None:
        """Place and submit what was gathered. What goes wrong is for `check` to say."""
        groups: dict[str, list[tuple[Part, Placing]]] = defaultdict(list)
        for part in self._parts.values():
            for one in part.jobs:
                groups[one.job.service].append((part, one))
        least, most = self._world.batches.bundle_sizes
        for group in groups.values():
            for start in range(0, len(group), most):
                some = group[start : start + most]
                if len(some) >= least:
                    self._tried([part for part, _ in some], self._array, [one for _, one in some])
                else:
                    for part, one in some:
                        self._tried([part], self._worker.place, one)

    def _tried(self, parts: Sequence[Part], work: Callable[[Any], object], what: Any) -> None:
        try:
            work(what)
        except Exception as error:
            if not isinstance(error, BridgeError):
                LOG.exception("a burst broke")
            for part in parts:
                part.error = error

    # --- an array -----------------------------------------------------------------------------

    def _array(self, group: Sequence[Placing]) -> None:
        batches, service = self._world.batches, group[0].job.service
        root = batches.prepare([job_of(one.job) for one in group])
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            handles = [f"{root}:{number}" for number in range(len(group))]
            placed = list(pool.map(self._worker.keep, group, handles))
            mine = [job for job in placed if job is not None]
            if len(mine) < len(group):
                # It has the events of jobs that somebody else has placed.
                for job in mine:
                    self._worker.submit(job)
                return
            try:
                with self._world.breakers.around(mine[0].target):
                    launched = batches.launch(service, root, len(group))
            except BridgeError as error:
                for job in mine:
                    self._worker.not_taken(job, group[0].known, error)
                return
            LOG.info("%d jobs of %s are array %s", len(mine), service, launched)
            ids = [f"{launched}:{number}" for number in range(len(group))]
            list(pool.map(self._worker.submitted, mine, ids))


def job_of(record: JobRecord) -> Job:
    """The record as targets take it."""
    return Job(record.id, record.service, record.event, record.attempt, record.trace)
