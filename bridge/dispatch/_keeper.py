"""Housekeeping: the lease, the jobs of dispatchers that died, cancels that are still to be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.dispatch._core import LOG, Core
from bridge.dispatch._lane import Lane
from bridge.dispatch._owner import is_gone
from bridge.dispatch.model import Change, JobRecord
from bridge.errors import PermanentError, TemporaryError
from bridge.targets import JobState

__all__ = ["Keeper"]

_BATCH: Final = 500
_WITH_TARGET: Final = (JobState.SUBMITTED, JobState.RUNNING)


class Keeper:
    """One thread that renews the lease and takes over what nobody looks after."""

    def __init__(self, core: Core, lanes: Mapping[str, Lane]) -> None:
        self._core = core
        self._lanes = lanes
        self._others = False

    def start(self) -> None:
        """Take the lease and take over orphans, before anything else runs."""
        core = self._core
        core.store.lease(core.owner, core.clock() + core.settings.lease)
        self._bury()
        self._adopt()

    def run(self) -> None:
        """The thread's work until the dispatcher stops."""
        self._core.loop(self._step)

    def _step(self) -> None:
        core = self._core
        if core.stopping.wait(core.settings.lease / 3):
            return
        core.store.lease(core.owner, core.clock() + core.settings.lease)
        self._bury()
        self._adopt()
        self._tell_targets()

    def _bury(self) -> None:
        """End the leases of the dead; while others live, count anew what they have changed."""
        core, others = self._core, False
        for owner, until in core.store.owners().items():
            if owner == core.owner:
                continue
            if until < core.clock() or is_gone(owner):
                core.store.release(owner)
            others = True
        if others or self._others:
            core.store.loads(core.tally.load)
        self._others = others

    def _adopt(self) -> None:
        """Take over jobs whose dispatcher has died."""
        for target, state in self._core.store.loads():
            lane = self._lanes.get(target)
            if lane is not None and state in _WITH_TARGET:
                lane.resume(self._claim(target, state))
            elif lane is None and target:
                self._place_anew(self._claim(target, state))

    def _claim(self, target: str, state: JobState) -> list[JobRecord]:
        core, found = self._core, list[JobRecord]()
        while batch := core.store.claim(core.owner, state, core.clock(), _BATCH, target):
            found += batch
        return found

    def _place_anew(self, records: list[JobRecord]) -> None:
        """These are on a target that is not there any more."""
        now = self._core.clock()
        self._core.persist(
            [
                Change(
                    record.id,
                    record.attempt,
                    JobState.ACCEPTED,
                    now,
                    again=True,
                    due=now,
                    reason=f"target {record.target} is not there any more",
                    release=True,
                )
                for record in records
            ]
        )

    def _tell_targets(self) -> None:
        """Cancels whose target could not be told at once."""
        for record in self._core.store.jobs(stop=True):
            tell(self._core, self._lanes, record)


def tell(core: Core, lanes: Mapping[str, Lane], record: JobRecord) -> None:
    """Tell the job's target to cancel it; when that fails for now, the keeper does it later."""
    lane = lanes.get(record.target)
    try:
        if lane is not None:
            lane.stop(record)
    except TemporaryError as error:
        LOG.warning("cannot cancel job %s on %s yet: %s", record.id, record.target, error)
        return
    except PermanentError as error:
        LOG.warning("cannot cancel job %s on %s: %s", record.id, record.target, error)
    core.store.stopped(record.id)
