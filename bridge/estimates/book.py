"""All estimates together: observations go in, informed snapshots come out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from decimal import Decimal
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final

from bridge.estimates._money import Ledger
from bridge.estimates._pair import Pair
from bridge.estimates._runs import NO_SIZE
from bridge.estimates._targets import TargetTimes
from bridge.estimates.model import Accuracy, Observation, Prediction
from bridge.scheduler import Estimate, Snapshot, Spent, TargetState

__all__ = ["Estimates"]

_LONGEST: Final = 1e9  # seconds: some thirty years
_AHEAD: Final = 60.0
# A submit is recorded after it was answered: a job may run a little before that.
_EARLY: Final = 1.0
_BORROWED: Final = 0.25
# Runs that weigh together no more than this have no confidence to speak of.
_WORTHLESS: Final = 0.01
_FORMAT: Final = 1
_RUNS, _TARGET, _SPENT, _DROPPED, _VERSION = "runs", "target", "spent", "dropped", "format"
_SERVICE, _OWNER = "service", "owner"
# Kinds of targets that keep a job's container for the next one.
_KEEPING: Final = frozenset({"lambda"})
_NOBODY: Final[Mapping[str, Sequence[float]]] = MappingProxyType({})


class Estimates:
    """What is known. Not thread-safe; all times are given, in seconds since the epoch.

    Numbers that cannot be (NaN, negative, absurd, of the future) are left out and counted in
    `dropped`, by what they were.
    """

    MARK: Final = (json.dumps([_VERSION]), json.dumps(_FORMAT))
    """Among what is kept, the name and text that say in which form the rest is."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self._pairs: dict[str, dict[str, Pair]] = {}
        self._targets: dict[str, TargetTimes] = {}
        self._spent: dict[tuple[str, str], Ledger] = {}
        self._dropping = False
        self._gone: list[tuple[str, ...]] = []

    # --- what comes in ------------------------------------------------------------------------

    def observe(self, seen: Observation, now: float | None = None) -> bool:
        """Learn from one attempt; True when it shows that runs there have changed for good.

        What ended later than `now` (and a minute) is dropped as a whole.
        """
        at = seen.at
        if not 0 <= at <= (_LONGEST * 10 if now is None else now + _AHEAD):
            self._drop("time")
            return False
        target = self._target(seen.target)
        self._learn_target(target, seen, at)
        if seen.cost:
            self._pay(seen, at)
        self._hold(target, seen, at)
        run = seen.run
        if run is None:
            return False
        if not 0 <= run <= _LONGEST:
            self._drop("run")
            return False
        target.ran(run, seen.cores)
        pair = self._pair(seen.service, seen.target)
        if seen.predicted is not None:
            _compare(pair, seen, seen.predicted, run)
        size = seen.size
        return pair.add(NO_SIZE if size is None or size < 0 else size.bit_length(), run, at)

    def _learn_target(self, target: TargetTimes, seen: Observation, at: float) -> None:
        if seen.failed is not None:
            target.attempted(failed=seen.failed, at=at)
        if seen.start is not None:
            if -_EARLY <= seen.start <= _LONGEST:
                target.started(max(seen.start, 0.0), at, cold=seen.cold)
            else:
                self._drop("start")
        if seen.stage_in is not None:
            self._moved(target, "in", seen.stage_in, at)
        if seen.stage_out is not None:
            self._moved(target, "out", seen.stage_out, at)

    def _hold(self, target: TargetTimes, seen: Observation, at: float) -> None:
        """The attempt had a container, which waits for the next one now."""
        if seen.held is None:
            return
        if not 0 <= seen.held <= _LONGEST:
            self._drop("held")
            return
        pair = self._pair(seen.service, seen.target)
        pair.changed = True
        shown = pair.containers.used(at - seen.held, at, target.kept, cold=seen.cold)
        for gap, cold in shown:
            target.waited(gap, cold=cold)

    def _moved(self, target: TargetTimes, way: str, moved: tuple[float, int], at: float) -> None:
        seconds, size = moved
        if 0 <= seconds <= _LONGEST and size >= 0:
            target.moved(way, seconds, size, at)
        else:
            self._drop("transfer")

    def _pay(self, seen: Observation, at: float) -> None:
        if not (seen.cost.is_finite() and seen.cost > 0):
            self._drop("cost")
            return
        for kind, name in ((_SERVICE, seen.service), (_OWNER, seen.owner)):
            if name:
                self._spent.setdefault((kind, name), Ledger()).add(seen.cost, at)

    def submitted(self, target: str, at: float, *, ok: bool) -> bool:
        """A target took a job, or refused it for now; whether that says anything new."""
        if ok and self.is_untroubled(target):
            return False
        known = self._target(target)
        known.breaker = known.breaker.after(ok=ok, at=at)
        known.changed = True
        return True

    def is_untroubled(self, target: str) -> bool:
        """Whether the target has refused nothing since it took a job."""
        known = self._targets.get(target)
        return known is None or (known.breaker.opened is None and not known.breaker.refused)

    def breaker(self, target: str, now: float) -> str:
        """What the target's breaker says: `closed`, `open` or `half-open`."""
        known = self._targets.get(target)
        return "closed" if known is None else known.breaker.state(now)

    def _drop(self, what: str) -> None:
        self.dropped[what] += 1
        self._dropping = True

    def _pair(self, service: str, target: str) -> Pair:
        pairs = self._pairs.get(service)
        if pairs is None:
            pairs = self._pairs[service] = {}
        found = pairs.get(target)
        if found is None:
            found = pairs[target] = Pair()
        return found

    def _target(self, name: str) -> TargetTimes:
        found = self._targets.get(name)
        if found is None:
            found = self._targets[name] = TargetTimes()
            found.changed = True  # that it is known at all is said to decisions
        return found

    # --- what comes out -----------------------------------------------------------------------

    def informed(
        self,
        snapshot: Snapshot,
        service: str,
        now: float,
        *,
        owner: str = "",
        busy: Mapping[str, Sequence[float]] = _NOBODY,
    ) -> Snapshot:
        """The snapshot with all that is known of a service, for a decision about it.

        `busy` says when the service's jobs that are under way were placed, by target. Of a target
        where nothing is known, nothing changes. A service that has not run there often enough is
        taken to run as on the target where most is known of it, with little confidence.
        """
        runs = {
            name: found
            for name, pair in self._pairs.get(service, {}).items()
            if (found := pair.estimate(now)) is not None
        }
        surest = max(runs, key=lambda name: runs[name].confidence, default="")
        elsewhere = _elsewhere(runs[surest], surest) if surest else None
        return replace(
            snapshot,
            targets=tuple(
                self._informed(state, service, runs.get(state.spec.name, elsewhere), now, busy)
                for state in snapshot.targets
            ),
            spent={**snapshot.spent, service: self.spent(service, now, owner=owner)},
        )

    def _informed(
        self,
        state: TargetState,
        service: str,
        run: Estimate | None,
        now: float,
        busy: Mapping[str, Sequence[float]],
    ) -> TargetState:
        known = self._targets.get(state.spec.name)
        if known is None and run is None:
            return state
        found = {} if known is None else known.fields(now)
        if run is not None:
            found["runs"] = {**state.runs, service: run}
        if known is not None and state.spec.kind in _KEEPING:
            cold, there = self._waiting(service, state.spec.name, known.kept, now, busy)
            found["cold"], found["warm"] = (
                {**state.cold, service: cold},
                {**state.warm, service: there},
            )
        return _changed(state, found)

    def _waiting(
        self,
        service: str,
        target: str,
        kept: float,
        now: float,
        busy: Mapping[str, Sequence[float]],
    ) -> tuple[float, int]:
        """The chance of a cold start and the containers that wait."""
        pair = self._pairs.get(service, {}).get(target)
        if pair is None:
            return 1.0, 0
        return pair.containers.waiting(now, kept, busy.get(target, ()))

    def spent(self, service: str, now: float, *, owner: str = "") -> Spent:
        """What runs of the service, and of all services of its owner, have cost."""
        none = Decimal(0), Decimal(0)
        own = self._spent.get((_SERVICE, service))
        day, month = none if own is None else own.spent(now)
        all_ = self._spent.get((_OWNER, owner)) if owner else None
        owner_day, owner_month = none if all_ is None else all_.spent(now)
        return Spent(day, month, owner_day, owner_month)

    def accuracy(self, now: float) -> Iterator[Accuracy]:
        """Every service on every target where it has run, by name."""
        for service, pairs in sorted(self._pairs.items()):
            for target, pair in sorted(pairs.items()):
                found = pair.estimate(now)
                yield Accuracy(
                    service,
                    target,
                    pair.times.samples,
                    found.run if found else None,
                    found.late if found else None,
                    found.confidence if found else 0.0,
                    pair.run.known,
                    pair.finish.known,
                    pair.run.count,
                    pair.times.drifts,
                    pair.times.drifting,
                    pair.start.known,
                    pair.transfer.known,
                )

    # --- to keep it ---------------------------------------------------------------------------

    def changes(self) -> dict[str, str]:
        """What has changed since the last call, as texts by name, which `restore` reads; "" is for
        what was forgotten."""
        gone, self._gone = self._gone, []
        found = {json.dumps(key): "" for key in gone}
        found |= {json.dumps(key): _text(value) for key, value in self._changes()}
        return found | dict((self.MARK,)) if found else {}

    def forget(self, now: float) -> None:
        """Drop services of which nothing was heard for so long that it says nothing any more."""
        for service, pairs in list(self._pairs.items()):
            for target, pair in list(pairs.items()):
                if pair.times.weight(now) < _WORTHLESS:
                    del pairs[target]
                    self._gone.append((_RUNS, service, target))
            if not pairs:
                del self._pairs[service]
        for key, ledger in list(self._spent.items()):
            if ledger.is_old(now):
                del self._spent[key]
                self._gone.append((_SPENT, *key))

    def _changes(self) -> Iterator[tuple[Sequence[str], Any]]:
        for service, pairs in self._pairs.items():
            for target, pair in pairs.items():
                if pair.changed:
                    pair.changed = False
                    yield (_RUNS, service, target), pair.as_json()
        for target, times in self._targets.items():
            if times.changed:
                times.changed = False
                yield (_TARGET, target), times.as_json()
        for key, ledger in self._spent.items():
            if ledger.changed:
                ledger.changed = False
                yield (_SPENT, *key), ledger.as_json()
        if self._dropping:
            self._dropping = False
            yield (_DROPPED,), dict(self.dropped)

    @classmethod
    def readable(cls, kept: Mapping[str, str]) -> bool:
        """Whether `restore` understands what was kept; nothing at all is not."""
        name, text = cls.MARK
        return kept.get(name) == text

    def restore(self, kept: Mapping[str, str]) -> set[str]:
        """Take what `changes` gave, of this or another process, in place of what is known of the
        same; the targets among it."""
        targets = set()
        for name, text in kept.items():
            kind, *names = json.loads(name)
            data = json.loads(text)
            if kind == _RUNS:
                self._pairs.setdefault(names[0], {})[names[1]] = Pair.from_json(data)
            elif kind == _TARGET:
                self._targets[names[0]] = TargetTimes.from_json(data)
                targets.add(names[0])
            elif kind == _SPENT:
                self._spent[names[0], names[1]] = Ledger.from_json(data)
            elif kind == _DROPPED:
                self.dropped = Counter(data)
        return targets


