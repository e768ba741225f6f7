"""The scheduler's own policies as deciders: what production would do with the same news."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bridge.events import Event, EventKind
from bridge.fdl.model import Service
from bridge.scheduler import Estimate, Room, Snapshot, TargetState, decide
from bridge.simulate.model import (
    Call,
    ClusterModel,
    Maker,
    Place,
    Trace,
    View,
    Waiting,
    World,
)

_CONFIDENCE = 0.5  # of an estimate that rests on measurements
_NEVER = Room(0, 0, why="no machine there is large enough")


def policy_maker(policy: str | None = None) -> Maker:
    """A decider that asks `bridge.scheduler.decide` under this policy; None: the services' own."""

    def make(world: World, trace: Trace, seed: int) -> PolicyDecider:
        return PolicyDecider(world, trace, seed, policy)

    return make


class PolicyDecider:
    """`decide`, with a snapshot made of the view."""

    review_every = 0.0

    def __init__(self, world: World, trace: Trace, seed: int, policy: str | None) -> None:
        self.name = policy or "as the file says"
        self.notes: tuple[str, ...] = ()
        self._world, self._trace, self._seed, self._policy = world, trace, seed, policy
        self._names = {place.spec.name: i for i, place in enumerate(world.places)}
        self._rooms = [_rooms(place, trace) for place in world.places]

    def choose(self, call: Call, view: View) -> int:
        service = self._trace.workloads[call.workload].service
        decision = decide(
            service,
            event_of(service, call),
            self.snapshot(call, view),
            policy=self._policy,
            seed=self._seed,
            prices=self._world.prices,
        )
        return self._names.get(decision.target, -1)

    def snapshot(self, call: Call, view: View) -> Snapshot:
        """What `decide` is told of all targets for this call."""
        name = self._trace.workloads[call.workload].service.name
        runs = view.estimates[call.workload]
        return Snapshot(
            tuple(
                TargetState(
                    place.spec,
                    running=view.running[i],
                    queued=view.queued[i],
                    failures=view.failures[i],
                    start=view.starts[i],
                    age=view.age,
                    runs={name: Estimate(runs[i], _CONFIDENCE)},
                    room=self._rooms[i],
                )
                for i, place in enumerate(self._world.places)
            )
        )

    def review(self, waiting: Iterable[Waiting], view: View) -> Mapping[int, int]:
        return {}


def event_of(service: Service, call: Call) -> Event:
    """The event that would have started this call: an object in the service's first input."""
    provider = str(service.inputs[0].provider) if service.inputs else ""
    return Event(EventKind.S3, provider, key=str(call.index), size=int(call.size))


def _rooms(place: Place, trace: Trace) -> dict[str, Room]:
    """The services that are larger than any machine of a cluster, which production measures."""
    model = place.model
    if not isinstance(model, ClusterModel):
        return {}
    return {
        w.service.name: _NEVER
        for w in trace.workloads
        if w.service.resources.cpu > model.cpu or w.service.resources.memory > model.memory
    }
