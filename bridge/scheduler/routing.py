"""Many decisions in a row, for who has no use for the reasons: a simulation, a replay.

`Routing.choose` names the target that `decide` would name. Between two calls only counts change,
so everything else that an offer is made of is worked out once for each service and size of input,
by the offers themselves. Needs numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from operator import ge
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bridge.fdl import plugins
from bridge.fdl.model import Service
from bridge.scheduler._counts import Counts, Now, Space, Vector, known, ranks, space_of
from bridge.scheduler._data import assumptions
from bridge.scheduler._decide import check, decide
from bridge.scheduler._lots import two_of
from bridge.scheduler._offers import ask_for, make_offer
from bridge.scheduler._policies import Policy, policy_for, wishes
from bridge.scheduler._prices import Prices
from bridge.scheduler._terms import TERMS, Scale, Seen
from bridge.scheduler.model import Cause, Snapshot, TargetState

__all__ = ["Now", "Routing", "Space"]

_KEPT: Final = 50_000  # columns: about a kilobyte for each ten targets


class Routing:
    """Where jobs go while targets only become fuller and emptier.

    `states` are the targets. What `now` holds of them, in the same order, is read at every call and
    takes the place of what the states say; all else of a state must stay as it is. `spaces` gives
    the room for jobs of a service, where that was measured; None: what the states say.
    """

    def __init__(
        self,
        states: Sequence[TargetState],
        now: Now,
        *,
        spaces: Callable[[Service], Space] | None = None,
        policy: str | None = None,
        seed: int = 0,
        prices: Prices | None = None,
    ) -> None:
        self.now = now
        self._states, self._policy, self._seed, self._prices = states, policy, seed, prices
        self._space = spaces or self._as_stated
        self._turn = 0
        self._lot = f"{seed}\0"
        self._idle = Snapshot(tuple(states))
        self._index = {state.spec.name: i for i, state in enumerate(states)}
        self._asked: dict[str, tuple[Policy, bool]] = {}
        self._columns: dict[tuple[str, int | None, str], _Column] = {}

    def choose(self, service: Service, cause: Cause, without: Collection[int] = ()) -> int:
        """The target for a job of the service, by its place in the states; -1 when there is none.

        `without` are targets that do not come into question. Two services of one name are one
        service. PlacementError as `decide`.
        """
        self._turn += 1
        key = (service.name, cause.size, cause.provider)
        column = None if without else self._columns.get(key)
        if column is None:
            policy, quick = self.asked(service)
            if without or not quick:
                return self._decided(service, cause, without)
            if len(self._columns) >= _KEPT:
                self._columns.clear()
            column = self._columns[key] = self._column(service, cause, policy)
        return column.choose(self.now, self._lot, cause.identity)

    @property
    def slow(self) -> Collection[str]:
        """The policies without a quick form that were asked so far."""
        return {policy.name for policy, quick in self._asked.values() if not quick}

    def asked(self, service: Service) -> tuple[Policy, bool]:
        """The policy that places a service, and whether there is a quick form of it."""
        known = self._asked.get(service.name)
        if known is None:
            policy = policy_for(service, self._policy)
            check(service, self._idle)
            quick = _is_quick(policy) and all(s.breaker == "closed" for s in self._states)
            known = self._asked[service.name] = (policy, quick)
        return known

    def _decided(self, service: Service, cause: Cause, without: Collection[int]) -> int:
        decision = decide(
            service,
            cause,
            self.snapshot(service, without),
            policy=self._policy,
            seed=self._seed,
            prices=self._prices,
        )
        return self._index.get(decision.target, -1)

    def snapshot(self, service: Service, without: Collection[int] = ()) -> Snapshot:
        """What `decide` would be given now, for one service, less the targets that are left out."""
        now, space = self.now, self._space(service)
        return Snapshot(
            tuple(
                replace(
                    state,
                    running=int(now.running[i]),
                    queued=int(now.queued[i]),
                    failures=float(now.failures[i]),
                    mean_run=known(now.means[i]),
                    mean_cpu=known(now.cores[i]),
                    age=now.age,
                    room={service.name: space.room(i)} if space.known[i] else {},
                )
                for i, state in enumerate(self._states)
                if i not in without
            ),
            turn=self._turn,
        )

    def _as_stated(self, service: Service) -> Space:
        return space_of([state.room.get(service.name) for state in self._states])

    def _column(self, service: Service, cause: Cause, policy: Policy) -> _Column:
        """All that stays the same, from the offers of targets that are idle."""
        ask, space = ask_for(service, self._prices), self._space(service)
        seen: list[Seen] = []
        able: list[int] = []
        for _, i in sorted(self._index.items()):
            state, known = self._states[i], ask.standing(self._states[i].spec)
            if space.known[i]:
                state = replace(state, room={service.name: space.room(i)})
            made = make_offer(service, known, cause, state)
            if made.feasible:
                first = known.first_choice
                seen.append(Seen(made, state, 0.0, float(made.cost), 0.0, first, known))
                able.append(i)
        scale = Scale(
            service,
            wishes(service, policy),
            policy.cost_grain,
            policy.time_grain,
            cause.provider,
        )
        return _Column(policy, scale, seen, able, space)


class _Sums(NamedTuple):
    """What a decision has worked out of it, for the targets of a column. `calm`: nobody waits."""

    wait: Vector
    finish: Vector
    load: Vector
    failures: Vector
    age: float
    calm: bool


class _Column:
    """The targets that can run a service for one size of input, by name.

    Some of them have a bound on their jobs, of some the room is known, some may have both; the
    open ones say neither, and are never full.
    """

    def __init__(
        self,
        policy: Policy,
        scale: Scale,
        seen: list[Seen],
        able: list[int],
        space: Space,
    ) -> None:
        bounds = [one.known.capacity or 0 for one in seen]
        self._able, self._at = able, np.array(able, dtype=np.intp)
        offers = [one.offer for one in seen]
        self._run = np.array([o.run for o in offers])
        self._start = np.array([o.start for o in offers])
        self._transfer = np.array([o.transfer for o in offers])
        self._no_wait = np.zeros(len(seen))
        self._soonest = self._no_wait + self._start + self._run + self._transfer
        self._space, known = space, space.known.take(self._at)
        bounded = np.array([bound > 0 for bound in bounds], dtype=np.bool_)
        cpu = np.array([one.known.cpu for one in seen])
        self._bounded, self._roomy, self._open, self._unbounded = (
            _Group(self._at, which, self._run, cpu)
            for which in (bounded, known, ~(bounded | known), ~bounded)
        )
        self._bound = np.array([bound for bound in bounds if bound], dtype=np.int64)
        # Bytes are compared many times faster than arrays are.
        self._nothing = bytes(space.now.nbytes)
        self._room_seen = (b"", False)
        self._both = (bounded & known).take(self._roomy.own)
        self._still_front: tuple[float, list[int]] | None = None
        self._name = scale.service.name
        self._epsilon = policy.epsilon
        self._terms = _terms(policy, seen, scale) if seen else ()
        self._calm_terms = self._when_calm()
        still = [term.values for term in self._terms if term.values is not None]
        alike = list(zip([-one.cost for one in seen], *still, strict=True))
        sorts = sorted(set(alike))
        self._kinds = [sorts.index(one) for one in alike]
        self._beats = [[all(map(ge, a, b)) for b in sorts] for a in sorts]
        self._price = ranks([one.offer.cost for one in seen])
        self._prices = np.array(self._price, dtype=np.int64)
        self._deadline = scale.service.placement.deadline
        self._first = np.array([one.first_choice for one in seen], dtype=np.bool_)
        self._all_first = bool(self._first.all())
        self._fallback = _fallback(scale.service, seen)

    def _when_calm(self) -> tuple[_Term, ...]:
        """The terms while nobody waits: those of waiting stay then, and what comes first and stays
        is added up once."""
        none = self._no_wait
        calm = _Sums(none, self._soonest, none, none, 0.0, calm=True)
        terms = [
            term._replace(values=term.judge(calm)) if term.waits else term for term in self._terms
        ]
        total, settled = none, 0
        for values, share, *_ in terms:
            if values is None:
                break
            total, settled = total + values * share, settled + 1
        return (_Term(total, 1.0), *terms[settled:])

    def choose(self, now: Now, lot: str, identity: str) -> int:
        able = self._able
        if len(able) < 2 or self._fallback >= 0:
            return able[max(self._fallback, 0)] if able else -1
        if self._is_still(now):
            kept = self._still_front
            if kept is None or kept[0] != now.age:
                kept = self._still_front = (now.age, self._front(self._sums(now)))
            best, load = kept[1], self._no_wait
        else:
            sums = self._sums(now)
            best, load = self._front(sums), sums.load
        if len(best) == 1:
            return able[best[0]]
        i, j = two_of(len(best), f"{lot}{self._name}\0{identity}")
        one, other = best[i], best[j]
        return able[other if load[other] < load[one] else one]

    def _is_still(self, now: Now) -> bool:
        """Whether there is nothing of all that changes: then the front stays what it was."""
        if len(self._bound) or now.queued.tobytes() != self._nothing:
            return False
        space = self._space
        if space.ahead.tobytes() != self._nothing or now.failures.tobytes() != self._nothing:
            return False
        seen = space.now.tobytes()
        if seen != self._room_seen[0]:
            full = bool(np.count_nonzero(space.now.take(self._roomy.at) < 1))
            self._room_seen = (seen, full)
        return not self._room_seen[1]

    def _front(self, sums: _Sums) -> list[int]:
        """Who shares the first place, in the order of who would be first without lots."""
        scores = self._no_wait
        moving: list[Vector] = []
        for term in self._calm_terms if sums.calm else self._terms:
            values = term.values
            if values is None:
                values = term.judge(sums)
                moving.append(values)
            scores = scores + values * term.share
        if not self._all_first or self._deadline is not None:
            scores = self._of_best_tier(scores, sums.finish)
        near = (scores >= scores.max() - self._epsilon).nonzero()[0]
        if not self._epsilon and len(near) > 1:
            prices = self._prices.take(near)
            near = near[prices == prices.min()]
        if len(near) == 1:
            return [int(near[0])]
        return self._undominated(near, scores, sums.finish, moving)

    def _sums(self, now: Now) -> _Sums:
        failures = now.failures.take(self._at)
        waiting = now.queued.take(self._unbounded.at)
        short, full = self._short(now), self._too_many(now)
        waits = bool(waiting.any())
        calm = not (waits or (short > 0).any() or (full > 0).any())
        load = self._load(now, waiting)
        if calm:
            return _Sums(self._no_wait, self._soonest, load, failures, now.age, calm)
        wait = np.zeros(len(self._at))
        if waits:
            group = self._open
            running = np.maximum(now.running.take(group.at), 1)
            wait[group.own] = now.queued.take(group.at) * group.each(now) / running
        if len(full):
            group = self._bounded
            wait[group.own] = np.maximum(full, 0) * group.each(now) / self._bound
        if len(short):
            self._add_shortage(now, wait, short)
        finish = wait + self._start + self._run + self._transfer
        return _Sums(wait, finish, load, failures, now.age, calm)

    def _load(self, now: Now, waiting: Counts) -> Vector:
        """The share of the bound; without one, the jobs that wait."""
        if not len(self._bound):
            return waiting.astype(np.float64)
        load, at = np.zeros(len(self._at)), self._bounded.at
        load[self._unbounded.own] = waiting
        load[self._bounded.own] = (now.running.take(at) + now.queued.take(at)) / self._bound
        return load

    def _too_many(self, now: Now) -> Counts:
        """How many jobs must end, where there is a bound, before there is room for one more."""
        if not len(self._bound):
            return self._bound
        at = self._bounded.at
        return now.running.take(at) + now.queued.take(at) - self._bound + 1

    def _short(self, now: Now) -> Counts:
        """The same where the room is known."""
        at, space = self._roomy.at, self._space
        if not len(at):
            return at
        return np.maximum(now.queued.take(at), space.ahead.take(at)) - space.now.take(at) + 1

    def _add_shortage(self, now: Now, wait: Vector, short: Counts) -> None:
        """The wait of `room_wait`, unless the bound makes it longer."""
        space, group = self._space, self._roomy
        each, short = group.each(now), np.maximum(short, 0)
        ever, more = space.ever.take(group.at), space.more.take(group.at)
        shortage = short * each / np.maximum(ever, 1)
        if more.any():
            late = np.maximum(short - more, 0) * each / np.maximum(ever + more, 1)
            adding = np.where(more > 0, space.delay.take(group.at) + late, np.inf)
            shortage = np.minimum(np.where(ever > 0, shortage, np.inf), adding)
            shortage[short == 0] = 0.0
        if self._both.any():
            shortage = np.where(self._both, np.maximum(wait[group.own], shortage), shortage)
        wait[group.own] = shortage

    def _of_best_tier(self, scores: Vector, finish: Vector) -> Vector:
        """The scores of those that come before all others; of others minus infinity."""
        use = self._first
        if self._deadline is not None:
            in_time = use & (finish <= self._deadline)
            use = in_time if in_time.any() else use
        return np.where(use, scores, -np.inf)

    def _undominated(
        self, near: NDArray[np.intp], scores: Vector, finish: Vector, moving: list[Vector]
    ) -> list[int]:
        """Those of the near ties that no other beats in every respect, best first."""
        kinds, beats = self._kinds, self._beats
        parts = [(-finish.take(near)).tolist(), *(each.take(near).tolist() for each in moving)]
        front: list[tuple[int, int, tuple[float, ...]]] = []
        for place, own in zip(near.tolist(), zip(*parts, strict=True), strict=True):
            kind = kinds[place]
            mine = beats[kind]
            for _, other, values in front:
                alike = values == own
                if alike and other == kind:
                    continue
                if beats[other][kind] and (alike or all(map(ge, values, own))):
                    break
            else:
                front = [
                    each
                    for each in front
                    if not mine[each[1]]
                    or (each[1] == kind and each[2] == own)
                    or not all(map(ge, own, each[2]))
                ]
                front.append((place, kind, own))
        best = [place for place, _, _ in front]
        if len(best) > 1:
            best.sort(key=lambda i: (-scores[i], self._price[i], finish[i], i))
        return best


class _Group:
    """Some targets of a column: their places among all (`at`) and in the column (`own`)."""

    def __init__(
        self, at: NDArray[np.intp], which: NDArray[np.bool_], run: Vector, cpu: Vector
    ) -> None:
        self.own = which.nonzero()[0]
        self.at = at.take(self.own)
        self._run, self._cpu = run.take(self.own), cpu.take(self.own)

    def each(self, now: Now) -> Vector:
        """Seconds of each job that is ahead there."""
        means, cores = now.means.take(self.at), now.cores.take(self.at)
        each = np.where(np.isnan(means), self._run, means)
        return np.where(np.isnan(cores), each, each * (cores / self._cpu))


def _is_quick(policy: Policy) -> bool:
    known = _STILL | set(_MOVING)
    weighed = policy.score is None and policy.tier is None
    return weighed and set(policy.weights) <= known and not plugins.installed(plugins.FILTERS)


def _fallback(service: Service, seen: Sequence[Seen]) -> int:
    """Who takes the job when no first choice is able; -1 when one is."""
    if not seen or any(one.first_choice for one in seen):
        return -1
    order = {name: place for place, name in enumerate(service.placement.fallback)}
    return min(range(len(seen)), key=lambda i: order[seen[i].offer.target])


_Judge = Callable[[_Sums], Vector]


class _Term(NamedTuple):
    """A term of a policy: values that stay, or None and what judges each time. `waits`: it is
    judged by waiting alone, beside what stays."""

    values: Vector | None
    share: float
    judge: _Judge = lambda sums: sums.load
    waits: bool = False


def _terms(policy: Policy, seen: Sequence[Seen], scale: Scale) -> tuple[_Term, ...]:
    total = sum(policy.weights.values())
    return tuple(
        _Term(np.array([value for value, _ in TERMS[name].judge(seen, scale)]), weight / total)
        if name in _STILL
        else _Term(None, weight / total, _MOVING[name](scale), name in _WAITING)
        for name, weight in policy.weights.items()
    )


def _against_best(raws: Vector, grain: float) -> Vector:
    if grain:
        raws = raws + grain
    best: np.float64 = raws.min()
    if best:
        values: Vector = best / raws
        return values
    return np.divide(best, raws, out=np.ones_like(raws), where=raws != 0)


def _finish(scale: Scale) -> _Judge:
    return lambda sums: _against_best(sums.finish, scale.time_grain)


def _wait(scale: Scale) -> _Judge:
    return lambda sums: _against_best(sums.wait, scale.time_grain)


def _reliability(_: Scale) -> _Judge:
    return lambda sums: 1.0 - sums.failures


def _load(_: Scale) -> _Judge:
    return lambda sums: np.reciprocal(1.0 + sums.load)


def _freshness(_: Scale) -> _Judge:
    half = assumptions().freshness_half_life
    return lambda sums: np.full(len(sums.load), half / (half + max(sums.age, 0.0)))


# Terms that no count changes, those that are judged each time, and of them those that say the
# same as long as nobody waits.
_STILL: Final = frozenset(
    {
        "carbon",
        "compute-price",
        "cost",
        "locality",
        "order",
        "preference",
        "request-price",
        "run",
        "start",
        "storage-price",
        "transfer",
        "transfer-price",
    }
)
_WAITING: Final = frozenset({"finish", "wait"})
_MOVING: Final[Mapping[str, Callable[[Scale], _Judge]]] = MappingProxyType(
    {
        "finish": _finish,
        "freshness": _freshness,
        "load": _load,
        "reliability": _reliability,
        "wait": _wait,
    }
)
