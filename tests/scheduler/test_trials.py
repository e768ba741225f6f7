"""Policies on trial: a canary for a share of the jobs, a shadow beside all; and history again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from bridge.errors import PlacementError, UsageError
from bridge.scheduler import (
    POLICIES,
    Actual,
    Decision,
    Past,
    Trial,
    as_json,
    decide,
    from_json,
    in_time,
    list_prices,
    offer,
    replay,
)
from tests.scheduler.make import CLUSTER, FUNCTIONS, event, placed, service, snapshot, state

ASKED = placed(service(), policy="fastest", deadline=20.0)
# The function is at once there and costs, the cluster is free and takes a while.
NOW = snapshot(state(CLUSTER, 30.0), state(FUNCTIONS, 10.0))
LATER = snapshot(state(CLUSTER, 5.0), state(FUNCTIONS, 10.0))


def stored(decision: Decision) -> Mapping[str, Any]:
    """As it comes back from where it is kept."""
    found: Mapping[str, Any] = json.loads(json.dumps(as_json(decision)))
    return found


def test_a_canary_decides_its_share_always_of_the_same_jobs() -> None:
    trial = Trial.read("cheapest:20%")
    taken = [seed for seed in range(1000) if trial.takes(seed)]
    assert 150 < len(taken) < 250
    assert taken == [seed for seed in range(1000) if trial.takes(seed)]
    assert all(Trial.read("cheapest:100%").takes(seed) for seed in range(100))
    for seed in range(20):
        found = trial.decide(ASKED, event(), NOW, seed=seed)
        assert (found.trial == "canary") == trial.takes(seed)
        assert found.policy == ("cheapest" if found.trial else "fastest")


def test_a_decision_says_that_it_was_on_trial_and_what_would_have_been() -> None:
    trial = Trial.read("cheapest:100%", "pinned")
    free = placed(service(), policy="fastest", prefer={"target": "aws-lambda"})
    found = trial.decide(free, event(), NOW, seed=7)
    assert (found.target, found.policy, found.trial) == ("my-cluster", "cheapest", "canary")
    assert found.reason.endswith("decided by cheapest, a canary, not by fastest")
    assert [(o.role, o.policy, o.target) for o in found.instead] == [
        ("primary", "fastest", "aws-lambda"),
        ("shadow", "pinned", "aws-lambda"),
    ]
    assert found.instead[0].finish < (found.chosen.offer.finish if found.chosen else 0)
    assert from_json(stored(found)) == found


def test_a_policy_on_trial_does_no_harm() -> None:
    # Without a target to pin to, and with weights that are not for it, it cannot decide.
    for asked in (service(), placed(service(), policy="balanced", weights={"cost": 1.0})):
        plain = decide(asked, event(), NOW, seed=3)
        policy = "cheapest" if asked.placement.weights else "pinned"
        assert Trial.read(f"{policy}:100%", policy).decide(asked, event(), NOW, seed=3) == plain
    assert Trial().decide(ASKED, event(), NOW) == decide(ASKED, event(), NOW)
    with pytest.raises(PlacementError):
        Trial.read("cheapest:100%").decide(placed(service(), policy="pinned"), event(), NOW)


@pytest.mark.parametrize(
    "text", ["cheapest", "cheapest:5", "cheapest:0%", "cheapest:101%", ":5%", "luckiest:5%", "5%"]
)
def test_a_trial_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Trial.read(text)
    with pytest.raises(UsageError):
        Trial.read(shadow="luckiest")


def history() -> list[Past]:
    # Two that the deadline is missed with on the cluster, one that it is not.
    found = []
    for n, now in enumerate((NOW, NOW, LATER)):
        decision = decide(ASKED, event(key=str(n)), now, seed=n)
        actual = Actual(decision.target, wait=1.0, seconds=12.0 if n else 25.0, failed=n == 1)
        found.append(Past(f"job-{n}", stored(decision), actual))
    return found


def test_history_under_its_own_policy_is_what_it_was() -> None:
    report = replay(history(), {"resize": ASKED}, "fastest")
    (row,) = report.comparisons
    assert (row.role, row.jobs, row.elsewhere, row.moves) == ("replay", 3, 0, {})
    assert row.taken == row.other
    assert report.left_out == {}
    for past in history():
        again = from_json(past.decision)
        taken = decide(ASKED, again.cause, again.snapshot or NOW, seed=again.seed)
        assert stored(taken) == past.decision


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_takes_its_decisions_again(policy: str) -> None:
    # With what each of them wants to be told.
    asked = placed(
        service(), policy=policy, deadline=60.0, max_cost=Decimal(1),
        targets=("aws-lambda", "my-cluster"),
    )  # fmt: skip
    past = [
        Past(str(n), stored(decide(asked, event(size=n * 10**7, key=str(n)), now, seed=n)))
        for n, now in enumerate((NOW, LATER) * 3)
    ]
    report = replay(past, {"resize": asked}, policy)
    assert report.left_out == {}
    (row,) = report.comparisons
    assert (row.jobs, row.elsewhere) == (6, 0)
    assert row.taken == row.other


def test_a_deadline_was_as_near_as_when_it_was_decided() -> None:
    asked = placed(service(), policy="cheapest", deadline=40.0)
    taken = decide(in_time(asked, 20.0), event(), NOW)
    assert (taken.target, decide(asked, event(), NOW).target) == ("aws-lambda", "my-cluster")
    past = Past("late", stored(taken), gone=20.0)
    (row,) = replay([past], {"resize": asked}, "cheapest").comparisons
    assert (row.elsewhere, row.taken.misses, row.other.misses) == (0, 0, 0)
    (row,) = replay([replace(past, gone=39.0)], {"resize": asked}, "cheapest").comparisons
    assert row.other.misses == 1


def test_another_policy_would_have_cost_less_and_been_late() -> None:
    # The deadline comes before a policy: it is what the service has now.
    patient = {"resize": replace(ASKED, placement=replace(ASKED.placement, deadline=None))}
    (row,) = replay(history(), patient, "cheapest").comparisons
    assert row.moves == {("aws-lambda", "my-cluster"): 2}
    assert row.elsewhere == 2
    assert row.other.cost == 0 < row.taken.cost
    assert row.other.seconds > row.taken.seconds
    assert (row.actual.jobs, row.actual.seconds, row.actual.failed) == (3, 49.0, 1)
    # Runs of 24 and 11 seconds on the function; the third was on the cluster.
    measured = state(FUNCTIONS, 35.0)
    assert row.actual.cost == pytest.approx(
        offer(ASKED, None, measured).cost + list_prices().functions["us-east-1"].request
    )
    late = replay(history(), {"resize": ASKED}, "cheapest").comparisons[0]
    assert (late.actual.misses, late.taken.misses) == (1, 0)


def test_what_was_on_trial_is_compared_without_deciding_again() -> None:
    trial = Trial.read("cheapest:50%", "balanced")
    plain = placed(service(), policy="fastest")
    decided = [trial.decide(plain, event(key=str(n)), NOW, seed=n) for n in range(40)]
    past = [
        Past(str(n), stored(one), Actual(one.target, 1.0, 2.0)) for n, one in enumerate(decided)
    ]
    report = replay(past, {"resize": plain})
    canaries = sum(one.trial == "canary" for one in decided)
    rows = {(row.role, row.policy): row for row in report.comparisons}
    assert rows.keys() == {("canary", "cheapest"), ("shadow", "balanced")}
    assert rows["canary", "cheapest"].jobs == canaries == rows["canary", "cheapest"].elsewhere
    assert rows["shadow", "balanced"].jobs == 40
    assert {key: figures.jobs for key, figures in report.ended.items()} == {
        ("cheapest", "canary"): canaries,
        ("fastest", ""): 40 - canaries,
    }


def test_what_cannot_be_decided_again_is_counted() -> None:
    old = {**stored(decide(ASKED, event(), NOW)), "given": None}
    gone = stored(decide(replace(ASKED, name="gone"), event(), NOW))
    none = stored(decide(replace(ASKED, pin="nowhere"), event(), NOW))
    found = replay([Past("1", old), Past("2", gone), Past("3", none)], {"resize": ASKED}, "fastest")
    assert found.jobs == 1
    assert sorted(found.left_out.values()) == [1, 1]
    (row,) = found.comparisons
    assert (row.taken.unplaced, row.other.jobs, row.elsewhere) == (1, 1, 1)
    assert row.taken.cost == Decimal(0)
