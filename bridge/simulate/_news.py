"""What whoever decides is told of the targets: old, wrong, and with his own decisions or not."""

from __future__ import annotations

import random
from array import array
from math import exp, log

from bridge.errors import PlacementError
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
_Counts = tuple[list[int], list[int], list[float], list[int]]


class News:
    """Keeps the view of a run as old as `Information` wants it."""

    def __init__(self, floor: Floor, setting: Setting) -> None:
        self._floor, self._told = floor, setting.information
        _check(self._told)
        count = len(floor.world.places)
        self._failures = array("d", [0.0]) * count
        self._placed = array("q", [0]) * count
        self._live = not self._told.every
        self._measured = 0.0
        self._view = View(
            now=0.0,
            age=0.0,
            running=floor.running if self._live else array("q", [0]) * count,
            queued=floor.queued if self._live else array("q", [0]) * count,
            failures=self._failures if self._live else array("d", [0.0]) * count,
            estimates=estimates(floor.world, floor.trace, setting),
            starts=tuple(typical_start(place) for place in floor.world.places),
        )
        self._under_way: list[tuple[float, _Counts]] = []
        if not self._live:
            floor.clock.tick(self._told.every, self._measure)

    def view(self) -> View:
        """The view of this moment."""
        view = self._view
        view.now = self._floor.clock.now
        if not self._live:
            view.age = view.now - self._measured
        return view

    def placed(self, target: int) -> None:
        """A decision was taken."""
        self._placed[target] += 1
        if not self._live and self._told.own:
            self._view.queued[target] += 1

    def withdrawn(self, target: int) -> None:
        """An earlier decision was taken back."""
        self._placed[target] -= 1
        if not self._live and self._told.own:
            self._view.queued[target] = max(self._view.queued[target] - 1, 0)

    def ended(self, target: int, well: bool) -> None:
        """A run has ended."""
        share = self._failures[target]
        if share or not well:
            self._failures[target] = share + _MEMORY * (float(not well) - share)

    def _measure(self, _: int) -> None:
        floor, clock = self._floor, self._floor.clock
        seen = (list(floor.running), list(floor.queued), list(self._failures), list(self._placed))
        self._under_way.append((clock.now, seen))
        clock.tick(clock.now + self._told.lag, self._tell)
        clock.tick(clock.now + self._told.every, self._measure)

    def _tell(self, _: int) -> None:
        self._measured, (running, queued, failures, placed) = self._under_way.pop(0)
        for target, before in enumerate(placed):
            own = max(self._placed[target] - before, 0) if self._told.own else 0
            self._view.running[target] = running[target]
            self._view.queued[target] = queued[target] + own
            self._view.failures[target] = failures[target]


def _check(told: Information) -> None:
    if told.every < 0 or told.lag < 0 or (told.lag and not told.every):
        raise PlacementError("information can be late only if it is measured at intervals (every)")
    if told.bias <= 0 or told.spread < 1:
        raise PlacementError("the bias of an estimate is above 0, its spread at least 1")


def typical_start(place: Place) -> float:
    """Seconds that whoever knows the target would expect of a start there."""
    model = place.model
    if isinstance(model, ClusterModel | BatchModel):
        return model.start.median
    return model.warm.median


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
