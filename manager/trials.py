"""Policies on trial: they decide or watch as the settings say, and what they said is counted."""

from __future__ import annotations

import threading
from collections import Counter

from bridge.events import Event
from bridge.fdl.model import Service
from bridge.scheduler import Decision, Snapshot, Trial

__all__ = ["Trials"]


class Trials:
    """Decides, and counts how often a policy on trial agreed with the other one. Thread-safe."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, bool]] = Counter()

    def decide(
        self, service: Service, event: Event | None, snapshot: Snapshot, /, *, seed: int = 0
    ) -> Decision:
        """See `Trial.decide`."""
        found = self._trial.decide(service, event, snapshot, seed=seed)
        said = [
            ("canary", found.policy, one.target == found.target)
            if one.role == "primary"
            else ("shadow", one.policy, one.target == found.target)
            for one in found.instead
        ]
        if said:
            with self._lock:
                self._counts.update(said)
        return found

    def counts(self) -> dict[tuple[str, str, bool], int]:
        """Decisions since this process began, by role, by policy on trial, and whether both
        policies chose the same target."""
        with self._lock:
            return dict(self._counts)
