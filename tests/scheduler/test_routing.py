"""The quick form of decisions takes the targets that `decide` takes."""

from __future__ import annotations

from dataclasses import replace
from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import PlacementError
from bridge.fdl.model import Placement, Service, TargetSpec
from bridge.scheduler import Cause, Snapshot, TargetState, decide
from bridge.scheduler.routing import Now, Routing
from tests.scheduler.make import service
from tests.scheduler.test_properties import services, states

policies = st.sampled_from(
    [
        "balanced",
        "cheapest",
        "fastest",
        "least-load",
        "locality",
        "hedge",
        "static",
        "pinned",
        "deadline",
        "topsis",
        "round-robin",
    ]
)
SIZES = [None, 0, 1, 10**6, 10**9]
counts = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.integers(0, 30),
        st.sampled_from([0.0, 0.0, 0.25, 1.0]),
        st.none() | st.sampled_from([0.5, 20.0]),
        st.none() | st.sampled_from([0.5, 3.0]),
    ),
    min_size=12,
    max_size=12,
)
causes = st.builds(
    Cause,
    st.text("ab", max_size=3),
    st.sampled_from(["s3.default", "minio.a", ""]),
    st.sampled_from(SIZES),
)
moments = st.tuples(counts, causes, st.sampled_from([0.0, 7.5]))


def now_of(count: int) -> Now:
    return Now(
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
        np.zeros(count),
        np.full(count, nan),
        np.full(count, nan),
    )


@st.composite
def twins(draw: st.DrawFn) -> list[TargetState]:
    """Up to twelve targets of at most four sorts: many are alike, so lots are drawn."""
    sorts = draw(st.lists(states(), min_size=1, max_size=4))
    picked = draw(st.lists(st.sampled_from(sorts), min_size=1, max_size=12))
    return [replace(s, spec=replace(s.spec, name=f"t{n}")) for n, s in enumerate(picked)]


def saying_enough(asked: Service, policy: str) -> Service:
    """The service with what the policy needs to be told."""
    placement = asked.placement
    if policy == "pinned":
        return replace(asked, pin="t0")
    if policy == "static":
        return replace(asked, placement=replace(placement, targets=("t1", "t0", "t2")))
    if policy == "deadline" and not placement.deadline:
        return replace(asked, placement=replace(placement, deadline=100.0))
    return asked


@given(services(), twins(), policies, st.lists(moments, min_size=1, max_size=3), st.booleans())
def test_it_takes_the_target_that_decide_takes(
    asked: Service,
    targets: list[TargetState],
    policy: str,
    times: list[tuple[list[tuple[int, int, float, float | None, float | None]], Cause, float]],
    less: bool,
) -> None:
    """Also when targets are left out, and when nothing can run the service."""
    asked = saying_enough(asked, policy)
    now = now_of(len(targets))
    routing = Routing(targets, now, policy=policy, seed=3)
    for number, (each, cause, now.age) in enumerate(times):
        told = []
        for i, target in enumerate(targets):
            running, queued, failures, mean, cores = each[i]
            now.running[i], now.queued[i], now.failures[i] = running, queued, failures
            now.means[i] = nan if mean is None else mean
            now.cores[i] = nan if cores is None else cores
            told.append(
                replace(
                    target,
                    running=running,
                    queued=queued,
                    failures=failures,
                    mean_run=mean,
                    mean_cpu=cores,
                    age=now.age,
                )
            )
        without = {0} if less else set()
        snapshot = Snapshot(tuple(told[1:] if less else told), turn=number + 1)
        decision = decide(asked, cause, snapshot, policy=policy, seed=3)
        found = routing.choose(asked, cause, without)
        assert (targets[found].spec.name if found >= 0 else "") == decision.target


def test_it_refuses_what_decide_refuses() -> None:
    routing = Routing([TargetState(TargetSpec("t0", "lambda"))], now_of(1))
    with pytest.raises(PlacementError, match="not a known preference"):
        routing.choose(service(placement=Placement(prefer={"colour": "red"})), Cause())


def test_most_policies_have_a_quick_form() -> None:
    routing = Routing([TargetState(TargetSpec("t0", "lambda"))], now_of(1), policy="balanced")
    assert routing.asked(service())[1]
    slow = Routing([TargetState(TargetSpec("t0", "lambda"))], now_of(1), policy="topsis")
    assert not slow.asked(service())[1]
