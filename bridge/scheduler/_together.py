"""A pipeline placed as a whole: what its data costs on the way weighs with what its stages cost.

Each service alone is best placed by `decide`. Here services that are linked are placed together for
one object that goes through all stages: beside its own cost and time, a stage pays for what it
takes in and gives out, and two stages for a crossing between their sites. What is least in all:

- USD, then seconds, where every service with a choice has a policy that looks at money alone;
- seconds, then USD, where every one looks at time alone (of all stages together, which is the
  pipeline's time when it is a chain);
- else the loss of score: data on the way makes the terms `cost`, `finish` and `transfer` of its
  stage worse, as it would in a decision. Policies without these terms are not moved by it.

Fallbacks and deadlines come first, as in a decision. A pipeline stays as each service alone would
be when no other way is better by more than the policies' near ties.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from bridge.fdl.model import Service, TargetSpec
from bridge.scheduler import _words as words
from bridge.scheduler._assign import Loss, Problem, best
from bridge.scheduler._choose import Ranked
from bridge.scheduler._data import assumptions
from bridge.scheduler._decide import Asked, ask, decide
from bridge.scheduler._estimates import Route, route
from bridge.scheduler._kinds import AWS, region_of
from bridge.scheduler._policies import Policy, policy_for
from bridge.scheduler._prices import Prices, list_prices
from bridge.scheduler._terms import Seen
from bridge.scheduler.model import Candidate, Decision, Snapshot

_GIB: Final = 2**30
_HERE: Final = Route(0.0)
_NO_TIER: Final = (0.0, 0.0, 0.0)
_NO_LOSS: Final[Loss] = (*_NO_TIER, 0.0, 0.0)
# Rounding is no reason to move.
_NOISE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Link:
    """Files of `writer` that start jobs of `reader`, by way of the provider `<type>.<id>`.

    "" is who puts in what a pipeline begins with, or takes what it ends with.
    """

    writer: str
    reader: str
    provider: str


@dataclass(frozen=True, slots=True)
class Hop:
    """One object on its way between two stages that are placed: seconds, and USD for leaving AWS.

    `crosses` says that it goes from one site to another: AWS's regions are sites, and clusters,
    of which those with the same region in the file are one.
    """

    link: Link
    origin: str
    destination: str
    seconds: float
    cost: Decimal
    crosses: bool


@dataclass(frozen=True, slots=True)
class Totals:
    """One object through all linked stages: seconds of all of them, USD, and crossings."""

    seconds: float
    cost: Decimal
    crossings: int


@dataclass(frozen=True, slots=True)
class Together:
    """A decision for each service, in the given order, and what the data costs on its way.

    `moved` are the services that alone would be elsewhere, `alone` what that would come to. `exact`
    is False where the best way was looked for and not proved. `size` is the object's, in bytes.
    """

    decisions: tuple[Decision, ...]
    hops: tuple[Hop, ...]
    whole: Totals
    alone: Totals
    moved: tuple[str, ...]
    exact: bool
    size: int


def decide_together(
    services: Sequence[Service],
    links: Iterable[Link],
    snapshot: Snapshot,
    *,
    policy: str | None = None,
    seed: int = 0,
    prices: Prices | None = None,
) -> Together:
    """Place services whose data goes from one to the other; see the module.

    A pure function of its arguments. Services without a link, and those that nothing can run, are
    placed as `decide` does. Errors as those of `decide`; links name services that are given.
    """
    prices = list_prices() if prices is None else prices
    alone = {s.name: decide(s, None, snapshot, policy=policy, seed=seed, prices=prices)
             for s in services}  # fmt: skip
    specs = {state.spec.name: state.spec for state in snapshot.targets}
    stages = {
        s.name: _Stage(ask(s, None, snapshot, seed, prices), policy_for(s, policy), alone[s.name])
        for s in services
        if alone[s.name].target
    }
    there = [one for one in dict.fromkeys(links) if {one.writer, one.reader} <= stages.keys()]
    found = dict(alone)
    everywhere = {name: stage.decision.target for name, stage in stages.items()}
    chosen, exact, plans = dict(everywhere), True, []
    for names in _groups(there):
        plan = _Plan([stages[name] for name in stages if name in names],
                     [one for one in there if one.reader in names], specs, prices)  # fmt: skip
        better, surely = plan.best()
        chosen |= better
        exact = exact and surely
        plans.append(plan)
    moved = tuple(name for name in stages if chosen[name] != everywhere[name])
    for name in moved:
        found[name] = _moved(stages[name], chosen[name])
    return Together(
        tuple(found[s.name] for s in services),
        tuple(way for plan in plans for way in plan.hops(chosen)),
        _totals(plans, chosen),
        _totals(plans, everywhere),
        moved,
        exact,
        assumptions().object_bytes,
    )


class _Stage:
    """A service with the targets that it may go to, the one it would have alone first."""

    def __init__(self, asked: Asked, policy: Policy, decision: Decision) -> None:
        self.service = asked.service
        self.policy = policy
        self.decision = decision
        self._asked = asked
        self.options: Mapping[str, Candidate] = {
            one.offer.target: one for one in decision.candidates if one.offer.feasible
        }

    def weighed(self, ways: Mapping[str, Route]) -> dict[str, Ranked]:
        """What the policy makes of the targets when data takes so much more on each of them."""
        seen = [_with_data(one, ways[one.offer.target]) for one in self._asked.seen]
        choice = self._asked._replace(seen=seen).choose(self.policy)
        return {one.seen.offer.target: one for one in choice.order}


def _with_data(one: Seen, way: Route) -> Seen:
    offer = one.offer._replace(
        transfer=one.offer.transfer + way.seconds,
        cost=one.offer.cost + way.price,
        egress=one.offer.egress + way.price,
    )
    return one._replace(offer=offer, finish=offer.finish, cost=float(offer.cost))


class _Plan:
    """One connected pipeline, and all ways to place it."""

    def __init__(
        self,
        stages: Sequence[_Stage],
        links: Sequence[Link],
        specs: Mapping[str, TargetSpec],
        prices: Prices,
    ) -> None:
        self._stages = {stage.service.name: stage for stage in stages}
        self._links = [*links, *_ends(stages, links)]
        self._specs = specs
        self._prices = prices
        self._size = assumptions().object_bytes
        self._unit = _unit(stages)
        self._ranked = {name: s.weighed(self._ways(s)) for name, s in self._stages.items()}

    def best(self) -> tuple[dict[str, str], bool]:
        """The target of each service, and whether no other way can be better."""
        problem = Problem(
            {
                name: {target: self._own(self._ranked[name][target]) for target in stage.options}
                for name, stage in self._stages.items()
            },
            self._pairs(),
        )
        alone = {name: stage.decision.target for name, stage in self._stages.items()}
        found, exact = best(problem, [alone, *self._gathered(alone)])
        near = [stage.policy.epsilon for stage in self._stages.values()]
        tie = sum(near) if self._unit == "score" else 0.0
        better = _is_better(problem.loss(found), problem.loss(alone), tie)
        return found if better else alone, exact

    def _gathered(self, alone: Mapping[str, str]) -> list[dict[str, str]]:
        """For each target: all stages that may go there do."""
        return [
            {name: target if target in stage.options else alone[name]
             for name, stage in self._stages.items()}
            for target in self._specs
        ]  # fmt: skip

    def _ways(self, stage: _Stage) -> dict[str, Route]:
        """What a stage's data takes on each target, from and to stores that stay where they are."""
        found = {}
        for target in stage.options:
            ways = [self._leg(stage, link, self._specs[target]) for link in self._links]
            price = sum((way.price for way in ways), Decimal(0))
            found[target] = Route(sum(way.seconds for way in ways), price)
        return found

    def _own(self, one: Ranked) -> Loss:
        seen = one.seen
        if self._unit == "cost":
            return *one.tier, seen.cost, seen.finish
        if self._unit == "finish":
            return *one.tier, seen.finish, seen.cost
        return *one.tier, -one.score, 0.0

    def _pairs(self) -> dict[tuple[str, str], dict[tuple[str, str], Loss]]:
        """What it adds that two stages with a link are on different sites."""
        found: dict[tuple[str, str], dict[tuple[str, str], Loss]] = {}
        for link in self._links:
            if not link.writer or not link.reader:
                continue
            writer, reader = self._stages[link.writer], self._stages[link.reader]
            table = found.setdefault((link.writer, link.reader), {})
            for one in writer.options:
                for other in reader.options:
                    more = self._between(link, self._specs[one], self._specs[other])
                    before = table.get((one, other), _NO_LOSS)
                    loss = self._shared(link.reader, other, more)
                    table[one, other] = tuple(a + b for a, b in zip(before, loss, strict=True))
        return found

    def _shared(self, reader: str, target: str, more: Route) -> Loss:
        if self._unit == "cost":
            return *_NO_TIER, float(more.price), more.seconds
        if self._unit == "finish":
            return *_NO_TIER, more.seconds, float(more.price)
        lost = _drop(self._ranked[reader][target], self._stages[reader].policy, more)
        return *_NO_TIER, lost, 0.0

    def _leg(self, stage: _Stage, link: Link, spec: TargetSpec) -> Route:
        """An object between a stage and the link's store, when it has that end of the link."""
        if stage.service.name not in (link.writer, link.reader):
            return _HERE
        outward = stage.service.name == link.writer
        s3 = link.provider.partition(".")[0] == "s3"
        way = route(spec, self._prices, assumptions(), s3=s3, outward=outward)
        share = self._share(link) if outward else 1.0
        return _times(way, self._size * share)

    def _share(self, link: Link) -> float:
        """What of its outputs a stage gives to a link: an output with two readers is written once,
        and counted with the first."""
        of = [one for one in self._links if one.writer == link.writer]
        first = {one.provider: one for one in reversed(of)}
        count = len(first)
        return assumptions().output_ratio / count if first[link.provider] is link else 0.0

    def _between(self, link: Link, one: TargetSpec, other: TargetSpec) -> Route:
        """What is added when both reach the store as if it were theirs, and are apart."""
        local = _store_is_local(link, one) and _store_is_local(link, other)
        if not local or _site(one) == _site(other):
            return _HERE
        assume = assumptions()
        in_aws = one.kind in AWS
        near = assume.seconds_per_byte["aws" if in_aws else "site"]
        price = self._prices.between_regions / _GIB if in_aws else Decimal(0)
        return _times(Route(assume.seconds_per_byte["internet"] - near, price), self._size)

    def hops(self, chosen: Mapping[str, str]) -> list[Hop]:
        """What each link takes when the stages are placed so."""
        found = []
        for link in self._links:
            ends = [name for name in (link.writer, link.reader) if name]
            specs = [self._specs[chosen[name]] for name in ends]
            ways = [self._leg(self._stages[n], link, spec)
                    for n, spec in zip(ends, specs, strict=True)]  # fmt: skip
            if len(specs) == 2:
                ways.append(self._between(link, *specs))
                crosses = _site(specs[0]) != _site(specs[1])
            else:
                crosses = False
            crosses = crosses or not all(_store_is_local(link, spec) for spec in specs)
            found.append(
                Hop(
                    link,
                    chosen.get(link.writer, ""),
                    chosen.get(link.reader, ""),
                    sum(way.seconds for way in ways),
                    sum((way.price for way in ways), Decimal(0)),
                    crosses,
                )
            )
        return found

    def totals(self, chosen: Mapping[str, str]) -> Totals:
        """Stages and hops together."""
        ways = self.hops(chosen)
        offers = [stage.options[chosen[name]].offer for name, stage in self._stages.items()]
        return Totals(
            sum(o.finish for o in offers) + sum(way.seconds for way in ways),
            sum((o.cost for o in offers), sum((way.cost for way in ways), Decimal(0))),
            sum(way.crosses for way in ways),
        )