_NAMES: Final = tuple(field.name for field in fields(TargetState))
_VALUES: Final = attrgetter(*_NAMES)
_PLACES: Final = {name: place for place, name in enumerate(_NAMES)}


def _changed(state: TargetState, found: Mapping[str, Any]) -> TargetState:
    """What `dataclasses.replace` makes, in half the time: this runs for every target and job."""
    values = list(_VALUES(state))
    for name, value in found.items():
        values[_PLACES[name]] = value
    return TargetState(*values)


def _compare(pair: Pair, seen: Observation, said: Prediction, run: float) -> None:
    if 0 <= said.run <= _LONGEST:
        pair.run.add(said.run, run)
    moved = [one[0] for one in (seen.stage_in, seen.stage_out) if one is not None]
    for mean, foretold, came in (
        (pair.finish, said.finish, seen.finish),
        (pair.start, said.start, None if seen.start is None else max(seen.start, 0.0)),
        (pair.transfer, said.transfer, sum(moved) if moved else None),
    ):
        if foretold is None or came is None:
            continue
        if 0 <= came <= _LONGEST and 0 <= foretold <= _LONGEST:
            mean.add(foretold, came)


def _elsewhere(found: Estimate, target: str) -> Estimate:
    """What runs on one target say of another one."""
    note = f"the run time is that on {target}: too few runs here"

    def less(one: Estimate) -> Estimate:
        return replace(one, confidence=one.confidence * _BORROWED, note=note, sizes=())

    return replace(less(found), sizes=tuple(map(less, found.sizes)), smallest=found.smallest)


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
