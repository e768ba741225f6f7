"""What holds for every service, every set of targets and every state they may be in."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from decimal import Decimal

from hypothesis import assume, given
from hypothesis import strategies as st

from bridge.events import Event
from bridge.fdl.model import Placement, Service, TargetKind, TargetSpec
from bridge.scheduler import (
    POLICIES,
    Decision,
    Estimate,
    Machines,
    Prices,
    Room,
    Snapshot,
    TargetState,
    as_json,
    cause_in,
    decide,
    from_json,
    list_prices,
    snapshot_in,
)
from tests.scheduler.make import MIB, MINIO, event, path, service

KINDS: tuple[TargetKind, ...] = ("lambda", "batch", "oscar", "kubernetes", "local")
# Those that need no word of the file; `pinned` and `static` do.
CHOOSING = [name for name in POLICIES if name not in ("pinned", "static")]
# Those that do not look at how good a target is.
BLIND = ("random", "round-robin")
times = st.floats(0, 2000)
policies = st.sampled_from(CHOOSING)
seeds = st.integers(0, 2**32)
events = st.none() | st.builds(
    event,
    size=st.none() | st.integers(0, 10**10),
    provider=st.sampled_from(["s3.default", "minio.default", ""]),
    key=st.text(max_size=8),
)


@st.composite
def services(draw: st.DrawFn) -> Service:
    return service(
        cpu=draw(st.sampled_from(["0.2", "1", "4", "20"])),
        memory=draw(st.integers(1, 12 * 1024)) * MIB,
        gpu=draw(st.sampled_from([0, 0, 0, 1])),
        timeout=draw(st.none() | st.floats(1, 5000)),
        outputs=draw(st.sampled_from([(), (path(),), (path(MINIO),)])),
        placement=Placement(
            deadline=draw(st.none() | st.floats(0.1, 1000)),
            budget=draw(st.sampled_from([{}, {"day": Decimal("0.01")}])),
            avoid=draw(st.sampled_from([{}, {}, {"kind": ("batch",)}])),
            shadow=draw(st.sampled_from(["", "topsis"])),
            fallback=draw(st.sampled_from([(), ("t1",), ("t3", "t0")])),
            targets=draw(st.sampled_from([(), (), ("t0", "t2")])),
            prefer=draw(st.sampled_from([{}, {"target": "t2"}, {"kind": "batch"}])),
        ),
    )


@st.composite
def states(draw: st.DrawFn, name: str = "t0") -> TargetState:
    kind = draw(st.sampled_from(KINDS))
    spec = TargetSpec(
        name,
        kind,
        region=draw(st.sampled_from(["", "us-east-1", "eu-south-1", "nowhere-1"])),
        slots=draw(st.none() | st.integers(1, 20)),
        cost_per_hour=Decimal(draw(st.integers(0, 500))) / 100,
        gpu=draw(st.integers(0, 1)),
    )
    return TargetState(
        spec,
        providers=draw(st.none() | st.just(frozenset({"s3.default"}))),
        room=draw(st.sampled_from([{}, {"resize": Room(1, 2, ahead=3, why="full")}])),
        running=draw(st.integers(0, 50)),
        queued=draw(st.integers(0, 50)),
        failures=draw(st.floats(0, 1)),
        age=draw(times),
        start=draw(st.none() | times),
        runs={"resize": Estimate(draw(times), draw(st.floats(0, 1)))}
        if draw(st.booleans())
        else {},
        isolated=draw(st.booleans()),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    count = draw(st.integers(0, 5))
    return Snapshot(tuple(draw(states(name=f"t{n}")) for n in range(count)))


def sensible(asked: Service, policy: str) -> Service:
    """The service with what the policy needs of its placement."""
    placement = asked.placement
    if policy == "deadline" and placement.deadline is None:
        placement = replace(placement, deadline=60.0)
    if policy == "budget" and not placement.budget:
        placement = replace(placement, max_cost=Decimal(10**9))
    return replace(asked, placement=placement) if placement is not asked.placement else asked


@dataclass(frozen=True)
class Question:
    """All that a decision is made from."""

    asked: Service
    event: Event | None
    now: Snapshot
    policy: str
    seed: int

    def decide(self, prices: Prices | None = None) -> Decision:
        asked = sensible(self.asked, self.policy)
        return decide(
            asked, self.event, self.now, policy=self.policy, seed=self.seed, prices=prices
        )


questions = st.builds(
    Question, asked=services(), event=events, now=snapshots(), policy=policies, seed=seeds
)


@given(questions)
def test_a_decision_is_a_function_of_its_inputs(question: Question) -> None:
    """Equal inputs, but not the same objects and not in the same order, give an equal decision."""
    states = (replace(s, spec=replace(s.spec)) for s in reversed(question.now.targets))
    copy = replace(question, asked=replace(question.asked), now=Snapshot(tuple(states)))
    assert question.decide() == copy.decide()


@given(questions, states(name="t9"))
def test_an_infeasible_target_changes_nothing(question: Question, extra: TargetState) -> None:
    without = question.decide()
    closed = replace(extra, spec=replace(extra.spec, slots=0))
    more = replace(question, now=Snapshot((*question.now.targets, closed))).decide()
    assert (more.target, more.fallback) == (without.target, without.fallback)
    left = tuple(c for c in more.candidates if c.offer.target != "t9")
    assert left == without.candidates


@given(snapshots(), policies.filter(lambda p: p not in BLIND), seeds, st.integers(0, 5), st.data())
def test_worse_in_every_term_never_wins(
    now: Snapshot, policy: str, seed: int, which: int, data: st.DataObject
) -> None:
    """A copy of a target that is slower, dearer, busier, older and fails more is never taken."""
    assume(len(now.targets) > 0)
    model = now.targets[which % len(now.targets)]
    good = replace(model, runs={"resize": Estimate(data.draw(st.floats(0.1, 800)), 0.5)})
    good = replace(good, spec=replace(good.spec, kind="oscar", slots=20, gpu=0), start=1.0)
    bad = replace(
        good,
        spec=replace(
            good.spec, name="worse", cost_per_hour=good.spec.cost_per_hour + Decimal("0.01")
        ),
        running=good.running + 1,
        queued=good.queued + 1,
        failures=min(good.failures + 0.001, 1.0),
        age=good.age + 0.1,
        start=1.0 + data.draw(st.floats(0.001, 1)),
        runs={"resize": Estimate(good.runs["resize"].run + 0.001, 0.5)},
    )
    others = tuple(s for s in now.targets if s is not model)
    asked = sensible(service(), policy)
    decision = decide(asked, None, Snapshot((bad, good, *others)), policy=policy, seed=seed)
    assert decision.target not in ("", "worse")


@given(questions, st.sampled_from(["0.01", "0.5", "3", "1000"]))
def test_scaling_all_prices_changes_nothing_for_cheapest(question: Question, factor: str) -> None:
    free = replace(question.asked.placement, budget={})
    question = replace(question, policy="cheapest", asked=replace(question.asked, placement=free))
    plain, scaled = question.decide(), question.decide(list_prices().scaled(Decimal(factor)))
    assert scaled.target == plain.target
    assert [c.offer.target for c in scaled.candidates] == [c.offer.target for c in plain.candidates]


@given(questions)
def test_cheapest_and_fastest_are(question: Question) -> None:
    """Where nothing else is asked for, none costs less and none is sooner."""
    question = replace(question, asked=replace(question.asked, placement=Placement()))
    cheap = replace(question, policy="cheapest").decide()
    fast = replace(question, policy="fastest").decide()
    able = [c.offer for c in cheap.candidates if c.offer.feasible]
    assert bool(cheap.chosen) == bool(fast.chosen) == bool(able)
    if cheap.chosen and fast.chosen:
        assert cheap.chosen.offer.cost == min(o.cost for o in able)
        assert fast.chosen.offer.finish == min(o.finish for o in able)


@given(questions)
def test_what_is_chosen_can_run_it_and_what_is_refused_says_why(question: Question) -> None:
    decision = question.decide()
    offers = [c.offer for c in decision.candidates]
    assert sorted(o.target for o in offers) == sorted(s.spec.name for s in question.now.targets)
    assert all(o.feasible != bool(o.reasons) for o in offers)
    assert all(r.sentence for o in offers for r in o.reasons)
    assert bool(decision.target) == any(o.feasible for o in offers)
    assert decision.reason.startswith(decision.target or "no target can run it")
    for candidate in decision.candidates:
        assert (candidate.score is None) != candidate.offer.feasible
        assert candidate.score is None or -1e-9 <= candidate.score <= 1 + 1e-9
        assert all(0 <= term.value <= 1 for term in candidate.terms)


@given(questions)
def test_a_stored_decision_comes_back_equal(question: Question) -> None:
    decision = question.decide()
    text = json.dumps(as_json(decision), allow_nan=False)
    assert from_json(json.loads(text)) == decision


@given(questions)
def test_a_stored_decision_is_taken_again_from_what_was_stored(question: Question) -> None:
    """The snapshot and the event's traces come from the stored text alone."""
    decision = question.decide()
    stored = json.loads(json.dumps(as_json(decision), allow_nan=False))
    again = decide(
        sensible(question.asked, question.policy),
        cause_in(stored),
        snapshot_in(stored),
        policy=stored["policy"],
        seed=stored["seed"],
    )
    assert again == decision
    assert as_json(again) == stored


wild = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-5, 10**400)


strange_states = st.builds(
    TargetState,
    st.just(TargetSpec("strange", "oscar", slots=3)),
    running=wild,
    queued=wild,
    failures=wild,
    start=wild,
    age=wild,
    runs=st.builds(lambda run, sure: {"resize": Estimate(run, sure)}, wild, wild),
    mean_run=st.none() | wild,
    start_late=st.none() | wild,
    cold=st.builds(lambda chance: {"resize": chance}, wild),
    machines=st.none() | st.builds(Machines, wild, wild, wild, wild, wild),
)


@given(strange_states, policies)
def test_no_measurement_can_break_a_decision(strange: TargetState, policy: str) -> None:
    sound = TargetState(TargetSpec("sound", "lambda"))
    asked = sensible(service(), policy)
    decision = decide(asked, None, Snapshot((strange, sound)), policy=policy)
    assert decision.target
    json.dumps(as_json(decision), allow_nan=False)
