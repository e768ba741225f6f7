"""What whoever decides is told of the targets: old, wrong, and with his own decisions or not."""

from __future__ import annotations

import random
from array import array
from math import exp, log, nan

import numpy as np

from bridge.errors import PlacementError
from bridge.scheduler.routing import Space
from bridge.simulate._floor import Floor
from bridge.simulate.model import (
    BatchModel,
    ClusterModel,
    Information,
    Place,
    Setting,
    Trace,
    View,
    World,
)

_MEMORY = 0.05  # how much of the share of failures is the last one


class _Counts:
    """The numbers that are measured, by target."""

    def __init__(self, floor: Floor, *, live: bool) -> None:
        spaces = floor.spaces
        self.running, self.queued = floor.running, floor.queued
        self.failures = array("d", [0.0]) * len(floor.running)
        self.means = array("d", [nan]) * len(floor.running)
        self.cores = array("d", [nan]) * len(floor.running)
        self.fits = (spaces.now, spaces.ever, spaces.more)
        self.in_line = floor.queued
        if not live:
            self.running, self.queued = array("q", self.running), array("q", self.queued)
            self.in_line = array("q", self.queued)
            self.fits = (
                array("q", spaces.now),
                array("q", spaces.ever),
                array("q", spaces.more),
            )


def _floats(counts: _Counts) -> tuple[array[float], ...]:
    return counts.failures, counts.means, counts.cores


class News:
    """Keeps the view of a run as old as `Information` wants it."""

    def __init__(self, floor: Floor, setting: Setting) -> None:
        self._floor, self._told = floor, setting.information
        _check(self._told)
        count = len(floor.world.places)
        self._live = not self._told.every
        self._true = _Counts(floor, live=True)
        self._seen = self._true if self._live else _Counts(floor, live=False)
        self._placed = array("q", [0]) * count
        self._here = array("q", [0]) * count
        self._seconds = array("d", [0.0]) * count
        self._cores = array("d", [0.0]) * count
        self._cpus = [float(w.service.resources.cpu) for w in floor.trace.workloads]
        self._measured = 0.0
        self._estimates = estimates(floor.world, floor.trace, setting)
        self._view = View(
            now=0.0,
            age=0.0,
            running=self._seen.running,
            queued=self._seen.queued,
            failures=self._seen.failures,
            means=self._seen.means,
            cores=self._seen.cores,
            estimates=self._estimates,
            starts=tuple(typical_start(place) for place in floor.world.places),
            space=self._space,
        )
        self._under_way: list[tuple[float, _Counts, array[int]]] = []
        if not self._live:
            floor.clock.tick(self._told.every, self._measure)

    def view(self) -> View:
        """The view of this moment."""
        view = self._view
        view.now = self._floor.clock.now
        if not self._live:
            view.age = view.now - self._measured
        return view

    def _space(self, workload: int) -> Space:
        spaces, seen = self._floor.spaces, self._seen
        shape = spaces.shape_of[workload]
        now, ever, more = (spaces.row(part, shape) for part in seen.fits)
        in_line = np.frombuffer(seen.in_line, dtype=np.int64)
        return Space(spaces.known, now, ever, more, in_line, spaces.delay)

    def placed(self, job: int, target: int) -> None:
        """A decision was taken."""
        self._placed[target] += 1
        self._count(job, target, 1)
        if not self._live and self._told.own:
            self._seen.queued[target] += 1

    def withdrawn(self, job: int, target: int) -> None:
        """An earlier decision was taken back."""
        self._placed[target] -= 1
        self._count(job, target, -1)
        if not self._live and self._told.own:
            self._seen.queued[target] = max(self._seen.queued[target] - 1, 0)

    def ended(self, job: int, target: int, well: bool) -> None:
        """A run has ended."""
        self._count(job, target, -1)
        failures = self._true.failures
        share = failures[target]
        if share or not well:
            failures[target] = share + _MEMORY * (float(not well) - share)

    def _count(self, job: int, target: int, change: int) -> None:
        """One job more or less is on the target: what they are on average."""
        here, workload = self._here[target] + change, self._floor.workload[job]
        self._here[target] = here
        true = self._true
        if not here:
            self._seconds[target] = self._cores[target] = 0.0
            true.means[target] = true.cores[target] = nan
            return
        seconds = self._seconds[target] + change * self._estimates[workload][target]
        cores = self._cores[target] + change * self._cpus[workload]
        self._seconds[target], self._cores[target] = seconds, cores
        # Sums of what comes and goes are not exact: a mean of almost nothing may come out below it.
        true.means[target] = seconds / here if seconds > 0 else 0.0
        true.cores[target] = cores / here if cores > 0 else 0.0

    def _measure(self) -> None:
        floor, clock = self._floor, self._floor.clock
        seen = _Counts(floor, live=False)
        for part, true in zip(_floats(seen), _floats(self._true), strict=True):
            part[:] = true
        self._under_way.append((clock.now, seen, array("q", self._placed)))
        clock.tick(clock.now + self._told.lag, self._tell)
        clock.tick(clock.now + self._told.every, self._measure)

    def _tell(self) -> None:
        self._measured, new, placed = self._under_way.pop(0)
        seen, own = self._seen, self._told.own
        for target, before in enumerate(placed):
            since = max(self._placed[target] - before, 0) if own else 0
            new.queued[target] += since
        seen.running[:], seen.queued[:], seen.in_line[:] = new.running, new.queued, new.in_line
        for part, told in zip(_floats(seen), _floats(new), strict=True):
            part[:] = told
        for old, fits in zip(seen.fits, new.fits, strict=True):
            old[:] = fits


def _check(told: Information) -> None:
    if told.every < 0 or told.lag < 0 or (told.lag and not told.every):
        raise PlacementError("information can be late only if it is measured at intervals (every)")
    if told.bias <= 0 or told.spread < 1:
        raise PlacementError("the bias of an estimate is above 0, its spread at least 1")


def typical_start(place: Place) -> float:
    """Seconds that whoever knows the target would expect of a start there: of a function's, half
    are taken to be cold."""
    model = place.model
    if isinstance(model, ClusterModel | BatchModel):
        return model.start.median
    return (model.warm.median + model.cold.median) / 2


def estimates(world: World, trace: Trace, setting: Setting) -> tuple[tuple[float, ...], ...]:
    """Seconds of a run of each workload on each target, as wrong as the information is."""
    told = setting.information
    wide = log(told.spread)
    luck = random.Random(setting.seed + 1)  # noqa: S311 - no secret depends on it
    return tuple(
        tuple(
            w.typical * place.slowness * told.bias * exp(luck.uniform(-wide, wide))
            for place in world.places
        )
        for w in trace.workloads
    )
