"""What each policy takes, where it differs from the others."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from bridge.errors import PlacementError
from bridge.fdl.model import Service
from bridge.fdl.options import Federation, OscarOptions
from bridge.scheduler import (
    Decision,
    Estimate,
    Hedge,
    Machines,
    Snapshot,
    Spent,
    TargetState,
    decide,
    from_json,
)
from bridge.scheduler import as_json as stored
from tests.scheduler.make import (
    CLUSTER,
    FUNCTIONS,
    GIB,
    MINIO,
    QUEUE,
    event,
    path,
    placed,
    service,
    snapshot,
    spec,
    state,
)

NORTH, SOUTH, WEST = (spec(name, "oscar", slots=10) for name in ("north", "south", "west"))
THREE = snapshot(state(NORTH, run=5.0), state(SOUTH, run=5.0), state(WEST, run=5.0))


def taken(policy: str, now: Snapshot, asked: Service | None = None, **more: Any) -> str:
    return decide(asked or service(), more.pop("event", None), now, policy=policy, **more).target


def term(decision: Decision, target: str, name: str) -> float | None:
    (found,) = (c for c in decision.candidates if c.offer.target == target)
    return next(t.raw for t in found.terms if t.name == name)


def test_static_is_the_files_order_as_far_as_it_can() -> None:
    asked = placed(service(), targets=("south", "west", "north"))
    assert taken("static", THREE, asked) == "south"
    assert taken("static", snapshot(NORTH, WEST), asked) == "west"
    with pytest.raises(PlacementError, match="nothing says in which order"):
        taken("static", THREE)


def test_random_is_fair_and_the_same_again_and_by_each_targets_own_lot() -> None:
    drawn = [taken("random", THREE, seed=n) for n in range(300)]
    assert drawn == [taken("random", THREE, seed=n) for n in range(300)]
    assert all(70 < count < 130 for count in Counter(drawn).values())
    two = [taken("random", snapshot(*THREE.targets[:2]), seed=n) for n in range(300)]
    assert all(a == b for a, b in zip(drawn, two, strict=True) if a != "west")


def test_round_robin_goes_round_by_name_among_first_choices() -> None:
    asked = placed(service(), targets=("north", "south"), fallback=("west",))
    turns = [taken("round-robin", replace(THREE, turn=n), asked) for n in range(4)]
    assert turns == ["north", "south", "north", "south"]
    assert len({taken("round-robin", THREE, seed=n) for n in range(30)}) == 3


def test_least_load_and_load_based_look_at_different_things() -> None:
    """Few jobs, but hardly any memory free."""
    full = Machines(4, 16.0, 64 * GIB, 12.0, GIB)
    half = Machines(4, 16.0, 64 * GIB, 8.0, 32 * GIB)
    now = snapshot(state(NORTH, running=1, machines=full), state(SOUTH, running=3, machines=half))
    assert taken("least-load", now) == "north"
    assert taken("load-based", now) == "south"
    decision = decide(service(), None, now, policy="load-based")
    assert decision.candidates[0].score == pytest.approx(0.5)
    assert decision.candidates[1].score == pytest.approx(math.sqrt(0.75 / 64))


def test_load_based_without_machines_looks_at_the_jobs_that_fit() -> None:
    assert (
        taken("load-based", snapshot(state(NORTH, running=9), state(SOUTH, running=2))) == "south"
    )
    assert taken("load-based", snapshot(state(NORTH, running=9), FUNCTIONS)) == "aws-lambda"


def test_what_nobody_knows_counts_as_the_worst_and_is_said() -> None:
    unbounded = spec("unbounded", "oscar")
    decision = decide(service(), None, snapshot(unbounded, NORTH), policy="load-based")
    assert decision.target == "north"
    assert term(decision, "unbounded", "free-cpu") is None
    assert "free-cpu of unbounded is not known and counts as the worst" in decision.reason
    assert from_json(stored(decision)) == decision


def test_topsis_weighs_as_oscar_does_unless_the_file_says_otherwise() -> None:
    """Free cores count most; a user who wants memory gets memory."""
    cores = Machines(4, 16.0, 64 * GIB, 14.0, 8 * GIB)
    memory = Machines(4, 16.0, 64 * GIB, 6.0, 60 * GIB)
    now = snapshot(state(NORTH, machines=cores), state(SOUTH, machines=memory))
    assert taken("topsis", now) == "north"
    own = placed(service(), weights={"free-memory": 65.0, "free-cpu": 18.0})
    assert taken("topsis", now, own) == "south"


def test_topsis_by_hand() -> None:
    """Two criteria of one weight each: (1, 0.2) and (0.5, 1), worked out on paper."""
    now = snapshot(
        state(NORTH, machines=Machines(1, 10.0, 10 * GIB, 10.0, 2 * GIB)),
        state(SOUTH, machines=Machines(1, 10.0, 10 * GIB, 5.0, 10 * GIB)),
    )
    asked = placed(service(), weights={"free-cpu": 1.0, "free-memory": 1.0})
    decision = decide(asked, None, now, policy="topsis")
    cpu, memory = 0.5 / math.hypot(1, 0.5), 0.8 / math.hypot(0.2, 1)
    assert decision.target == "south"
    assert decision.candidates[0].score == pytest.approx(memory / (cpu + memory))
    assert decision.candidates[1].score == pytest.approx(cpu / (cpu + memory))


def test_oscars_delegation_is_the_default_of_a_federation() -> None:
    options = OscarOptions(federation=Federation(delegation="load-based"))
    asked = placed(service(options=options, pin="north"), targets=("south",))
    now = snapshot(state(NORTH, running=9, run=1.0), state(SOUTH, running=2, run=1.0))
    assert (decide(asked, None, now).policy, decide(asked, None, now).target) == (
        "load-based",
        "south",
    )
    assert decide(replace(asked, placement=placed(asked).placement), None, now).policy == "pinned"


def test_locality_stays_with_the_data_however_large_it_is() -> None:
    asked = service(inputs=(path(MINIO),), outputs=(path(MINIO),))
    now = snapshot(state(FUNCTIONS, run=1.0), state(CLUSTER, run=60.0))
    assert taken("locality", now, asked) == "my-cluster"
    assert taken("locality", now, asked, event=event(None, "minio.default")) == "my-cluster"
    there = service(inputs=(path(),), outputs=(path(),))
    assert taken("locality", now, there) == "aws-lambda"
    assert taken("locality", now, service(inputs=(path(MINIO),)), event=event(1)) == "aws-lambda"


def test_deadline_takes_what_is_free_and_surely_in_time_and_else_the_cheapest_that_is() -> None:
    def now(queued: int) -> Snapshot:
        own = state(CLUSTER, run=40.0, queued=queued)
        return snapshot(own, state(FUNCTIONS, run=40.0), state(QUEUE, run=40.0))

    asked = placed(service(memory=2 * GIB), deadline=180.0)
    assert taken("deadline", now(0), asked) == "my-cluster"
    assert taken("deadline", now(7), asked) == "my-cluster"
    # In time by a little: it waits, as long as it can still leave for Batch.
    assert taken("deadline", now(11), asked) == "my-cluster"
    # Its turn would come too late by far: Batch is surely in time, and cheaper than Lambda.
    assert taken("deadline", now(40), asked) == "aws-batch"
    assert taken("deadline", now(11), placed(asked, deadline=87.0)) == "aws-lambda"
    late = decide(placed(asked, deadline=30.0), None, now(11), policy="deadline")
    assert late.target == "aws-lambda"
    assert "no target is expected to meet the deadline" in late.reason


def test_deadline_looks_at_late_runs_where_they_were_measured() -> None:
    often_late = TargetState(NORTH, runs={"resize": Estimate(10.0, 0.9, late=200.0)})
    steady = TargetState(FUNCTIONS, runs={"resize": Estimate(10.0, 0.9, late=11.0)})
    asked = placed(service(), deadline=60.0)
    assert taken("deadline", snapshot(often_late, steady), asked) == "aws-lambda"
    assert taken("deadline", snapshot(often_late, QUEUE), asked) == "north"


def test_a_lot_never_falls_between_prices_beside_a_free_target_that_is_late() -> None:
    """Beside what is free all prices are worth nothing; the cheaper one is taken all the same."""
    busy = state(CLUSTER, run=60.0, queued=50)
    now = snapshot(busy, state(FUNCTIONS, run=60.0), state(QUEUE, run=60.0))
    asked = placed(service(memory=2 * GIB), deadline=150.0)
    assert {taken("cheapest", now, asked, seed=n) for n in range(20)} == {"aws-batch"}


def test_budget_buys_time_while_there_is_money() -> None:
    asked = placed(service(memory=2 * GIB), budget={"day": Decimal(1), "month": Decimal(10)})
    states = (state(FUNCTIONS, run=100.0), state(QUEUE, run=100.0))

    def after(day: str, month: str) -> Decision:
        spent = {"resize": Spent(day=Decimal(day), month=Decimal(month))}
        return decide(asked, None, Snapshot(states, spent=spent), policy="budget")

    assert after("0", "0").target == "aws-lambda"
    assert after("0.9", "1").target == "aws-batch"
    assert after("0", "9").target == "aws-batch"
    assert after("0.9999", "1").waits


def test_hedge_says_who_is_next_and_when() -> None:
    now = snapshot(state(NORTH, run=5.0, start=4.0), state(SOUTH, run=9.0), state(WEST, run=8.0))
    decision = decide(service(), None, now, policy="hedge")
    assert (decision.target, decision.hedge) == ("north", Hedge("west", 8.0))
    assert decision.reason.endswith("west is next if it has not started after 8 s")
    assert from_json(stored(decision)) == decision
    measured = snapshot(state(NORTH, run=5.0, start=4.0, start_late=30.0), *now.targets[1:])
    assert decide(service(), None, measured, policy="hedge").hedge == Hedge("west", 30.0)
    assert decide(service(), None, snapshot(NORTH), policy="hedge").hedge is None
    assert decide(service(), None, now).hedge is None


def test_a_shadow_is_asked_and_does_not_decide() -> None:
    now = snapshot(state(FUNCTIONS, run=100.0), state(QUEUE, run=100.0))
    asked = placed(service(memory=2 * GIB), policy="fastest", shadow="cheapest")
    decision = decide(asked, None, now)
    assert decision.target == "aws-lambda"
    (other,) = decision.instead
    assert (other.role, other.policy, other.target) == ("shadow", "cheapest", "aws-batch")
    assert other.cost == decision.candidates[1].offer.cost
    assert from_json(stored(decision)) == decision
    wrong = placed(asked, policy="fastest", shadow="deadline")
    assert decide(wrong, None, now).target == "aws-lambda"
    (nothing,) = decide(asked, None, snapshot()).instead
    assert nothing.target == ""


def test_carbon_counts_where_it_is_known() -> None:
    green, coal = replace(NORTH, carbon_per_hour=2.0), replace(SOUTH, carbon_per_hour=20.0)
    asked = placed(service(cpu="2"), weights={"carbon": 1.0})
    now = snapshot(state(coal, run=1800.0), state(green, run=3600.0), state(WEST, run=1.0))
    decision = decide(asked, None, now)
    assert decision.target == "north"
    assert term(decision, "north", "carbon") == pytest.approx(4.0)
    assert "carbon of west is not known and counts as the worst" in decision.reason


def test_carbon_of_aws_is_that_of_its_region_unless_the_target_says_it() -> None:
    ireland, sweden = (
        replace(FUNCTIONS, region="eu-west-1"),
        spec("north", "batch", region="eu-north-1"),
    )
    nowhere = spec("moon", "lambda", region="moon-1")
    asked = placed(service(cpu="1"), weights={"carbon": 1.0})
    now = snapshot(*(state(of, run=3600.0 / 4) for of in (ireland, sweden, nowhere)))
    decision = decide(asked, None, now)
    assert decision.target == "north"
    # A quarter of an hour at 2.12 W, with what the building takes, of 316 g a kWh.
    assert term(decision, FUNCTIONS.name, "carbon") == pytest.approx(0.25 * 2.12 * 1.135 * 0.316)
    assert "carbon of moon is not known" in decision.reason
    said = replace(ireland, carbon_per_hour=0.0)
    assert decide(
        asked, None, snapshot(state(said, run=900.0), state(sweden, run=900.0))
    ).target == (FUNCTIONS.name)


def test_each_part_of_the_price_can_be_weighed() -> None:
    asked = service(outputs=(path(MINIO),), storage=30 * GIB)
    lean = service(outputs=(path(MINIO),), storage=GIB)
    now = snapshot(state(FUNCTIONS, run=10.0), state(QUEUE, run=10.0))
    weights = dict.fromkeys(("compute-price", "request-price", "transfer-price"), 1.0)
    weights["storage-price"] = 1.0
    decision = decide(placed(lean, weights=weights), event(10**9), now)
    large = decide(placed(asked, weights=weights), event(10**9), now)
    assert (term(decision, "aws-lambda", "storage-price") or 0.0) > 0  # of the half GiB above 0.5
    assert term(decision, "aws-batch", "storage-price") == 0.0
    assert (term(large, "aws-batch", "storage-price") or 0.0) > 0
    for candidate in (*decision.candidates, large.candidates[0]):
        parts = [t.raw for t in candidate.terms]
        assert sum(raw or 0.0 for raw in parts) == pytest.approx(float(candidate.offer.cost))
    assert term(decision, "aws-batch", "request-price") == 0.0
    assert (term(decision, "aws-lambda", "transfer-price") or 0.0) > 0.05