def _groups(links: Sequence[Link]) -> list[set[str]]:
    """The names of services that links connect, one set for each connected pipeline."""
    groups: list[set[str]] = []
    for link in links:
        joined = {link.writer, link.reader}
        apart = []
        for group in groups:
            if group & joined:
                joined |= group
            else:
                apart.append(group)
        groups = [*apart, joined]
    return groups


def _ends(stages: Sequence[_Stage], links: Sequence[Link]) -> list[Link]:
    """What comes into the pipeline from outside, and what it leaves behind."""
    fed, read = {one.reader for one in links}, {(one.writer, one.provider) for one in links}
    found = []
    for stage in stages:
        service, name = stage.service, stage.service.name
        if name not in fed and service.inputs:
            found.append(Link("", name, str(service.inputs[0].provider)))
        given = dict.fromkeys(str(path.provider) for path in service.outputs)
        found += [Link(name, "", one) for one in given if (name, one) not in read]
    return found


def _unit(stages: Sequence[_Stage]) -> str:
    """What is added up: `cost`, `finish` or `score`; services without a choice do not matter."""
    policies = [stage.policy for stage in stages if len(stage.options) > 1]
    wanted = {frozenset(one.weights) for one in policies}
    plain = all(one.score is None and one.tier is None for one in policies)
    for name in ("cost", "finish"):
        if plain and wanted == {frozenset({name})}:
            return name
    return "score"


