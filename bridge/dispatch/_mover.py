"""Jobs that wait too long where they are: taken back first, and only then placed anew."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from bridge.dispatch import steps, waiting
from bridge.dispatch._core import LOG, Core
from bridge.dispatch._lane import Lane
from bridge.dispatch.model import Change, JobRecord, Waiting
from bridge.dispatch.protocol import Decide
from bridge.errors import BridgeError, TemporaryError, WaitError
from bridge.fdl.model import Service
from bridge.scheduler import Snapshot, from_json
from bridge.targets import JobState

__all__ = ["Mover"]

# Of each service on each target, at one look.
_FEW: Final = 16
_LONGEST: Final = 10.0
_SHORTEST: Final = 0.005
# A look takes the longer the more jobs wait: it is not to be most of what the store does.
_REST: Final = 20.0
# While a target is being asked for a job.
_ASKING: Final = 0.5


class Mover:
    """One thread that looks at what waits, and takes back what is better off elsewhere.

    That a job is to be taken back is on record before its target hears of it, and it is placed
    anew only when the target has said that it will not run there. So it never runs in two places,
    whenever we die.
    """

    def __init__(
        self,
        core: Core,
        lanes: Mapping[str, Lane],
        decide: Decide,
        snapshot: Callable[[], Snapshot],
    ) -> None:
        self._core = core
        self._lanes = lanes
        self._decide = decide
        self._snapshot = snapshot
        self._next = 0.0

    def run(self) -> None:
        """The thread's work until the dispatcher stops."""
        self._core.loop(self._step)

    def _step(self) -> None:
        core, patience = self._core, min(self._groups(), default=_LONGEST)
        pause = max(_SHORTEST, min(_LONGEST, patience / 4))
        asking = any(lane.held for lane in self._lanes.values())
        core.moving.wait(min(pause, _ASKING) if asking else pause)
        core.moving.clear()
        if core.stopping.is_set():
            return
        for lane in self._lanes.values():
            for record in lane.held:
                if not self._go_on(lane, record):
                    # The others there would fare no better, and those elsewhere must not wait.
                    break
        if len(self._lanes) > 1 and time.monotonic() >= self._next:
            begun = time.monotonic()
            self._look()
            now = time.monotonic()
            self._next = now + max(pause, _REST * (now - begun))

    # --- who is better off elsewhere --------------------------------------------------------

    def _groups(self) -> Mapping[float, list[str]]:
        """The services by how long their jobs may wait."""
        groups = defaultdict(list)
        for service in self._core.services.values():
            groups[waiting.patience(service, self._core.settings)].append(service.name)
        return groups

    def _look(self) -> None:
        core, now = self._core, self._core.clock()
        for patience, services in self._groups().items():
            found = core.store.waiting(core.owner, services, now - patience, now, _FEW)
            if found:
                self._consider(found)

    def _consider(self, found: list[Waiting]) -> None:
        """Who has the most before him comes first: where he stays, all before him do."""
        snapshot, going = self._snapshot(), Counter[str]()
        staying: set[tuple[str, str]] = set()
        for one in found:
            line = one.job.target, one.job.service
            if line in staying:
                continue
            target = self._better(one, snapshot, going)
            if target and self._take(one):
                going[target] += 1
            else:
                staying.add(line)

    def _better(self, one: Waiting, snapshot: Snapshot, going: Mapping[str, int]) -> str:
        """Where the job would be better off; "" when it stays."""
        core, job = self._core, one.job
        service = core.services.get(job.service)
        if service is None or job.target not in self._lanes or self._has_moved_enough(job):
            return ""
        if service.placement.policy == "hedge":
            return self._hedged(job)
        seen = core.known.informed(waiting.seen_by(one, snapshot, going), service.name)
        if service.placement.budget:
            detail = core.store.detail(job.id)
            seen = waiting.unpaid(seen, service.name, steps.cost_on(detail, job.target))
        return self._decided(one, service, seen)

    def _hedged(self, job: JobRecord) -> str:
        detail = self._core.store.detail(job.id)
        if detail is None or not detail.decisions:
            return ""
        since = job.accepted if job.placed is None else job.placed
        target = waiting.hedged(from_json(detail.decisions[-1]), since, self._core.clock())
        return target if target in self._lanes else ""

    def _has_moved_enough(self, job: JobRecord) -> bool:
        detail = self._core.store.detail(job.id) if job.attempt > 1 else None
        return steps.moves(detail) >= self._core.settings.max_moves

    def _decided(self, one: Waiting, service: Service, snapshot: Snapshot) -> str:
        core, job = self._core, one.job
        try:
            target = waiting.better(
                one, service, snapshot, self._decide, settings=core.settings, now=core.clock()
            )
        except WaitError:
            return ""
        except BridgeError as error:
            LOG.warning("job %s stays on %s: %s", job.id, job.target, error)
            return ""
        return target if target in self._lanes else ""

    # --- taking back ------------------------------------------------------------------------

    def _take(self, one: Waiting) -> bool:
        """Begin to take a job back; False when it has begun or is not to be had."""
        core, job = self._core, one.job
        why = f"it waited {core.clock() - (job.placed or job.accepted):.0f} s on {job.target}"
        if job.state is JobState.PLACED and not core.store.take(core.owner, job, core.clock()):
            return False
        if one.untouched:
            return core.persist([steps.placed_anew(job, why, core.clock())])[0] is not None
        lane = self._lanes[job.target]
        held = lane.hold(job)
        if held and self._mark(job, moving=True, why=why):
            return True
        if held and job.state is JobState.PLACED:
            # It was not followed before.
            lane.drop(job.id)
        elif held:
            lane.unhold(job.id)
        elif job.state is JobState.PLACED:
            self._mark(job, moving=False, why=job.reason, release=True)
        return False

    def _mark(self, job: JobRecord, *, moving: bool, why: str, release: bool = False) -> bool:
        core = self._core
        wish = Change(job.id, job.attempt, job.state, core.clock(), reason=why)
        return core.persist([replace(wish, moving=moving, release=release)])[0] is not None

    def _go_on(self, lane: Lane, job: JobRecord) -> bool:
        """Ask for a job that is held; what becomes of it then is one commit. False when its target
        cannot be asked now."""
        try:
            given = lane.withdraw(job)
        except TemporaryError as error:
            LOG.warning("cannot take job %s back from %s yet: %s", job.id, lane.name, error)
            return False
        except BridgeError as error:
            LOG.warning("job %s stays on %s: %s", job.id, lane.name, error)
            given = False
        if given:
            self._place_anew(lane, job)
        elif given is False:
            # It has begun, or is over and says so soon.
            self._mark(replace(job, state=JobState.RUNNING), moving=False, why="")
            lane.let_be(job)
        return True

    def _place_anew(self, lane: Lane, job: JobRecord) -> None:
        core = self._core
        detail = core.store.detail(job.id)
        if detail is None or detail.job.attempt != job.attempt:
            # Another dispatcher took us for dead, and was faster.
            lane.gone(job.id)
            return
        now, fallback = detail.job, ""
        if now.tries >= core.settings.max_submits:
            fallback = steps.next_fallback(detail, self._lanes.keys())
        # Before it is stored: then the next attempt may begin there at any moment.
        lane.gone(job.id)
        core.give_up(now, now.reason, fallback, detail, elsewhere=True)
