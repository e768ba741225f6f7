"""A burst: each decision sees those before it, and no room is given away twice."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import PlacementError
from bridge.scheduler import Decision, Room, Snapshot, decide, decide_all
from tests.scheduler.make import (
    CLUSTER,
    FUNCTIONS,
    GIB,
    QUEUE,
    event,
    placed,
    service,
    snapshot,
    spec,
    state,
)


def targets(made: list[Decision | PlacementError]) -> list[str]:
    return [one.target for one in made if isinstance(one, Decision)]


def test_a_burst_spills_over_when_the_room_is_taken() -> None:
    now = snapshot(state(CLUSTER, run=60.0), state(FUNCTIONS, run=60.0))
    asked = placed(service(), policy="cheapest", deadline=70.0)
    jobs = [(asked, event(key=f"k{n}"), n) for n in range(12)]
    assert {decide(s, e, now, seed=n).target for s, e, n in jobs} == {"my-cluster"}
    assert targets(decide_all(jobs, now)) == ["my-cluster"] * 4 + ["aws-lambda"] * 8


def test_the_first_decision_is_that_of_a_job_alone() -> None:
    now = snapshot(state(CLUSTER, run=6.0), FUNCTIONS, QUEUE)
    (made,) = decide_all([(service(), event(), 7)], now)
    assert made == decide(service(), event(), now, seed=7)


def test_one_that_cannot_be_asked_about_is_in_nobodys_way() -> None:
    wrong = placed(service(), weights={"colour": 1.0})
    made = decide_all([(service(), None, 0), (wrong, None, 1), (service(gpu=9), None, 2)], THREE)
    assert isinstance(made[1], PlacementError)
    assert [isinstance(one, Decision) and bool(one.target) for one in made] == [True, False, False]


THREE = snapshot(*(spec(name, "oscar", slots=2) for name in ("a", "b", "c")))


def test_turns_go_on_through_a_burst() -> None:
    jobs = [(service(), None, 0)] * 5
    assert targets(decide_all(jobs, replace(THREE, turn=1), policy="round-robin")) == list("bcabc")


def test_the_budget_is_spent_in_a_burst() -> None:
    asked = placed(service(), budget={"day": Decimal("0.0025")})
    made = decide_all([(asked, None, n) for n in range(4)], snapshot(state(FUNCTIONS, run=60.0)))
    assert [isinstance(one, Decision) and one.waits for one in made] == [False, False, True, True]


def test_the_least_slack_is_placed_first_under_a_deadline() -> None:
    """One free place: it goes to the job that came later and has less time."""
    now = snapshot(state(spec("own", "oscar", slots=1), run=60.0), state(FUNCTIONS, run=60.0))
    patient = placed(service(), policy="deadline", deadline=110.0)
    urgent = placed(service(), policy="deadline", deadline=90.0)
    made = decide_all([(patient, None, 0), (urgent, None, 1)], now)
    assert targets(made) == ["aws-lambda", "own"]


def test_what_waits_for_room_with_others_is_behind_them() -> None:
    room = {"resize": Room(1, 4, ahead=0)}
    now = snapshot(state(spec("own", "kubernetes"), run=60.0, room=room))
    waits = [
        one.chosen.offer.wait
        for one in decide_all([(service(), None, n) for n in range(3)], now)
        if isinstance(one, Decision) and one.chosen
    ]
    assert waits == [0.0, 15.0, 30.0]


sizes = st.lists(
    st.tuples(
        st.sampled_from(["0.5", "1", "3", "4"]),
        st.sampled_from([1, 2, 7]),
        st.sampled_from([0, 0, 1]),
    ),
    min_size=1,
    max_size=12,
)


@given(sizes, st.integers(1, 9), st.sampled_from(["balanced", "cheapest", "least-load", "topsis"]))
@settings(max_examples=40)
def test_no_more_start_at_once_than_there_is_room_for(
    asked: list[tuple[str, int, int]], slots: int, policy: str
) -> None:
    """Jobs of different sizes, on targets that are bounded in each way."""
    bounds = [
        spec("cores", "oscar", cpu=Decimal(8), gpu=2),
        spec("bytes", "oscar", memory=16 * GIB, gpu=1),
        spec("slots", "oscar", slots=slots),
    ]
    jobs = [
        (service(name=f"s{n % 3}", cpu=cpu, memory=gib * GIB, gpu=gpu), None, n)
        for n, (cpu, gib, gpu) in enumerate(asked)
    ]
    made = decide_all(jobs, Snapshot(tuple(map(state, bounds))), policy=policy)
    at_once = [
        (one.target, job[0].resources)
        for one, job in zip(made, jobs, strict=True)
        if isinstance(one, Decision) and one.chosen and one.chosen.offer.wait == 0
    ]
    assert sum(r.cpu for name, r in at_once if name == "cores") <= 8
    assert sum(r.memory for name, r in at_once if name == "bytes") <= 16 * GIB
    assert sum(name == "slots" for name, _ in at_once) <= slots
    assert sum(r.gpu for name, r in at_once if name == "cores") <= 2
    assert sum(r.gpu for name, r in at_once if name == "bytes") <= 1


def test_jobs_of_a_burst_do_not_share_a_warm_container() -> None:
    """Two wait: the third needs a new one, and the decision says what that takes."""
    warm = state(FUNCTIONS, 5.0, cold={"resize": 0.1}, warm={"resize": 2})
    found = decide_all([(service(), None, n) for n in range(3)], snapshot(warm))
    starts = [one.chosen.offer.start for one in found if isinstance(one, Decision) and one.chosen]
    assert starts[0] == starts[1] == pytest.approx(0.1 * 1 + 0.9 * 0.05)
    assert starts[2] == 1.0
