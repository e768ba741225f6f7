"""How many open jobs each target has, at hand without asking the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from bridge.dispatch.model import JobEvent
from bridge.targets import JobState

__all__ = ["Tally"]


class Tally:
    """Counts of open jobs by target and state, kept by the news of the store.

    `update` is only called by the thread that commits; everyone may read. `reserve` and `settle`
    belong to the placing thread: a decision sees those that were taken with it, before they are
    stored.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, JobState]] = Counter()
        self._reserved: Counter[str] = Counter()

    def load(self, counts: Mapping[tuple[str, JobState], int]) -> None:
        """Start from what the store says."""
        self._counts = Counter(counts)

    def update(self, news: Sequence[JobEvent]) -> None:
        """Follow what happened."""
        for event in news:
            if event.previous is not None and not event.previous.final:
                self._counts[event.previous_target, event.previous] -= 1
            if not event.state.final:
                self._counts[event.target, event.state] += 1

    def reserve(self, target: str) -> None:
        """A decision for this target was taken."""
        self._reserved[target] += 1

    def settle(self) -> None:
        """The decisions taken so far are stored."""
        self._reserved = Counter()

    def running(self, target: str) -> int:
        """Jobs that run on the target now."""
        return max(0, self._counts[target, JobState.RUNNING])

    def queued(self, target: str) -> int:
        """Jobs that are placed on the target and do not run yet."""
        waiting = self._counts[target, JobState.PLACED] + self._counts[target, JobState.SUBMITTED]
        return max(0, waiting + self._reserved[target])

    @property
    def open(self) -> int:
        """Open jobs in all."""
        return sum(dict(self._counts).values())
