"""How patient the dispatcher is. All times in seconds."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What may be tuned; the defaults suit one machine and remote targets alike.

    `max_submits`: a target may refuse an attempt this often (TemporaryError) before the job goes
    to its fallback target, or is dead. A target that is full (TargetUnavailable while it runs
    other jobs of ours) is only waited for: that does not count.
    `max_attempts`: a job whose runs fail for reasons that are not its own (`JobUpdate.temporary`)
    is run this often in all, then it is dead.
    `backoff`, `backoff_cap`: the wait after the n-th try is `backoff * 2 ** (n - 1)`, at most
    `backoff_cap`, times a jitter of 0.5 to 1.0 that follows from `seed`, the job and n. It is
    never less than the error's own `delay`.
    `parallel_submits`: calls of `submit` at the same time, for each target.
    `outstanding`: jobs handed to a target that states no `slots`; one that does gets twice as many
    as it can run, so that it never waits for the next.
    `poll_min`, `poll_max`: the pause between two polls of a target; it doubles while there is no
    news and falls back to the least when there is.
    `lease`: a dispatcher that gives no sign for this long has lost its jobs to the others, whatever
    their clocks say.
    `keep`: so long after its end, only a job's record is kept: not why it ran where it did.
    `grace`: a follow-up that has not come after this long is looked for by listing.
    `patience`: a target that has not taken a job this long after it was placed is given up with the
    next refusal, where another can run it; and a job that still waits on its target then is decided
    about anew. Of a service with a deadline it is a quarter of that, if this is sooner. The job
    moves where it is expected to be over sooner by the share `gain` of the time, or to meet its
    deadline, and at most `max_moves` times.
    """

    max_submits: int = 6
    max_attempts: int = 3
    backoff: float = 0.5
    backoff_cap: float = 60.0
    parallel_submits: int = 8
    outstanding: int = 1000
    poll_min: float = 0.01
    poll_max: float = 0.5
    lease: float = 15.0
    grace: float = 5.0
    keep: float = 90 * 86_400.0
    patience: float = 60.0
    gain: float = 0.3
    max_moves: int = 2
    seed: int = 0

    def delay(self, job: str, tries: int, least: float = 0.0) -> float:
        """Seconds to wait after try number `tries` (from 1) of this job."""
        full = min(self.backoff_cap, self.backoff * 2.0 ** min(tries - 1, 60))
        # Jitter only spreads load, so a weak generator is right; a string seed is stable.
        jitter = random.Random(f"{self.seed}:{job}:{tries}").uniform(0.5, 1.0)  # noqa: S311
        return max(least, full * jitter)
