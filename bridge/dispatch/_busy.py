"""Which containers are taken now, on targets that keep them for the next job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bridge.dispatch.model import JobEvent
from bridge.targets import JobState

__all__ = ["Busy"]

# No job is under way for longer on such a target: what became of this one was not heard.
_STALE: Final = 3600.0
_THERE: Final = (JobState.PLACED, JobState.SUBMITTED, JobState.RUNNING)


class Busy:
    """When the jobs that are under way on some targets were placed there, as far as this process
    has placed them. Any thread may call `heard`, one at a time the others."""

    def __init__(self, targets: Iterable[str]) -> None:
        self._jobs: dict[str, dict[str, dict[str, float]]] = {name: {} for name in targets}

    def counts(self, target: str) -> bool:
        """Whether it is one of these targets."""
        return target in self._jobs

    def placed(self, job: str, service: str, target: str, at: float) -> None:
        """The job goes there now."""
        if target not in self._jobs:
            return
        jobs = self._jobs[target].setdefault(service, {})
        for old in [one for one, since in list(jobs.items())[:1] if not 0 <= at - since < _STALE]:
            jobs.pop(old, None)
        jobs[job] = at

    def heard(self, news: Sequence[JobEvent]) -> None:
        """Jobs are over, or elsewhere."""
        for event in news if self._jobs else ():
            target = event.previous_target or event.target
            if target in self._jobs and not (event.target == target and event.state in _THERE):
                self._jobs[target].get(event.service, {}).pop(event.job, None)

    def of(self, service: str) -> Mapping[str, Sequence[float]]:
        """The times by target. A copy that is made at once: others may be hearing."""
        return {name: list(jobs.get(service, {}).values()) for name, jobs in self._jobs.items()}