def _drop(one: Ranked, policy: Policy, more: Route) -> float:
    """By how much a crossing lowers the score of a target.

    The terms are measured against the best, which stays: value · raw / (raw + more).
    """
    added = {
        "cost": (float(more.price), policy.cost_grain),
        "finish": (more.seconds, policy.time_grain),
        "transfer": (more.seconds, policy.time_grain),
    }
    lost = 0.0
    for term in one.candidate.terms:
        extra, grain = added.get(term.name, (0.0, 0.0))
        if extra > 0 and term.raw is not None:
            lost += term.weight * term.value * extra / (term.raw + grain + extra)
    return lost


def _is_better(found: Loss, alone: Loss, tie: float) -> bool:
    """Whether it is worth to leave what each service alone would have."""
    tiers = len(_NO_TIER)
    if found[:tiers] != alone[:tiers]:
        return found[:tiers] < alone[:tiers]
    for less, more, near in zip(found[tiers:], alone[tiers:], (tie, 0.0), strict=True):
        gap = more - less
        if abs(gap) > near + _NOISE * max(abs(more), abs(less)):
            return gap > 0
    return False


def _moved(stage: _Stage, target: str) -> Decision:
    """The decision for a stage that the pipeline wants elsewhere."""
    old, now = stage.decision, stage.options[target]
    first, rest = [now], [one for one in old.candidates if one is not now]
    price = words.money(now.offer.cost) if now.offer.cost else "free"
    able = stage.options.keys() - {target}
    return replace(
        old,
        target=target,
        reason=f"{target}: best for the pipeline as a whole, about "
        f"{words.duration(now.offer.finish)} and {price} per job; alone it would be {old.target}",
        candidates=(*first, *rest),
        fallback=tuple(
            dict.fromkeys(name for name in stage.service.placement.fallback if name in able)
        ),
    )


def _totals(plans: Sequence[_Plan], chosen: Mapping[str, str]) -> Totals:
    found = [plan.totals(chosen) for plan in plans]
    return Totals(
        sum(one.seconds for one in found),
        sum((one.cost for one in found), Decimal(0)),
        sum(one.crossings for one in found),
    )


def _site(spec: TargetSpec) -> tuple[bool, str]:
    if spec.kind in AWS:
        return True, region_of(spec)
    return False, spec.region or spec.name


def _store_is_local(link: Link, spec: TargetSpec) -> bool:
    return (link.provider.partition(".")[0] == "s3") == (spec.kind in AWS)


def _times(way: Route, size: float) -> Route:
    return Route(way.seconds * size, way.price * Decimal(size))
