"""`cost`: by list prices, exactly, and for runs that were measured."""

from __future__ import annotations

import datetime
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from bridge.dispatch import JobRecord
from bridge.events import Event, EventKind
from bridge.fdl import parse
from bridge.operate.cost import CostReport, cost_of
from bridge.scheduler import list_prices
from bridge.targets import JobState
from bridge.targets.aws.deployed import Deployed
from tests.operate.world import FDL, World

DOCUMENT = parse(FDL)
TODAY = datetime.date.fromisoformat(list_prices().dated) + datetime.timedelta(days=10)
EVENT = Event(EventKind.S3, bucket="b", key="k")


def ran(service: str, target: str, seconds: float, **changes: Any) -> JobRecord:
    job = JobRecord(f"{service}-1", service, EVENT, JobState.SUCCEEDED, target=target)
    return replace(job, started=1000.0, ended=1000.0 + seconds, **changes)


def report(service: str, *jobs: JobRecord, region: str = "us-east-1") -> CostReport:
    mode = DOCUMENT.service(service).execution_mode
    deployed = Deployed(service, targets=("aws-batch" if mode == "batch" else "aws-lambda",))
    return cost_of(deployed, DOCUMENT, jobs, region=region, today=TODAY)


def test_a_run_on_lambda_costs_its_gigabyte_seconds_and_a_request() -> None:
    found = report("shout", ran("shout", "aws-lambda", 100.0))
    price = list_prices().functions["us-east-1"]
    billed = price.gb_second["amd64"] * 256 / 1024
    least = billed * 100 + price.request
    assert least <= found.runs[0].cost <= least + billed * 10  # with a billed start
    assert found.targets[0].runs == 1
    assert found.targets[0].seconds == 100.0
    assert found.total == found.runs[0].cost


def test_a_run_on_batch_costs_its_share_of_fargate() -> None:
    found = report("count", ran("count", "aws-batch", 3600.0))
    price = list_prices().fargate["us-east-1"]
    hour = price.vcpu_hour["amd64"] * Decimal("0.25") + price.gb_hour["amd64"] / 2
    assert hour <= found.runs[0].cost <= hour * Decimal("1.1")


def test_without_runs_the_estimate_says_what_it_rests_on() -> None:
    (one,) = report("shout").targets
    assert (one.target, one.runs) == ("aws-lambda", 0)
    assert any("guess" in note for note in one.notes)
    assert one.cost > 0


def test_a_job_that_was_handed_over_paid_twice() -> None:
    runs = [
        {"place": "lambda", "started": 0.0, "ended": 5.0},
        {"place": "batch", "started": 30.0, "ended": 90.0},
    ]
    found = report("slow", ran("slow", "aws-lambda", 90.0, report={"runs": runs}))
    assert [(run.target, run.seconds) for run in found.runs] == [
        ("aws-lambda", 5.0),
        ("aws-batch", 60.0),
    ]
    assert {one.target for one in found.targets} == {"aws-lambda", "aws-batch"}
    # Batch has the sizes of the batch section, whatever the function has.
    assert found.runs[1].cost == report("count", ran("count", "aws-batch", 60.0)).runs[0].cost


def test_a_region_without_a_price_is_priced_as_another_and_says_so() -> None:
    (one,) = report("shout", region="mx-central-1").targets
    assert any("mx-central-1 is not known" in note for note in one.notes)


@pytest.mark.parametrize(
    "changes",
    [
        {"started": None},
        {"ended": None},
        {"state": JobState.RUNNING},
        {"target": "my-cluster"},
        {"ended": 10.0},
    ],
)
def test_jobs_without_a_measured_run_on_aws_do_not_count(changes: dict[str, Any]) -> None:
    job = replace(ran("shout", "aws-lambda", 5.0), **changes)
    assert report("shout", job).runs == ()


def test_the_age_of_the_prices_is_said() -> None:
    found = report("shout")
    assert (found.dated, found.age) == (list_prices().dated, 10)
    assert any("list prices" in line for line in found.assumptions)


def test_the_command_measures_what_really_ran(world: World) -> None:
    job = world.ended("shout", "priced.txt")
    found = world.ok("cost", "shout")
    assert job.id in {run["job"] for run in found["runs"]}
    assert found["targets"][0]["measured_runs"] == len(found["runs"])
    assert Decimal(found["total"]) == sum(Decimal(run["cost"]) for run in found["runs"])
    said = world.run("cost", "shout").out
    assert "USD" in said and "days old" in said and "not counted" in said
    assert world.ok("cost", "shout", "-n", "0")["runs"] == []
