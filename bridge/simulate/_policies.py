"""The scheduler's own policies as deciders: what production would do with the same news."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from bridge.fdl.model import Service
from bridge.scheduler import Cause, Decision, Estimate, Snapshot, TargetState, decide
from bridge.scheduler.routing import Now, Routing
from bridge.simulate._moves import Moves
from bridge.simulate.model import (
    Call,
    Maker,
    Trace,
    View,
    Waiting,
    World,
)

_CONFIDENCE = 0.5  # of an estimate that rests on measurements


def policy_maker(policy: str | None = None) -> Maker:
    """A decider that decides as `bridge.scheduler` does under this policy.

    None means each service's own. Where there is no quick form of a policy, `decide` itself is
    asked, which takes many times as long, and the result's notes say so.
    """

    def make(world: World, trace: Trace, seed: int) -> PolicyDecider:
        return PolicyDecider(world, trace, seed, policy)

    return make


class PolicyDecider:
    """The scheduler, told what the view says; jobs that wait are decided about anew."""

    review_every = 10.0

    def __init__(self, world: World, trace: Trace, seed: int, policy: str | None) -> None:
        self.name = policy or "own"
        self._world, self._trace, self._seed, self._policy = world, trace, seed, policy
        self._services = [workload.service for workload in trace.workloads]
        self._providers = [_provider(service) for service in self._services]
        self._late = [_late(trace, n) for n in range(len(trace.workloads))]
        names = {place.spec.name: i for i, place in enumerate(world.places)}
        self._moves = Moves(self._services, names)
        self._routing: Routing | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What to say of how the decisions were made."""
        if self._routing is None:
            return ()
        slow = sorted(self._routing.slow)
        return tuple(f"no quick form of {name}: decided one by one" for name in slow)

    def choose(self, call: Call, view: View) -> int:
        routing = self._told(view)
        service, tried = self._services[call.workload], call.tried
        cause = self._cause(call)
        found = routing.choose(service, cause, tried)
        if found < 0 and tried:  # nothing else can run it: once more where it failed
            found = routing.choose(service, cause)
        return found

    def review(self, waiting: Iterable[Waiting], view: View) -> Mapping[int, int]:
        routing = self._told(view)

        def decided(service: Service, call: Call, snapshot: Snapshot) -> Decision:
            return decide(
                service,
                self._cause(call),
                snapshot,
                policy=self._policy,
                seed=self._seed,
                prices=self._world.prices,
            )

        def seen(workload: int) -> Snapshot:
            return routing.snapshot(self._services[workload])

        return self._moves.found(waiting, view, seen, decided)

    def _cause(self, call: Call) -> Cause:
        return Cause(str(call.number), self._providers[call.workload], int(call.size))

    def _told(self, view: View) -> Routing:
        if self._routing is None:
            self._routing = self._prepared(view)
        self._routing.now.age = view.age
        return self._routing

    def _prepared(self, view: View) -> Routing:
        states = [
            TargetState(
                place.spec,
                start=view.starts[i],
                runs={
                    service.name: _estimate(view.estimates[n][i], self._late[n])
                    for n, service in enumerate(self._services)
                },
            )
            for i, place in enumerate(self._world.places)
        ]
        now = Now(
            np.frombuffer(view.running, dtype=np.int64),
            np.frombuffer(view.queued, dtype=np.int64),
            np.frombuffer(view.failures, dtype=np.float64),
            np.frombuffer(view.means, dtype=np.float64),
            np.frombuffer(view.cores, dtype=np.float64),
        )
        place = {service.name: i for i, service in enumerate(self._services)}
        return Routing(
            states,
            now,
            spaces=lambda service: view.space(place[service.name]),
            policy=self._policy,
            seed=self._seed,
            prices=self._world.prices,
        )


def _provider(service: Service) -> str:
    return str(service.inputs[0].provider) if service.inputs else ""


def _late(trace: Trace, workload: int) -> float:
    """The 95th percentile of a workload's run by what is typical, as measurements would show it."""
    runs, typical = trace.run[trace.workload == workload], trace.workloads[workload].typical
    return float(np.quantile(runs, 0.95)) / typical if len(runs) and typical else 1.0


def _estimate(run: float, late: float) -> Estimate:
    return Estimate(run, _CONFIDENCE, late=max(run * late, run))
