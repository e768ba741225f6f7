"""Money: the arithmetic against worked examples, and where prices are not known."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.scheduler import list_prices, offer
from bridge.scheduler._prices import Rate
from bridge.scheduler.bills import Bill
from tests.scheduler.make import (
    CLUSTER,
    FUNCTIONS,
    GIB,
    MINIO,
    QUEUE,
    event,
    on_batch,
    path,
    service,
    state,
)

TWO_GB = service(cpu="1", memory=2 * GIB)


def test_two_gb_for_a_minute_on_lambda() -> None:
    """2 GB x 60 s is 120 GB-s at 0.0000166667 USD, and one request."""
    cost = offer(TWO_GB, None, state(FUNCTIONS, run=60.0)).cost
    assert cost == Decimal("0.002000004") + Decimal("0.0000002")
    assert round(cost, 4) == Decimal("0.0020")


def test_two_gb_for_a_minute_on_fargate() -> None:
    """1 vCPU at 0.04048 and 2 GB at 0.004445 USD per hour, for one minute, pull included."""
    cost = offer(TWO_GB, None, state(QUEUE, run=30.0)).cost
    assert cost == ((Decimal("0.04048") + 2 * Decimal("0.004445")) / 3600) * 60
    assert round(cost, 5) == Decimal("0.00082")


def test_fargate_bills_a_minute_at_least_and_the_pull() -> None:
    costs = [offer(TWO_GB, None, state(QUEUE, run=run)).cost for run in (0.1, 30.0, 30.5, 90.0)]
    assert costs[0] == costs[1]
    assert costs[2] == costs[0] / 60 * 61
    assert costs[3] == costs[0] * 2


def test_lambda_bills_by_the_millisecond() -> None:
    rate = Decimal("0.0000166667") * 2
    cost = offer(TWO_GB, None, state(FUNCTIONS, run=0.0101)).cost
    assert cost == rate * 11 / 1000 + Decimal("0.0000002")


@given(
    st.floats(0, 1e5)
    | st.builds(
        lambda ms, off: max(ms / 1000 + off, 0.0), st.integers(0, 10**8), st.floats(-1e-6, 1e-6)
    ),
    st.sampled_from([1, 1000]),
)
def test_steps_are_whole_but_for_the_last_digits_of_a_float(seconds: float, step: int) -> None:
    rate = Rate(second=Decimal(1), step_ms=step)
    assert rate.cost(seconds) == Decimal(ceil(round(seconds * 1000, 3) / step) * step) / 1000
    bill = Bill(second=1.0, step=step / 1000)
    assert bill.cost(seconds) == ceil(round(seconds / (step / 1000), 6)) * (step / 1000)


def test_lambda_is_cheaper_for_short_jobs_and_fargate_for_long_ones() -> None:
    def cheaper(run: float) -> str:
        both = [offer(TWO_GB, None, state(target, run=run)) for target in (FUNCTIONS, QUEUE)]
        return min(both, key=lambda made: made.cost).target

    assert cheaper(20.0) == "aws-lambda"
    assert cheaper(60.0) == "aws-batch"


def test_arm_is_cheaper() -> None:
    arm = replace(TWO_GB, arch="arm64")
    cost = offer(arm, None, state(FUNCTIONS, run=60.0)).cost
    assert cost == Decimal("0.0000133334") * 120 + Decimal("0.0000002")
    on_arm = state(replace(QUEUE, arch="arm64"), run=30.0)
    hour = Decimal("0.03238") + 2 * Decimal("0.00356")
    assert offer(arm, None, on_arm).cost == hour / 3600 * 60


def test_storage_beyond_what_is_included() -> None:
    plain, more = (service(storage=size) for size in (512 * 2**20, 1536 * 2**20))
    little, much = (offer(s, None, state(FUNCTIONS, run=100.0)).cost for s in (plain, more))
    assert much - little == Decimal("0.0000000309") * 100
    free, paid = (service(memory=2 * GIB, storage=size * GIB) for size in (20, 120))
    little, much = (offer(s, None, state(QUEUE, run=30.0)).cost for s in (free, paid))
    assert round(much - little, 12) == round(Decimal("0.000111") * 100 / 60, 12)


def test_a_cluster_costs_its_vcpu_hours() -> None:
    paid = replace(CLUSTER, cost_per_hour=Decimal("0.36"))
    made = offer(service(cpu="2"), None, state(paid, run=10.0))
    assert made.cost == Decimal("0.002")
    assert offer(service(cpu="2"), None, state(CLUSTER, run=10.0)).cost == 0


def test_batch_on_ec2_is_priced_as_fargate_and_says_so() -> None:
    asked = on_batch("EC2", memory=2 * GIB)
    made = offer(asked, None, state(QUEUE, run=60.0))
    assert made.cost == ((Decimal("0.04048") + 2 * Decimal("0.004445")) / 3600) * 60
    assert made.notes == (
        "AWS Batch on EC2 is priced as Fargate (give the target a cost_per_hour)",
    )
    told = replace(QUEUE, cost_per_hour=Decimal("0.036"))
    told_offer = offer(asked, None, state(told, run=60.0))
    assert told_offer.cost == Decimal("0.0006")
    assert told_offer.notes == ()
    with_gpu = offer(service(gpu=1), None, state(QUEUE, run=60.0))
    assert "priced as Fargate, without the GPU" in with_gpu.notes[0]


@pytest.mark.parametrize(("target", "what"), [(FUNCTIONS, "Lambda"), (QUEUE, "Fargate")])
def test_an_unknown_region_is_priced_as_another_and_says_so(target: object, what: str) -> None:
    known = state(target, run=60.0)  # type: ignore[arg-type]
    far = replace(known, spec=replace(known.spec, region="mars-north-1"))
    here, there = offer(TWO_GB, None, known), offer(TWO_GB, None, far)
    assert there.cost == here.cost
    assert there.notes == (
        f"the price of {what} in mars-north-1 is not known: that of us-east-1 is taken",
    )
    assert there.confidence == here.confidence / 2


def test_a_priced_region_has_its_own_price() -> None:
    milan = offer(TWO_GB, None, state(replace(FUNCTIONS, region="eu-south-1"), run=60.0))
    assert milan.cost == Decimal("0.0000195172") * 120 + Decimal("0.00000023")
    assert milan.notes == ()


def test_data_that_leaves_aws_is_paid() -> None:
    gib = event(size=GIB)
    home = service(inputs=(path(),), outputs=(path(),))
    abroad = service(inputs=(path(),), outputs=(path(MINIO),))

    def cost(asked: object, target: object) -> Decimal:
        made = offer(asked, gib, state(target, run=1.0))  # type: ignore[arg-type]
        return made.cost

    assert cost(home, CLUSTER) == Decimal("0.09")  # S3 to the cluster; back is free
    assert cost(abroad, CLUSTER) == Decimal("0.09")
    assert cost(home, FUNCTIONS) < Decimal("0.01")
    assert cost(abroad, FUNCTIONS) > Decimal("0.09")
    from_minio = event(size=GIB, provider="minio.default")
    kept = offer(service(inputs=(path(MINIO),)), from_minio, state(CLUSTER, run=1.0))
    assert kept.cost == 0


def test_the_price_of_egress_elsewhere_is_borrowed_aloud() -> None:
    asked = service(outputs=(path(MINIO),))
    made = offer(asked, None, state(replace(FUNCTIONS, region="eu-central-1"), run=1.0))
    assert made.notes == (
        "the price of data that leaves AWS in eu-central-1 is not known: "
        "that of us-east-1 is taken",
    )


@pytest.mark.parametrize("target", [FUNCTIONS, QUEUE, replace(CLUSTER, cost_per_hour=Decimal(1))])
def test_scaled_prices_scale_costs(target: object) -> None:
    asked = service(inputs=(path(),), outputs=(path(MINIO),), storage=30 * 2**20)
    seen = state(target, run=3.0)  # type: ignore[arg-type]
    once = offer(asked, event(size=GIB), seen)
    thrice = offer(asked, event(size=GIB), seen, list_prices().scaled(Decimal(3)))
    assert round(thrice.cost, 15) == round(once.cost * 3, 15)
