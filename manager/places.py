"""Where services may run now, and what brings them there and away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Protocol

from bridge.dispatch import Dispatcher
from bridge.errors import BridgeError
from bridge.fdl.model import Service, TargetSpec
from bridge.scheduler import Decision, Snapshot, TargetState, decide
from bridge.targets import Target
from manager.rollout import Rollouts
from manager.service import Deployed

__all__ = ["Measure", "Places"]

LOG: Final = logging.getLogger("manager")

Measure = Callable[[Mapping[str, tuple[int, int]]], Snapshot]
"""Jobs running and queued, by target → the snapshot that decisions are made on."""


class Held(Protocol):
    """What `Places` needs of the manager's parts."""

    @property
    def targets(self) -> Mapping[str, Target]:
        """All of them, by name."""
        ...

    @property
    def measure(self) -> Measure | None:
        """See `Places`."""
        ...


class Places:
    """The targets of a manager. Its `measure` says how they stand; else only their load is known.

    Services come to those that `rollouts` covers by and by, to others at once.
    """

    def __init__(
        self,
        parts: Held,
        rollouts: Rollouts,
        dispatcher: Callable[[], Dispatcher],
    ) -> None:
        self._targets = parts.targets
        self._measure = parts.measure
        self._rollouts = rollouts
        self._dispatcher = dispatcher

    @property
    def specs(self) -> list[TargetSpec]:
        """The targets that services may be placed on."""
        return [target.spec for target in self._targets.values()]

    def snapshot(self) -> Snapshot:
        """How the targets stand now."""
        ask = self._dispatcher()
        loads = {name: (ask.running(name), ask.queued(name)) for name in self._targets}
        if self._measure is not None:
            found = self._measure(loads)
        else:
            found = Snapshot(tuple(TargetState(spec, *loads[spec.name]) for spec in self.specs))
        away = {name: some for name in loads if (some := self._rollouts.absent(name))}
        if not away:
            return found
        states = (replace(s, absent=away.get(s.spec.name, s.absent)) for s in found.targets)
        return replace(found, targets=tuple(states))

    def decision(self, service: Service) -> Decision:
        """Where a job of the service would go now, with all that was learned."""
        now = self._dispatcher().known.informed(self.snapshot(), service.name)
        return decide(service, None, now)

    def ranking(self, one: Deployed) -> list[str]:
        """The targets that its jobs may run on now, the best one first."""
        candidates = self.decision(one.service).candidates
        return [c.offer.target for c in candidates if c.offer.feasible]

    def all(self, one: Deployed) -> list[str]:
        """The targets that its jobs may ever run on: what is against one of them now passes."""
        offers = [candidate.offer for candidate in self.decision(one.service).candidates]
        return [o.target for o in offers if o.feasible or all(r.passing for r in o.reasons)]

    def have_roles(self, service: Service) -> bool:
        """Whether all its jobs run on AWS, where S3 is reached by a role."""
        named = (*service.placement.targets, *service.placement.fallback)
        return all(self._rollouts.covers(name) for name in named)

    def install(self, one: Deployed) -> None:
        """Make the service runnable wherever it may be placed; errors of targets as they are."""
        for name in self.all(one):
            if self._rollouts.covers(name):
                self._rollouts.want(name, one.service)
            else:
                self._targets[name].deploy([one.service])

    def leave(self, old: Deployed, new: Deployed) -> None:
        """Take a changed service away from where it is no longer placed."""
        for name in sorted({*self.all(old)} - {*self.all(new)}):
            self._remove(name, old.name)

    def forget(self, service: str) -> None:
        """Take the service away from everywhere; what does not answer is left as it is."""
        for name in self._targets:
            try:
                self._remove(name, service)
            except BridgeError as error:
                LOG.warning("%s keeps what it has of service %s: %s", name, service, error)

    def _remove(self, target: str, service: str) -> None:
        if self._rollouts.covers(target):
            self._rollouts.drop(target, service)
        else:
            self._targets[target].remove([service])
