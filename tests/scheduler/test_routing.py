"""The quick form of decisions takes the targets that `decide` takes."""

from __future__ import annotations

from array import array
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import PlacementError
from bridge.fdl.model import Placement, Service, TargetSpec
from bridge.scheduler import Cause, Snapshot, TargetState, decide
from bridge.scheduler.routing import Routing
from tests.scheduler.make import service
from tests.scheduler.test_properties import policies, services, states

counts = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.sampled_from([0.0, 0.0, 0.25, 1.0])),
    min_size=12,
    max_size=12,
)


@st.composite
def twins(draw: st.DrawFn) -> list[TargetState]:
    """Up to twelve targets of at most four sorts: many are alike, so lots are drawn."""
    sorts = draw(st.lists(states(), min_size=1, max_size=4))
    picked = draw(st.lists(st.sampled_from(sorts), min_size=1, max_size=12))
    return [replace(s, spec=replace(s.spec, name=f"t{n}")) for n, s in enumerate(picked)]


@given(services(), twins(), policies, st.lists(counts, min_size=1, max_size=3), st.data())
def test_it_takes_the_target_that_decide_takes(
    asked: Service,
    targets: list[TargetState],
    policy: str,
    moments: list[list[tuple[int, int, float]]],
    data: st.DataObject,
) -> None:
    running, queued = array("q", [0] * len(targets)), array("q", [0] * len(targets))
    failures = array("d", [0.0] * len(targets))
    routing = Routing(targets, running, queued, failures, policy=policy, seed=3)
    for number, moment in enumerate(moments):
        for i in range(len(targets)):
            running[i], queued[i], failures[i] = moment[i]
        routing.now.age = data.draw(st.sampled_from([0.0, 7.5]))
        size = data.draw(st.none() | st.sampled_from([0, 1, 10**6, 10**9]))
        cause = Cause(str(number), data.draw(st.sampled_from(["s3.default", "minio.a", ""])), size)
        now = Snapshot(
            tuple(
                replace(t, running=running[i], queued=queued[i], failures=failures[i])
                for i, t in enumerate(targets)
            )
        )
        now = replace(now, targets=tuple(replace(t, age=routing.now.age) for t in now.targets))
        decision = decide(asked, cause, now, policy=policy, seed=3)
        found = routing.choose(asked, cause)
        assert (targets[found].spec.name if found >= 0 else "") == decision.target


def test_it_refuses_what_decide_refuses() -> None:
    one = [TargetState(TargetSpec("t0", "lambda"))]
    zero = array("q", [0])
    routing = Routing(one, zero, array("q", [0]), array("d", [0.0]))
    with pytest.raises(PlacementError, match="not a known preference"):
        routing.choose(service(placement=Placement(prefer={"colour": "red"})), Cause())
