"""What changes between two decisions that are taken in a row, as arrays: counts, means and room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bridge.scheduler.model import Room

Vector = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(slots=True)
class Now:
    """What changes between two decisions, of each target. `means` and `cores` are the mean seconds
    and cores of the jobs that run and wait there, NaN where that is not known; `age` is that of all
    measurements."""

    running: Counts
    queued: Counts
    failures: Vector
    means: Vector
    cores: Vector
    age: float = 0.0


class Space(NamedTuple):
    """A `Room` for each target, as arrays that are read at every call; `known` and `delay` stay."""

    known: NDArray[np.bool_]
    now: Counts
    ever: Counts
    more: Counts
    ahead: Counts
    delay: Vector

    def room(self, target: int) -> Room:
        """The room of one target."""
        counts = (self.now, self.ever, self.more, self.ahead)
        now, ever, more, ahead = (int(count[target]) for count in counts)
        why = "" if ever + more > 0 else "no machine there is large enough"
        return Room(now, ever, more, float(self.delay[target]), ahead, why)


def known(number: float) -> float | None:
    """The number, None for NaN."""
    return None if isnan(number) else float(number)


def space_of(rooms: Sequence[Room | None]) -> Space:
    """The space that these rooms make; None where there is none known."""
    each = [room or Room(0, 0) for room in rooms]
    return Space(
        np.array([room is not None for room in rooms], dtype=np.bool_),
        np.array([room.now for room in each], dtype=np.int64),
        np.array([room.ever for room in each], dtype=np.int64),
        np.array([room.more for room in each], dtype=np.int64),
        np.array([room.ahead for room in each], dtype=np.int64),
        np.array([room.delay for room in each]),
    )


def ranks(values: Sequence[Any]) -> list[int]:
    """The place of each among all; the same for those that are equal."""
    place = {value: i for i, value in enumerate(sorted(set(values)))}
    return [place[value] for value in values]
