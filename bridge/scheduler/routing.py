"""Many decisions in a row, for who has no use for the reasons: a simulation, a replay.

`Routing.choose` names the target that `decide` would name. Between two calls only counts change,
so everything else that an offer is made of is worked out once for each service and size of input,
by the offers themselves. Needs numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan
from operator import ge
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bridge.fdl import plugins
from bridge.fdl.model import Service
from bridge.scheduler._data import assumptions
from bridge.scheduler._decide import check, decide
from bridge.scheduler._lots import two_of
from bridge.scheduler._offers import ask_for, make_offer
from bridge.scheduler._policies import Policy, policy_for, wishes
from bridge.scheduler._prices import Prices
from bridge.scheduler._terms import TERMS, Scale, Seen
from bridge.scheduler.model import Cause, Room, Snapshot, TargetState

Vector = NDArray[np.float64]
Counts = NDArray[np.int64]
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
        return column.choose(self.now, f"{self._seed}\0{service.name}\0{cause.identity}")

    def asked(self, service: Service) -> tuple[Policy, bool]:
        """The policy that places a service, and whether there is a quick form of it."""
        known = self._asked.get(service.name)
        if known is None:
            policy = policy_for(service, self._policy)
            check(service, self.snapshot(service))
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
                    mean_run=None if isnan(now.means[i]) else float(now.means[i]),
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
        ask = ask_for(service, self._prices)
        seen: list[Seen] = []
        for state in sorted(self.snapshot(service).targets, key=lambda one: one.spec.name):
            known = ask.standing(state.spec)
            made = make_offer(service, known, cause, state)
            if made.feasible:
                first = known.first_choice
                seen.append(Seen(made, state, 0.0, float(made.cost), 0.0, first, known))
        able = [self._index[one.offer.target] for one in seen]
        scale = Scale(
            service,
            wishes(service, policy),
            policy.cost_grain,
            policy.time_grain,
            cause.provider,
        )
        return _Column(policy, scale, seen, able, self._space(service))


@dataclass(slots=True)
class Now:
    """What changes between two decisions, of each target. `means` are the mean seconds of the jobs
    that run and wait there, NaN where that is not known; `age` is that of all measurements."""

    running: Counts
    queued: Counts
    failures: Vector
    means: Vector
    age: float = 0.0


class Space(NamedTuple):
    """A `Room` for each target, as arrays that are read at every call; `known` and `delay` stay."""

    known: NDArray[np.bool_]
    now: Counts
    ever: Counts
    more: Counts
    ahead: Counts
    delay: Vector

    def room(self, target: int) -> Room:
        """The room of one target."""
        counts = (self.now, self.ever, self.more, self.ahead)
        now, ever, more, ahead = (int(count[target]) for count in counts)
        why = "" if ever + more > 0 else "no machine there is large enough"
        return Room(now, ever, more, float(self.delay[target]), ahead, why)


def space_of(rooms: Sequence[Room | None]) -> Space:
    """The space that these rooms make; None where there is none known."""
    each = [room or Room(0, 0) for room in rooms]
    return Space(
        np.array([room is not None for room in rooms], dtype=np.bool_),
        np.array([room.now for room in each], dtype=np.int64),
        np.array([room.ever for room in each], dtype=np.int64),
        np.array([room.more for room in each], dtype=np.int64),
        np.array([room.ahead for room in each], dtype=np.int64),
        np.array([room.delay for room in each]),
    )


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

    A target that says nothing of its bound has an infinite one: it is never full, and what waits
    there all the same is added.
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
        self._bound = np.array([float(bound) if bound else np.inf for bound in bounds])
        self._full = self._bound - 1.0
        self._open = np.array([i for i, bound in enumerate(bounds) if not bound], dtype=np.intp)
        self._open_at = self._at.take(self._open)
        self._space = space
        self._known = space.known.take(self._at).nonzero()[0]
        self._known_at = self._at.take(self._known)
        self._epsilon = policy.epsilon
        self._terms = _terms(policy, seen, scale) if seen else ()
        self._calm_terms = self._when_calm()
        still = [term.values for term in self._terms if term.values is not None]
        self._still = list(zip([-one.cost for one in seen], *still, strict=True))
        self._price = _ranks([one.offer.cost for one in seen])
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

    def choose(self, now: Now, lot: str) -> int:
        able = self._able
        if len(able) < 2 or self._fallback >= 0:
            return able[max(self._fallback, 0)] if able else -1
        sums = self._sums(now)
        scores = self._no_wait
        moving: list[Vector] = [sums.finish]
        for term in self._calm_terms if sums.calm else self._terms:
            values = term.values
            if values is None:
                values = term.judge(sums)
                moving.append(values)
            scores = scores + values * term.share
        if not self._all_first or self._deadline is not None:
            scores = self._of_best_tier(scores, sums.finish)
        near = (scores >= scores.max() - self._epsilon).nonzero()[0]
        if len(near) == 1:
            return able[int(near[0])]
        best = self._undominated(near, scores, moving)
        if len(best) == 1:
            return able[best[0]]
        i, j = two_of(len(best), lot)
        one, other = best[i], best[j]
        return able[other if sums.load[other] < sums.load[one] else one]

    def _sums(self, now: Now) -> _Sums:
        busy = (now.running + now.queued).take(self._at)
        load = busy / self._bound
        failures = now.failures.take(self._at)
        waiting = now.queued.take(self._open_at)
        short = self._short(now)
        calm = not ((short > 0).any() or (busy > self._full).any() or waiting.any())
        if calm:
            return _Sums(self._no_wait, self._soonest, load, failures, now.age, calm)
        means = now.means.take(self._at)
        each = np.where(np.isnan(means), self._run, means)
        wait = np.maximum(busy - self._full, 0.0) * each / self._bound
        free = self._open
        running = now.running.take(self._open_at)
        wait[free] = waiting * each.take(free) / np.maximum(running, 1)
        load[free] = waiting
        if len(short):
            self._add_shortage(wait, short, each)
        finish = wait + self._start + self._run + self._transfer
        return _Sums(wait, finish, load, failures, now.age, calm)

    def _short(self, now: Now) -> Counts:
        """How many jobs must end, where the room is known, before there is room for one more."""
        at, space = self._known_at, self._space
        return np.maximum(now.queued.take(at), space.ahead.take(at)) - space.now.take(at) + 1

    def _add_shortage(self, wait: Vector, short: Counts, each: Vector) -> None:
        """The wait of `room_wait`, unless the bound makes it longer."""
        at, space, known = self._known_at, self._space, self._known
        each = each.take(known)
        ever, more = space.ever.take(at).astype(np.float64), space.more.take(at)
        whole = ever + more
        with np.errstate(divide="ignore", invalid="ignore"):
            ending = np.where(ever > 0, short * each / ever, np.inf)
            late = np.maximum(short - more, 0) * each / whole
            adding = np.where(more > 0, space.delay.take(at) + late, np.inf)
        shortage = np.where(short > 0, np.minimum(ending, adding), 0.0)
        bounded = np.where(np.isinf(self._bound.take(known)), 0.0, wait.take(known))
        wait[known] = np.maximum(bounded, shortage)

    def _of_best_tier(self, scores: Vector, finish: Vector) -> Vector:
        """The scores of those that come before all others; of others minus infinity."""
        use = self._first
        if self._deadline is not None:
            in_time = use & (finish <= self._deadline)
            use = in_time if in_time.any() else use
        return np.where(use, scores, -np.inf)

    def _undominated(
        self, near: NDArray[np.intp], scores: Vector, moving: list[Vector]
    ) -> list[int]:
        """Those of the near ties that no other beats in every respect, best first."""
        places: list[int] = near.tolist()
        still = self._still
        finish, *values = (each.take(near).tolist() for each in moving)
        rows = zip((-each for each in finish), *values, strict=True)
        worth = [(still[i], row) for i, row in zip(places, rows, strict=True)]
        first = worth[0]
        if all(one == first for one in worth):
            return places  # all alike, so that only names order them
        front: list[tuple[float, ...]] = []
        flat = [(*one, *row) for one, row in worth]
        for one in sorted(set(flat), reverse=True):
            if not any(_beats(other, one) for other in front):
                front.append(one)
        best = [n for n, one in enumerate(flat) if one in front]
        best.sort(key=lambda n: (-scores[places[n]], self._price[places[n]], finish[n]))
        return [places[n] for n in best]


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether it is as good in every respect; the two are not the same."""
    return all(map(ge, one, other))


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


def _ranks(values: Sequence[Any]) -> list[int]:
    """The place of each among all; the same for those that are equal."""
    place = {value: i for i, value in enumerate(sorted(set(values)))}
    return [place[value] for value in values]


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
