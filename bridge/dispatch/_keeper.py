"""Housekeeping: the lease, the jobs of dispatchers that died, cancels that are still to be told."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final

from bridge.dispatch._core import LOG, Core
from bridge.dispatch._lane import Lane
from bridge.dispatch._owner import is_gone
from bridge.dispatch.model import Change, JobRecord
from bridge.errors import PermanentError
from bridge.targets import JobState

__all__ = ["Keeper"]

_BATCH: Final = 500
# Seconds by which clocks may differ, or be set, before a lease runs out by them. Who is dead is
# told by silence long before that.
_SKEW: Final = 30 * 86_400.0
# So that nobody waits long for his turn to write.
_FEW: Final = 200
# At one look, as orphans are looked for by the same thread.
_ROUNDS: Final = 50
_WITH_TARGET: Final = (JobState.SUBMITTED, JobState.RUNNING)


class Keeper:
    """One thread that renews the lease and takes over what nobody looks after."""

    def __init__(self, core: Core, lanes: Mapping[str, Lane]) -> None:
        self._core = core
        self._lanes = lanes
        self._others = False
        # Each other's last lease, and when we saw it first, by a clock that nobody sets.
        self._seen: dict[str, tuple[float, float]] = {}
        self._steady = time.monotonic

    def start(self) -> None:
        """Take the lease and take over orphans, before anything else runs."""
        self._lease()
        self._bury()
        self._adopt()

    def live(self) -> None:
        """Renew the lease until the dispatcher stops, whatever else takes its time."""
        self._core.loop(self._renew)

    def _renew(self) -> None:
        core = self._core
        if not core.stopping.wait(core.settings.lease / 3):
            self._lease()

    def _lease(self) -> None:
        core = self._core
        core.store.lease(core.owner, core.clock() + core.settings.lease + _SKEW)

    def run(self) -> None:
        """The thread's other work until the dispatcher stops."""
        self._core.loop(self._step)

    def _step(self) -> None:
        core = self._core
        if core.stopping.wait(core.settings.lease / 3):
            return
        self._bury()
        self._adopt()
        self._tell_targets()
        self._tidy()

    def _tidy(self) -> None:
        core = self._core
        before = core.clock() - core.settings.keep
        for _ in range(_ROUNDS):
            if core.stopping.is_set() or not core.store.tidy(before, _FEW):
                return

    def _bury(self) -> None:
        """End the leases of the dead; while others live, count anew what they have changed."""
        core, others = self._core, False
        for owner, until in core.store.owners().items():
            if owner == core.owner:
                continue
            if until < core.clock() or self._is_silent(owner, until) or is_gone(owner):
                core.store.release(owner)
                self._seen.pop(owner, None)
            others = True
        if others or self._others:
            core.store.loads(core.tally.load)
        self._others = others

    def _is_silent(self, owner: str, until: float) -> bool:
        """Whether it has not renewed its lease for as long as one is: what its clock says, or ours,
        has no part in it."""
        now = self._steady()
        lease, since = self._seen.setdefault(owner, (until, now))
        if lease != until:
            self._seen[owner] = until, now
            return False
        return now - since > self._core.settings.lease

    def _adopt(self) -> None:
        """Take over jobs whose dispatcher has died."""
        for target, state in self._core.store.loads():
            lane = self._lanes.get(target)
            if lane is not None and state in _WITH_TARGET:
                for records in self._claimed(target, state):
                    lane.resume(records)
            elif lane is None and target:
                for records in self._claimed(target, state):
                    self._place_anew(records)

    def _claimed(self, target: str, state: JobState) -> Iterator[list[JobRecord]]:
        """Claimed a batch at a time: where the next claim fails, these are not forgotten."""
        core = self._core
        while batch := core.store.claim(core.owner, state, core.clock(), _BATCH, target):
            yield batch

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
        """Cancels whose target could not be told at once. One that does not answer now is told
        nothing more in this round: the others must not wait for it."""
        core, deaf, last = self._core, set[str](), ""
        while batch := core.store.jobs(stop=True, after=last):
            for record in batch:
                if core.stopping.is_set():
                    return
                if record.target not in deaf and not tell(core, self._lanes, record):
                    deaf.add(record.target)
            last = batch[-1].id


def tell(core: Core, lanes: Mapping[str, Lane], record: JobRecord) -> bool:
    """Tell the job's target to cancel it; when that fails for now, the keeper does it later, and
    the answer is False."""
    lane = lanes.get(record.target)
    try:
        if lane is not None:
            lane.stop(record)
    except PermanentError as error:
        LOG.warning("cannot cancel job %s on %s: %s", record.id, record.target, error)
        if lane is not None:
            # What is followed for ever takes a place of those that run.
            lane.drop(record.id)
    except Exception as error:
        LOG.warning("cannot cancel job %s on %s yet: %s", record.id, record.target, error)
        return False
    core.store.stopped(record.id)
    return True
