"""The choice: policies, pins, fallbacks, deadlines, ties, and questions that make no sense."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from bridge.errors import PlacementError
from bridge.fdl.model import Service
from bridge.scheduler import POLICIES, decide
from tests.scheduler.make import (
    CLUSTER,
    FUNCTIONS,
    GIB,
    QUEUE,
    event,
    placed,
    refusal,
    service,
    snapshot,
    spec,
    state,
)

HERE = spec("here", "oscar")
THERE = spec("there", "oscar")


def pinned(pin: str = "my-cluster", **more: Any) -> Service:
    return service(origin="oscar", pin=pin, **more)


def order(decision: Any) -> list[str]:
    return [candidate.offer.target for candidate in decision.candidates]


def test_cheapest_and_fastest_differ() -> None:
    asked = service(memory=2 * GIB)
    now = snapshot(state(FUNCTIONS, run=100.0), state(QUEUE, run=100.0))
    assert decide(asked, None, now, policy="cheapest").target == "aws-batch"
    assert decide(asked, None, now, policy="fastest").target == "aws-lambda"


def test_cheapest_takes_the_sooner_of_two_that_cost_nothing() -> None:
    now = snapshot(state(HERE, run=10.0, queued=9), state(THERE, run=10.0))
    assert {decide(service(), None, now, policy="cheapest", seed=s).target for s in range(20)} == {
        "there"
    }


def test_balanced_does_not_pay_much_for_a_little_time() -> None:
    dear = replace(HERE, cost_per_hour=Decimal(100))
    now = snapshot(state(dear, run=10.0), state(THERE, run=10.5))
    assert decide(service(), None, now).target == "there"
    assert decide(service(), None, now, policy="fastest").target == "here"


def test_balanced_does_not_wait_long_for_a_little_money() -> None:
    dear = replace(HERE, cost_per_hour=Decimal("0.01"))
    now = snapshot(state(dear, run=5.0), state(THERE, run=5.0, queued=100))
    assert decide(service(), None, now).target == "here"
    assert decide(service(), None, now, policy="cheapest").target == "there"


def test_balanced_avoids_what_fails_and_what_is_old() -> None:
    assert decide(service(), None, snapshot(state(HERE, failures=0.9), state(THERE))).target == (
        "there"
    )
    assert decide(service(), None, snapshot(state(HERE, age=3600), state(THERE))).target == "there"


def test_the_default_policy() -> None:
    now = snapshot(CLUSTER, FUNCTIONS)
    assert decide(service(), None, now).policy == "balanced"
    assert decide(pinned(), None, now).policy == "pinned"
    assert decide(placed(pinned(), targets=("aws-lambda",)), None, now).policy == "balanced"
    assert decide(placed(service(), policy="fastest"), None, now).policy == "fastest"
    assert decide(placed(service(), policy="fastest"), None, now, policy="cheapest").policy == (
        "cheapest"
    )


def test_a_pin_holds_under_every_policy() -> None:
    now = snapshot(state(CLUSTER, run=1.0, queued=1000), FUNCTIONS, QUEUE)
    asked = placed(pinned(), deadline=1e6, max_cost=Decimal(1))
    for policy in POLICIES:
        decision = decide(asked, None, now, policy=policy)
        assert decision.target == "my-cluster"
        assert "the FDL file pins resize to my-cluster" in refusal(decision, "aws-lambda")


def test_targets_widen_a_pin() -> None:
    busy = snapshot(state(CLUSTER, run=60.0, queued=100), state(FUNCTIONS, run=60.0), QUEUE)
    decision = decide(placed(pinned(), targets=("aws-lambda",)), None, busy)
    assert decision.target == "aws-lambda"
    assert refusal(decision, "aws-batch")


def test_lambda_batch_takes_lambda_unless_it_cannot() -> None:
    both = pinned("aws-lambda", execution_mode="lambda-batch")
    assert decide(both, None, snapshot(CLUSTER, QUEUE, FUNCTIONS)).target == "aws-lambda"
    large = pinned("aws-lambda", execution_mode="lambda-batch", memory=20 * GIB)
    assert decide(large, None, snapshot(CLUSTER, QUEUE, FUNCTIONS)).target == "aws-batch"
    long = snapshot(state(FUNCTIONS, run=1000.0), QUEUE)
    assert decide(both, None, long).target == "aws-batch"


def test_pinned_among_targets_is_the_first_or_the_preferred() -> None:
    names = ("aws-batch", "aws-lambda")
    now = snapshot(FUNCTIONS, QUEUE)
    first = placed(service(), targets=names, policy="pinned")
    assert decide(first, None, now).target == "aws-batch"
    wished = placed(service(), targets=names, policy="pinned", prefer={"target": "aws-lambda"})
    assert decide(wished, None, now).target == "aws-lambda"


def test_pinned_to_nothing_is_an_error() -> None:
    with pytest.raises(PlacementError, match="nothing says to which target"):
        decide(service(), None, snapshot(CLUSTER), policy="pinned")


@pytest.mark.parametrize(
    "wish", [{"target": "there"}, {"region": "valencia"}, {"kind": "kubernetes"}, {"arch": "arm64"}]
)
def test_a_preference_decides_between_equals(wish: dict[str, str]) -> None:
    there = spec("there", "kubernetes", region="valencia", arch="arm64")
    now = snapshot(state(HERE, run=3.0), state(there, run=3.0, isolated=False, start=5.0))
    for seed in range(5):
        assert decide(placed(service(), prefer=wish), None, now, seed=seed).target == "there"


def test_a_fallback_waits_for_its_turn() -> None:
    asked = placed(pinned(), fallback=("aws-batch", "aws-lambda"))
    now = snapshot(FUNCTIONS, state(CLUSTER, run=60.0, queued=99), QUEUE)
    decision = decide(asked, None, now)
    assert decision.target == "my-cluster"
    assert decision.fallback == ("aws-batch", "aws-lambda")
    assert order(decision) == ["my-cluster", "aws-batch", "aws-lambda"]


def test_the_first_fallback_that_can_is_taken_in_the_files_order() -> None:
    asked = placed(pinned(gpu=0, timeout=3600.0), fallback=("aws-lambda", "aws-batch", "here"))
    gone = snapshot(FUNCTIONS, HERE, QUEUE, replace(CLUSTER, slots=0))
    decision = decide(asked, None, gone)
    assert decision.target == "aws-batch"
    assert decision.fallback == ("here",)


def test_fallbacks_among_all_targets_are_tried_first_later() -> None:
    decision = decide(placed(service(), fallback=("aws-batch",)), None, snapshot(QUEUE, FUNCTIONS))
    assert decision.target == "aws-lambda"
    assert decision.fallback == ("aws-batch",)


def test_a_deadline_comes_before_the_price() -> None:
    asked = placed(service(), policy="cheapest", deadline=20.0)
    now = snapshot(state(HERE, run=10.0, queued=5), state(FUNCTIONS, run=10.0))
    assert decide(asked, None, now).target == "aws-lambda"
    late = placed(service(), policy="cheapest", deadline=1.0)
    assert decide(late, None, now).target == "here"
    assert "deadline of 1 s" in decide(late, None, now).reason


def test_a_pin_that_is_late_gives_way_where_the_file_allows_it() -> None:
    asked = placed(
        pinned("aws-batch", execution_mode="lambda-batch"), policy="pinned", deadline=20.0
    )
    decision = decide(asked, None, snapshot(state(QUEUE, run=10.0), state(FUNCTIONS, run=10.0)))
    assert decision.target == "aws-lambda"
    assert "second choice, because aws-batch is expected to miss the deadline" in decision.reason
    gone = decide(asked, None, snapshot(state(FUNCTIONS, run=10.0)))
    assert "second choice, because aws-batch is not among the targets now" in gone.reason


def test_equals_are_drawn_by_lot_and_the_same_again() -> None:
    now = snapshot(*(spec(f"t{n}", "oscar") for n in range(4)))
    drawn = [decide(service(), event(key=f"{n}"), now).target for n in range(200)]
    again = [decide(service(), event(key=f"{n}"), now).target for n in range(200)]
    assert drawn == again
    assert set(Counter(drawn)) == {"t0", "t1", "t2", "t3"}
    seeds = {decide(service(), None, now, seed=seed).target for seed in range(50)}
    assert len(seeds) == 4


def test_the_less_loaded_of_two_near_ties_is_taken() -> None:
    """One is a little slower, the other fails a little more: the look at the load decides."""
    busy, idle = spec("busy", "oscar", slots=1000), spec("idle", "oscar", slots=1000)
    now = snapshot(state(busy, run=1.005, running=5), state(idle, run=1.0, failures=0.003))
    assert {decide(service(), None, now, seed=seed).target for seed in range(20)} == {"idle"}


@pytest.mark.parametrize("policy", ["balanced", "cheapest"])
def test_what_is_a_little_worse_in_all_is_never_drawn(policy: str) -> None:
    """Within the near ties, but slower and nothing better: no lot may take it."""
    now = snapshot(state(HERE, run=10.05), state(THERE, run=10.0))
    assert {decide(service(), None, now, policy=policy, seed=s).target for s in range(30)} == {
        "there"
    }


def test_near_ties_that_differ_both_ways_are_drawn() -> None:
    """One is a little sooner, the other fails a little less."""
    now = snapshot(state(HERE, run=10.05), state(THERE, run=10.0, failures=0.01))
    assert {decide(service(), None, now, seed=s).target for s in range(30)} == {"here", "there"}
    assert "taken by lot among 2" in decide(service(), None, now).reason


def test_the_order_of_the_snapshot_does_not_matter() -> None:
    states = [FUNCTIONS, QUEUE, CLUSTER, HERE, THERE]
    one, other = snapshot(*states), snapshot(*reversed(states))
    for seed in range(10):
        assert decide(service(), None, one, seed=seed) == decide(service(), None, other, seed=seed)


def test_nothing_can_run_it() -> None:
    decision = decide(service(gpu=1), None, snapshot(FUNCTIONS, CLUSTER))
    assert (decision.target, decision.chosen) == ("", None)
    assert [c.score for c in decision.candidates] == [None, None]
    assert "aws-lambda: Lambda has no GPU" in decision.reason


def test_candidates_are_sorted_and_scored() -> None:
    now = snapshot(replace(CLUSTER, slots=0), QUEUE, FUNCTIONS, HERE)
    decision = decide(service(), None, now)
    scores = [c.score for c in decision.candidates if c.score is not None]
    assert scores == sorted(scores, reverse=True)
    assert order(decision)[-1] == "my-cluster"
    assert decision.chosen is decision.candidates[0]
    for candidate in decision.candidates[:-1]:
        assert {t.name for t in candidate.terms} == set(POLICIES["balanced"].weights)
        assert sum(t.weight for t in candidate.terms) == pytest.approx(1)
        assert all(0 <= t.value <= 1 for t in candidate.terms)
        assert candidate.score == pytest.approx(sum(t.value * t.weight for t in candidate.terms))


def test_weights_of_the_files_own() -> None:
    now = snapshot(state(FUNCTIONS, run=100.0), state(QUEUE, run=100.0))
    for weights, target in (({"cost": 1.0}, "aws-batch"), ({"wait": 1, "finish": 2}, "aws-lambda")):
        decision = decide(placed(service(memory=2 * GIB), weights=weights), None, now)
        assert decision.target == target
        assert {t.name for t in decision.candidates[0].terms} == set(weights)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"colour": 1.0}, "there is no term colour"),
        ({"cost": -1.0}, "cost is -1.0"),
        ({"cost": math.nan}, "cost is nan"),
        ({"cost": math.inf}, "cost is inf"),
        ({"cost": 0.0, "wait": 0.0}, "all are 0"),
    ],
)
def test_weights_that_make_no_sense(weights: dict[str, float], words: str) -> None:
    with pytest.raises(PlacementError, match=words) as caught:
        decide(placed(service(), weights=weights), None, snapshot(CLUSTER))
    assert "placement.weights of resize" in caught.value.message


def test_only_balanced_can_be_weighed() -> None:
    asked = placed(service(), policy="cheapest", weights={"finish": 1.0})
    with pytest.raises(PlacementError, match="the policy cheapest has no weights to choose"):
        decide(asked, None, snapshot(CLUSTER))


@pytest.mark.parametrize("name", ["luckiest", "acme.luckiest"])
def test_an_unknown_policy_is_refused(name: str) -> None:
    with pytest.raises(PlacementError, match=f"the placement policy {name} does not exist") as e:
        decide(service(), None, snapshot(CLUSTER), policy=name)
    assert e.value.hint.startswith("available are balanced, budget, cheapest")


def test_an_unknown_preference_is_refused() -> None:
    with pytest.raises(PlacementError, match=r"placement\.prefer\.colour of resize"):
        decide(placed(service(), prefer={"colour": "blue"}), None, snapshot(CLUSTER))


def test_two_targets_of_one_name_are_refused() -> None:
    with pytest.raises(PlacementError, match="two targets named my-cluster"):
        decide(service(), None, snapshot(CLUSTER, CLUSTER))


def test_one_target_that_talks_nonsense_does_not_stop_the_others() -> None:
    decision = decide(service(), None, snapshot(state(HERE, failures=math.nan), THERE))
    assert decision.target == "there"
    assert refusal(decision, "here") == ["here was measured with failures nan, which cannot be"]
