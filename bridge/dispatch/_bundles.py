"""Many jobs of one service handed over in one call, where a target takes them so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from bridge.dispatch._core import LOG, Core
from bridge.dispatch.model import Change, JobRecord
from bridge.dispatch.protocol import Bundles
from bridge.errors import BridgeError, TemporaryError
from bridge.targets import Job, JobState

__all__ = ["Bundler", "Submits"]


class Submits(Protocol):
    """What becomes of a submit, for the jobs of a bundle one by one."""

    def submitted(self, record: JobRecord, handle: str) -> None:
        """The target has it."""
        ...

    def refused(self, record: JobRecord, error: TemporaryError) -> None:
        """The target does not take it now."""
        ...

    def finish(self, record: JobRecord, state: JobState, reason: str) -> None:
        """It is over."""
        ...


class Bundler:
    """Makes bundles of what was claimed together, and sees each to its target.

    A bundle has a root, and its jobs are numbered. Before it is launched both are on record as the
    handle of each of its jobs (`<root>:<number>`). A job that is placed and has a handle is from a
    bundle that somebody has left half-way: it is settled whether that was launched, and if not, it
    never will be.
    """

    def __init__(self, core: Core, target: Bundles, lane: Submits) -> None:
        self._core = core
        self._target = target
        self._lane = lane

    def sorted(self, records: Sequence[JobRecord]) -> tuple[list[list[JobRecord]], list[JobRecord]]:
        """Bundles, and what goes alone."""
        least, most = self._target.bundle_sizes
        groups: dict[tuple[str, str], list[JobRecord]] = defaultdict(list)
        for record in records:
            groups[record.service, _root(record)].append(record)
        bundles: list[list[JobRecord]] = []
        alone: list[JobRecord] = []
        for (_, left), group in groups.items():
            for start in range(0, len(group), most):
                some = group[start : start + most]
                if left or len(some) >= least:
                    bundles.append(some)
                else:
                    alone += some
        return bundles, alone

    def submit(self, records: Sequence[JobRecord]) -> None:
        """Hand a bundle over; what goes wrong is told to the lane for each of its jobs."""
        try:
            self._core.prepare(records[0].service, records[0].target)
            if _root(records[0]):
                self._settle(records)
            else:
                self._launch(records)
        except TemporaryError as error:
            for record in records:
                self._lane.refused(record, error)
        except BridgeError as error:
            for record in records:
                self._lane.finish(record, JobState.FAILED, error.message)
        except Exception as error:
            LOG.exception("submitting %d jobs of %s broke", len(records), records[0].service)
            for record in records:
                self._lane.refused(record, TemporaryError(f"submit broke: {error!r}"))

    def _launch(self, records: Sequence[JobRecord]) -> None:
        service = records[0].service
        root = self._target.prepare(
            [Job(one.id, one.service, one.event, one.attempt, one.trace) for one in records]
        )
        numbered = [replace(one, handle=f"{root}:{n}") for n, one in enumerate(records)]
        if len(self._marked(numbered)) < len(records):
            # Somebody was cancelled meanwhile, and must not be in it; or we stop.
            if not self._core.stopping.is_set():
                self._settle(numbered)
            return
        try:
            launched = self._target.launch(service, root, len(records))
        except TemporaryError as error:
            # It may have been launched all the same: whoever asks for a job has to know of what.
            for record in numbered:
                self._lane.refused(record, error)
            return
        for number, record in enumerate(numbered):
            self._submitted(record, f"{launched}:{number}")

    def _settle(self, records: Sequence[JobRecord]) -> None:
        launched = self._target.settle(records[0].service, _root(records[0]))
        if launched:
            for record in records:
                self._submitted(record, f"{launched}:{record.handle.rpartition(':')[2]}")
            return
        left = self._marked([replace(record, handle="") for record in records])
        if len(left) >= self._target.bundle_sizes[0]:
            self._launch(left)
            return
        for record in left:
            self._lane.refused(record, TemporaryError("its bundle was not launched"))

    def _marked(self, records: Sequence[JobRecord]) -> list[JobRecord]:
        """Put the handles on record; those jobs that are still ours to submit."""
        now, state = self._core.clock(), JobState.PLACED
        wishes = [Change(one.id, one.attempt, state, now, handle=one.handle) for one in records]
        answers = self._core.persist(wishes)
        return [one for one, answer in zip(records, answers, strict=True) if answer is not None]

    def _submitted(self, record: JobRecord, handle: str) -> None:
        # Before it is stored: a cancel that overtook us has to find it.
        self._target.follow(record.id, record.attempt, handle, record.service)
        self._lane.submitted(record, handle)


def _root(record: JobRecord) -> str:
    """The bundle that a placed job was put into, "" for none."""
    return record.handle.rpartition(":")[0]
