"""Many decisions on one snapshot, each of which sees those that were taken before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from math import ceil, inf

from bridge.errors import BridgeError, PlacementError
from bridge.events import Event
from bridge.fdl.model import Service
from bridge.scheduler._decide import decide
from bridge.scheduler._offers import NOTHING
from bridge.scheduler._policies import policy_for
from bridge.scheduler._prices import Prices
from bridge.scheduler.model import Cause, Decision, Snapshot, Spent, TargetState

Job = tuple[Service, Event | Cause | None, int]
"""A job to place: its service, what started it, and the seed of its decision."""

Place = Callable[..., Decision]
"""As `decide`: (service, event, snapshot, *, seed)."""


@dataclass(slots=True)
class _Reserved:
    """What was placed on a target: jobs, what they ask for together, and how long they run."""

    jobs: int = 0
    cpu: Decimal = Decimal(0)
    memory: int = 0
    gpu: int = 0
    seconds: float = 0.0
    services: Counter[str] = field(default_factory=Counter)

    def add(self, service: Service, seconds: float) -> None:
        asked = service.resources
        self.jobs += 1
        self.services[service.name] += 1
        self.cpu += asked.cpu
        self.memory += asked.memory
        self.gpu += asked.gpu
        self.seconds += seconds

    def jobs_of(self, service: Service) -> int:
        """As how many jobs of a service they count: at least as many as fit into their place."""
        asked = service.resources
        pairs = ((self.cpu, asked.cpu), (self.memory, asked.memory), (self.gpu, asked.gpu))
        return max(self.jobs, *(ceil(used / each) if each else 0 for used, each in pairs))

    def seen_by(self, service: Service, state: TargetState) -> TargetState:
        """The state with them in it, as jobs of the service."""
        count, name = self.jobs_of(service), service.name
        room = dict(state.room)
        if name in room:
            ahead = max(room[name].ahead, state.queued) + count
            room[name] = replace(room[name], ahead=ahead)
        mean = self.seconds / self.jobs
        before = state.running + state.queued
        if state.mean_run is not None and before:
            mean = (state.mean_run * before + self.seconds) / (before + self.jobs)
        cores = state.mean_cpu
        if cores is not None:  # these are counted as jobs of the service
            whole = cores * before + float(service.resources.cpu) * count
            cores = whole / (before + count)
        return replace(
            state,
            running=state.running + count,
            room=room,
            mean_run=mean,
            mean_cpu=cores,
            cold=self._cold(name, state),
        )

    def _cold(self, name: str, state: TargetState) -> Mapping[str, float]:
        """Each of them has taken one of the service's containers that waited."""
        if name not in state.warm or self.services[name] < state.warm[name]:
            return state.cold
        return {**state.cold, name: 1.0} if self.services[name] else state.cold


def decide_all(
    jobs: Sequence[Job],
    snapshot: Snapshot,
    *,
    policy: str | None = None,
    prices: Prices | None = None,
    place: Place | None = None,
) -> list[Decision | BridgeError]:
    """Place a burst; the answers are in the order of `jobs`.

    Each decision sees the jobs before it as running on their targets, and their price as spent, so
    that no more jobs are told to start at once than there is room for. Under the policy `deadline`
    the one with the least time to spare is placed first, else the first one. A job that cannot be
    asked about (see `decide`) has the error in its place and is in nobody's way. `place` takes the
    decisions instead of `decide`, and gets no policy and prices. Pure, if that is.
    """
    reserved: dict[str, _Reserved] = {}
    spent = dict(snapshot.spent)
    answers: dict[int, Decision | BridgeError] = {}
    ask = place or partial(decide, policy=policy, prices=prices)
    for count, number in enumerate(_order(jobs, snapshot, policy, prices)):
        service, event, seed = jobs[number]
        now = replace(
            snapshot,
            targets=_seen_by(service, snapshot, reserved),
            spent=spent,
            turn=None if snapshot.turn is None else snapshot.turn + count,
        )
        try:
            made = ask(service, event, now, seed=seed)
        except BridgeError as error:
            answers[number] = error
            continue
        answers[number] = made
        if made.chosen is not None:
            offer = made.chosen.offer
            reserved.setdefault(offer.target, _Reserved()).add(service, offer.run)
            spent = {**spent, service.name: _more(spent.get(service.name, NOTHING), offer.cost)}
    return [answers[number] for number in range(len(jobs))]


def _seen_by(
    service: Service, snapshot: Snapshot, reserved: Mapping[str, _Reserved]
) -> tuple[TargetState, ...]:
    return tuple(
        reserved[state.spec.name].seen_by(service, state) if state.spec.name in reserved else state
        for state in snapshot.targets
    )


def _more(spent: Spent, cost: Decimal) -> Spent:
    return Spent(
        spent.day + cost, spent.month + cost, spent.owner_day + cost, spent.owner_month + cost
    )


def _order(
    jobs: Sequence[Job], snapshot: Snapshot, policy: str | None, prices: Prices | None
) -> list[int]:
    """The least slack first: what is left of a deadline after the soonest finish there is."""
    slacks: dict[tuple[int, int | None], float] = {}

    def slack(place: int) -> float:
        service, event, _ = jobs[place]
        size = None if event is None else event.size
        key = (id(service), size)
        if key not in slacks:
            slacks[key] = _slack(service, event, snapshot, policy, prices)
        return slacks[key]

    return sorted(range(len(jobs)), key=slack)


def _slack(
    service: Service,
    event: Event | Cause | None,
    snapshot: Snapshot,
    policy: str | None,
    prices: Prices | None,
) -> float:
    deadline = service.placement.deadline
    try:
        if deadline is None or policy_for(service, policy).name != "deadline":
            return inf
        made = decide(service, event, snapshot, policy="fastest", prices=prices)
    except PlacementError:
        return inf
    return deadline - made.chosen.offer.finish if made.chosen else inf
