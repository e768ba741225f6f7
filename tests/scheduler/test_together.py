"""Pipelines placed as a whole: no other way is better, and none is left without a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.fdl.model import Service, TargetSpec
from bridge.scheduler import (
    Link,
    Snapshot,
    TargetState,
    Together,
    decide_together,
    list_prices,
)
from bridge.scheduler._assign import Problem, best
from tests.scheduler.make import (
    CLUSTER,
    FUNCTIONS,
    MINIO,
    QUEUE,
    S3,
    path,
    placed,
    service,
    snapshot,
    spec,
    state,
)

NAMES = "abcd"
FAR = spec("far", "lambda", region="eu-west-1")
OTHER = spec("other-cluster", "oscar", cost_per_hour=Decimal("0.05"))


def stage(name: str, policy: str = "cheapest", into: str = "s3", out: str = "s3") -> Service:
    kinds = {"s3": S3, "minio": MINIO}
    one = service(name=name, inputs=(path(kinds[into]),), outputs=(path(kinds[out]),))
    return placed(one, policy=policy)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    names = NAMES[: draw(st.integers(1, 4))]
    small = st.integers(0, 9).map(lambda n: (float(n % 2), float(n)))
    values = {name: "xyz"[: draw(st.integers(1, 3))] for name in names}
    own = {name: {v: draw(small) for v in values[name]} for name in names}
    ends = [(a, b) for n, a in enumerate(names) for b in names[n + 1 :] if draw(st.booleans())]
    pairs = {(a, b): {(x, y): draw(small) for x in values[a] for y in values[b]} for a, b in ends}
    return Problem(own, pairs)


def ways(problem: Problem) -> list[dict[str, str]]:
    return [dict(zip(problem.own, way, strict=True)) for way in product(*problem.own.values())]


@settings(max_examples=60, deadline=None)
@given(problems())
def test_no_assignment_is_better_than_the_eliminated_one(problem: Problem) -> None:
    found, exact = best(problem, ways(problem)[:1])
    assert exact
    assert problem.loss(found) == min(map(problem.loss, ways(problem)))


@settings(max_examples=30, deadline=None)
@given(problems())
def test_a_descent_is_no_worse_than_where_it_began_and_says_that_it_is_one(
    problem: Problem,
) -> None:
    start = ways(problem)[-1]
    found, exact = best(problem, [start], most=0)
    assert not exact
    assert problem.loss(found) <= problem.loss(start)
    # What one change could mend is mended.
    near = [way for way in ways(problem) if sum(way[n] != found[n] for n in found) == 1]
    assert all(problem.loss(found) <= problem.loss(way) for way in near)


TARGETS = (CLUSTER, OTHER, FUNCTIONS, FAR)


@st.composite
def pipelines(draw: st.DrawFn, policy: str) -> tuple[list[Service], list[Link]]:
    """Up to three services, each linked to some before it, through S3 or MinIO."""
    made, links = [], []
    for n, name in enumerate(NAMES[: draw(st.integers(2, 3))]):
        into, out = draw(st.sampled_from(("s3", "minio"))), draw(st.sampled_from(("s3", "minio")))
        made.append(stage(name, policy, into, out))
        before = draw(st.sets(st.sampled_from(NAMES[:n]), min_size=1)) if n else set()
        links += [Link(one, name, f"{into}.default") for one in sorted(before)]
    return made, links


def everyhow(
    services: Sequence[Service], links: Sequence[Link], targets: Sequence[TargetSpec]
) -> list[Together]:
    """The pipeline with each service pinned to a target, in every way."""
    found = []
    for names in product([target.name for target in targets], repeat=len(services)):
        pinned = [replace(s, pin=name) for s, name in zip(services, names, strict=True)]
        found.append(decide_together(pinned, links, now(targets)))
    return found


def now(targets: Sequence[TargetSpec]) -> Snapshot:
    runs = {"my-cluster": 50.0, "other-cluster": 20.0, "aws-lambda": 1.0, "far": 0.9}
    return snapshot(*(measured(one, runs[one.name]) for one in targets))


def measured(of: TargetSpec, run: float) -> TargetState:
    one = state(of, run)
    return replace(one, runs=dict.fromkeys(NAMES, one.runs["resize"]))


@settings(max_examples=8, deadline=None)
@given(st.data(), st.sampled_from(["cheapest", "fastest"]))
def test_no_other_way_through_a_pipeline_costs_or_takes_less(
    data: st.DataObject, policy: str
) -> None:
    services, links = data.draw(pipelines(policy))
    found = decide_together(services, links, now(TARGETS))
    assert found.exact
    others = everyhow(services, links, TARGETS)
    if policy == "cheapest":
        assert float(found.whole.cost) == pytest.approx(min(float(o.whole.cost) for o in others))
    else:
        assert found.whole.seconds == pytest.approx(min(o.whole.seconds for o in others))
    assert found == decide_together(services, links, now(TARGETS))


def targets(found: Together) -> Mapping[str, str]:
    return {one.service: one.target for one in found.decisions}


def test_a_stage_stays_where_its_data_is_and_says_why() -> None:
    # Alone the function of the other region is a little faster; the data lies here.
    services = [stage("a", "pinned"), stage("b", "fastest")]
    services[0] = replace(services[0], pin="aws-lambda")
    here = snapshot(measured(FUNCTIONS, 1.0), measured(FAR, 0.9))
    found = decide_together(services, [Link("a", "b", "s3.default")], here)
    assert targets(found) == {"a": "aws-lambda", "b": "aws-lambda"}
    assert found.moved == ("b",)
    moved = found.decisions[1]
    assert moved.reason.startswith("aws-lambda: best for the pipeline as a whole")
    assert moved.reason.endswith("alone it would be far")
    assert moved.candidates[0].offer.target == "aws-lambda"
    assert found.alone.crossings == 1
    assert found.whole.crossings == 0
    assert found.whole.seconds < found.alone.seconds
    assert found.whole.cost < found.alone.cost


def test_a_crossing_costs_what_leaves_aws_and_the_slower_way() -> None:
    services = [replace(stage("a", "pinned"), pin="aws-lambda"),
                replace(stage("b", "pinned"), pin="my-cluster")]  # fmt: skip
    found = decide_together(services, [Link("a", "b", "s3.default")], snapshot(FUNCTIONS, CLUSTER))
    (way,) = [one for one in found.hops if one.link == Link("a", "b", "s3.default")]
    assert (way.origin, way.destination, way.crosses) == ("aws-lambda", "my-cluster", True)
    size = Decimal(found.size) / 2**30
    assert way.cost == pytest.approx(list_prices().egress["us-east-1"] * size)
    assert way.seconds == pytest.approx(found.size * (1 / 50e6 + 1 / 12.5e6))
    # What the cluster reads from S3 it writes there again, which is free.
    assert found.whole.crossings == 2
    assert found.moved == ()


def test_between_regions_the_price_is_that_of_regions() -> None:
    services = [replace(stage("a", "pinned"), pin="aws-lambda"),
                replace(stage("b", "pinned"), pin="far")]  # fmt: skip
    found = decide_together(services, [Link("a", "b", "s3.default")], snapshot(FUNCTIONS, FAR))
    (way,) = [one for one in found.hops if one.crosses]
    assert float(way.cost) == pytest.approx(0.02 * found.size / 2**30)


def test_services_without_links_and_without_a_target_are_as_alone() -> None:
    big = replace(stage("b"), pin="nowhere")
    found = decide_together([stage("a"), big], [Link("a", "b", "s3.default")], snapshot(QUEUE))
    assert targets(found) == {"a": "aws-batch", "b": ""}
    assert (found.hops, found.moved, found.whole.crossings) == ((), (), 0)


def test_what_the_lot_would_set_apart_stays_together() -> None:
    twin = spec("twin", "lambda", region="us-east-2")
    chain = [stage(name, "balanced") for name in NAMES]
    links = [Link(a, b, "s3.default") for a, b in pairwise(NAMES)]
    here = snapshot(measured(FUNCTIONS, 1.0), measured(twin, 1.0))
    apart = decide_together(chain, [], here)
    assert len(set(targets(apart).values())) == 2
    found = decide_together(chain, links, here)
    assert len(set(targets(found).values())) == 1
    assert found.whole.crossings == 0 < found.alone.crossings
    # Where the data is small beside the work, the lot is left alone.
    slow = decide_together(chain, links, snapshot(measured(FUNCTIONS, 800), measured(twin, 800)))
    assert slow.moved == ()
