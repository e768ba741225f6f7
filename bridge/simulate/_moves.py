"""Jobs that wait are decided about anew, by the rule of the dispatcher that moves them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import isfinite

from bridge.fdl.model import Service
from bridge.scheduler import Decision, Snapshot, TargetState
from bridge.simulate.model import Call, View, Waiting

# As the dispatcher's settings have them: seconds, a share of the deadline, the share of the time
# that a move must save, moves of one job, and jobs of a service on a target at one look.
_PATIENCE, _SHARE, _GAIN, _MOST, _FEW = 60.0, 0.25, 0.3, 2, 16

Decide = Callable[[Service, Call, Snapshot], Decision]


class Moves:
    """Who of those that wait is better off elsewhere, at one look after the other."""

    def __init__(self, services: Sequence[Service], names: Mapping[str, int]) -> None:
        self._services, self._index = services, names
        self._moved: Counter[int] = Counter()

    def found(
        self,
        waiting: Iterable[Waiting],
        view: View,
        seen: Callable[[int], Snapshot],
        decide: Decide,
    ) -> dict[int, int]:
        """The moves. Who has the most before him comes first: where he stays, all before him do."""
        lines: dict[tuple[int, int], list[Waiting]] = defaultdict(list)
        before: Counter[int] = Counter()
        place: dict[int, int] = {}
        for one in sorted(waiting, key=lambda each: each.since):
            lines[one.target, one.call.workload].append(one)
            place[one.call.number] = before[one.target]
            before[one.target] += 1
        moves: dict[int, int] = {}
        going: Counter[int] = Counter()
        for (_, workload), line in lines.items():
            for one in [each for each in line if self._is_late(each, view.now)][-_FEW:][::-1]:
                snapshot = self._as_seen(one, seen(workload), place[one.call.number], going)
                target = self._better(one, view.now, snapshot, decide)
                if target < 0:
                    break
                moves[one.call.number] = target
                going[target] += 1
                self._moved[one.call.number] += 1
        return moves

    def _is_late(self, one: Waiting, now: float) -> bool:
        deadline = self._services[one.call.workload].placement.deadline
        patience = _PATIENCE if deadline is None else min(_PATIENCE, deadline * _SHARE)
        return now - one.since >= patience and self._moved[one.call.number] < _MOST

    def _as_seen(
        self, one: Waiting, snapshot: Snapshot, ahead: int, going: Mapping[int, int]
    ) -> Snapshot:
        """On its own target only those before it count, on others also those who go there now.

        Where it has failed it does not go again.
        """
        name = self._services[one.call.workload].name

        def seen(state: TargetState) -> TargetState:
            target = self._index[state.spec.name]
            if target != one.target:
                return replace(state, queued=state.queued + going.get(target, 0))
            room = state.room.get(name)
            if room is None:
                return replace(state, queued=ahead)
            behind = max(1, state.queued - ahead)
            shorter = replace(room, ahead=max(0, room.ahead - behind))
            return replace(state, queued=ahead, room={name: shorter})

        left = {place for place in one.call.tried if place != one.target}
        return replace(
            snapshot,
            targets=tuple(
                seen(state)
                for state in snapshot.targets
                if self._index[state.spec.name] not in left
            ),
        )

    def _better(self, one: Waiting, now: float, snapshot: Snapshot, decide: Decide) -> int:
        """The target that is enough better than where it is; -1 when it stays."""
        service, left = self._services[one.call.workload], one.call.deadline - now
        if isfinite(left):
            placement = replace(service.placement, deadline=max(left, 0.001))
            service = replace(service, placement=placement)
        decision = decide(service, one.call, snapshot)
        there, target = decision.chosen, self._index.get(decision.target, -1)
        if there is None or target == one.target:
            return -1
        home = next(name for name, index in self._index.items() if index == one.target)
        here = next(c.offer for c in decision.candidates if c.offer.target == home)
        if here.feasible:
            saves = there.offer.finish <= left < here.finish
            if not saves and there.offer.finish >= here.finish * (1 - _GAIN):
                return -1
        return target
