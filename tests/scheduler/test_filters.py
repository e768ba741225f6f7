"""Each filter alone: it says no for its own reason, in words for a person, and nobody else does."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from bridge.errors import PlacementError
from bridge.fdl.model import ProviderRef, Service
from bridge.fdl.options import Expose, Kserve, OscarOptions, Volume
from bridge.scheduler import (
    Estimate,
    Image,
    Machines,
    Snapshot,
    Spent,
    TargetState,
    Transfer,
    as_json,
    decide,
    from_json,
    list_prices,
    offer,
    snapshot_in,
)
from tests.scheduler.make import (
    CLUSTER,
    FUNCTIONS,
    GIB,
    MINIO,
    QUEUE,
    event,
    filters,
    on_batch,
    path,
    placed,
    refusal,
    service,
    state,
)

CASES: list[tuple[str, Service, TargetState, str]] = [
    (
        "targets",
        replace(service(), origin="oscar", pin="my-cluster"),
        state(FUNCTIONS),
        "the FDL file pins resize to my-cluster",
    ),
    (
        "targets",
        placed(service(), targets=("a", "b"), fallback=("c",)),
        state(FUNCTIONS),
        "the placement of resize allows only a, b and c",
    ),
    (
        "execution-mode",
        service(execution_mode="batch"),
        state(FUNCTIONS),
        "execution_mode is batch; aws-lambda is Lambda",
    ),
    (
        "execution-mode",
        service(execution_mode="lambda"),
        state(QUEUE),
        "execution_mode is lambda; aws-batch is AWS Batch",
    ),
    (
        "require",
        placed(service(), require={"gpu": True}),
        state(CLUSTER),
        "the placement requires a GPU; my-cluster has none",
    ),
    (
        "require",
        placed(service(), require={"region": "eu-west-1"}),
        state(FUNCTIONS),
        "the placement requires region eu-west-1; aws-lambda is in us-east-1",
    ),
    (
        "require",
        placed(service(), require={"region": "eu-west-1"}),
        state(CLUSTER),
        "the placement requires region eu-west-1; my-cluster names no region",
    ),
    (
        "require",
        placed(service(), require={"kind": "batch", "arch": "arm64"}),
        state(CLUSTER),
        "the placement requires kind batch; my-cluster is oscar; "
        "the placement requires arch arm64; my-cluster is amd64",
    ),
    (
        "isolated",
        placed(service(), require={"isolated": True}),
        state(CLUSTER, isolated=False),
        "the placement requires containers; my-cluster runs plain processes",
    ),
    (
        "lambda-memory",
        service(memory=16 * GIB),
        state(FUNCTIONS),
        "Lambda allows at most 10240 MB of memory; the service asks for 16384 MB",
    ),
    (
        "lambda-timeout",
        service(timeout=3600.0),
        state(FUNCTIONS),
        "Lambda stops a job after 900 s; the service asks for 3600 s",
    ),
    (
        "lambda-storage",
        service(storage=11 * GIB),
        state(FUNCTIONS),
        "Lambda allows at most 10240 MB of temporary storage; the service asks for 11264 MB",
    ),
    ("gpu", service(gpu=1), state(FUNCTIONS), "Lambda has no GPU; the service asks for 1"),
    (
        "gpu",
        on_batch("FARGATE", gpu=1),
        state(QUEUE),
        "AWS Batch on Fargate has no GPU; the service asks for 1",
    ),
    ("gpu", service(gpu=2), state(CLUSTER), "my-cluster has no GPU; the service asks for 2"),
    (
        "gpu",
        service(gpu=2),
        state(replace(CLUSTER, gpu=1)),
        "my-cluster has 1 GPU; the service asks for 2",
    ),
    (
        "fargate-size",
        service(cpu="32", memory=64 * GIB),
        state(QUEUE),
        "Fargate's largest size is 16 vCPU with 120 GiB; the service asks for 32 vCPU and 64 GiB",
    ),
    (
        "cpu",
        service(cpu="8"),
        state(replace(CLUSTER, cpu=Decimal(4))),
        "my-cluster has 4 cores; the service asks for 8",
    ),
    (
        "memory",
        service(memory=8 * GIB),
        state(replace(CLUSTER, memory=4 * GIB)),
        "my-cluster has 4 GiB of memory; the service asks for 8 GiB",
    ),
    (
        "slots",
        service(),
        state(replace(CLUSTER, slots=0)),
        "my-cluster has no slots: it runs no jobs",
    ),
    (
        "arch",
        service(arch="arm64"),
        state(CLUSTER),
        "the image of resize is for arm64; my-cluster is amd64",
    ),
    (
        "reach",
        service(inputs=(path(MINIO),), outputs=(path(ProviderRef("webdav", "dcache")), path())),
        state(FUNCTIONS, providers=frozenset({"s3.default"})),
        "aws-lambda cannot reach minio.default and webdav.dcache, which resize uses",
    ),
    (
        "reach",
        service(inputs=(path(MINIO),), outputs=(path(),)),
        state(FUNCTIONS, beyond=frozenset({"minio.default"})),
        "aws-lambda cannot reach minio.default, which resize uses",
    ),
    (
        "deployed",
        service(),
        state(FUNCTIONS, absent={"resize": "its image is being made", "other": "no"}),
        "resize is not on aws-lambda yet: its image is being made",
    ),
    (
        "max-cost",
        placed(service(), max_cost=Decimal("0.0001")),
        state(FUNCTIONS, run=60.0),
        "a job would cost 0.0010 USD there; max_cost is 0.00010 USD",
    ),
    (
        "predicted-time",
        service(),
        state(FUNCTIONS, run=1200.0),
        "Lambda stops a job after 900 s; resize takes about 20 min there",
    ),
    (
        "predicted-time",
        service(),
        TargetState(FUNCTIONS, runs={"resize": Estimate(500.0, 0.9, late=1200.0)}),
        "Lambda stops a job after 900 s; 1 in 20 of resize takes more than 20 min there",
    ),
    (
        "avoid",
        placed(service(), avoid={"region": ("us-east-1",), "kind": ("oscar",)}),
        state(FUNCTIONS),
        "the placement avoids region us-east-1; aws-lambda is in us-east-1",
    ),
    (
        "avoid",
        placed(service(), avoid={"target": ("my-cluster",)}),
        state(CLUSTER),
        "the placement avoids target my-cluster; my-cluster is my-cluster",
    ),
    (
        "residency",
        placed(service(), residency=("eu", "valencia")),
        state(FUNCTIONS),
        "the data of resize must stay in eu and valencia; aws-lambda is in us-east-1",
    ),
    (
        "residency",
        placed(service(), residency=("eu",)),
        state(CLUSTER),
        "the data of resize must stay in eu; my-cluster names no region",
    ),
    (
        "vo",
        service(options=OscarOptions(vo=("physics",))),
        state(replace(CLUSTER, vos=("biomed", "earth"))),
        "resize is of physics; my-cluster runs only services of biomed and earth",
    ),
    (
        "image",
        service(arch="arm64"),
        state(replace(CLUSTER, arch="arm64"), image={"resize": Image(archs=frozenset({"amd64"}))}),
        "the image tool:1 is for amd64; resize is for arm64",
    ),
    (
        "image",
        service(),
        state(FUNCTIONS, image={"resize": Image(size=12 * GIB)}),
        "Lambda allows at most 10240 MB of image; tool:1 has 12288 MB",
    ),
    (
        "breaker",
        service(),
        state(CLUSTER, breaker="open"),
        "jobs failed on my-cluster lately: it gets none for a while",
    ),
    (
        "breaker",
        service(),
        state(CLUSTER, breaker="half-open", queued=1),
        "jobs failed on my-cluster lately: it is tried with one job now",
    ),
    (
        "budget",
        placed(service(), budget={"month": Decimal("0.0005")}),
        state(FUNCTIONS, run=60.0),
        "a job would cost 0.0010 USD there; the month's budget is 0.00050 USD",
    ),
    (
        "cost-per-hour",
        service(),
        state(replace(CLUSTER, carbon_per_hour=math.nan)),
        "my-cluster gives nan g as its carbon_per_hour, which cannot be",
    ),
    (
        "cost-per-hour",
        service(),
        state(replace(CLUSTER, cost_per_hour=Decimal("-1"))),
        "my-cluster gives -1 USD as its cost_per_hour, which cannot be",
    ),
]


@pytest.mark.parametrize(("name", "asked", "where", "sentence"), CASES)
def test_each_filter_says_why(name: str, asked: Service, where: TargetState, sentence: str) -> None:
    made = offer(asked, None, where)
    assert not made.feasible
    assert filters(made) == [name]
    assert made.reasons[0].sentence == sentence


FEATURES: list[tuple[dict[str, Any], str]] = [
    ({"expose": Expose(api_port=(80,))}, "a service that is exposed at a URL (expose)"),
    ({"volume": Volume("/data", size=GIB)}, "a volume (volume)"),
    ({"mount": path(MINIO)}, "a mounted bucket (mount)"),
    ({"enable_sgx": True}, "an SGX enclave (enable_sgx)"),
    ({"interlink_node_name": "node"}, "an interLink node (interlink_node_name)"),
    ({"kserve": Kserve("inference", "s3://b/m")}, "a KServe model (kserve)"),
]


@pytest.mark.parametrize(("options", "words"), FEATURES)
def test_what_only_a_cluster_has(options: dict[str, Any], words: str) -> None:
    asked = service(options=OscarOptions(**options))
    for target, name in ((FUNCTIONS, "Lambda"), (QUEUE, "AWS Batch")):
        made = offer(asked, None, state(target))
        assert filters(made) == ["features"]
        assert made.reasons[0].sentence == f"{name} does not have {words}"
    assert offer(asked, None, state(CLUSTER)).feasible


def test_expose_without_a_port_is_not_exposed() -> None:
    assert offer(service(options=OscarOptions(expose=Expose())), None, state(FUNCTIONS)).feasible


def test_all_failing_filters_are_listed() -> None:
    asked = placed(
        service(memory=16 * GIB, gpu=1, timeout=1000.0, inputs=(path(MINIO),)),
        require={"region": "eu-west-1"},
    )
    made = offer(asked, None, state(FUNCTIONS, providers=frozenset()))
    assert filters(made) == ["require", "lambda-memory", "lambda-timeout", "gpu", "reach"]


def test_money_is_checked_beside_other_reasons() -> None:
    asked = placed(service(gpu=1), max_cost=Decimal("0.0001"))
    made = offer(asked, None, state(FUNCTIONS, run=60.0))
    assert filters(made) == ["gpu", "max-cost"]
    assert made.run == 60.0


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        (service(memory=10 * GIB, timeout=900.0, storage=10 * GIB), state(FUNCTIONS)),
        (service(arch="arm64"), state(FUNCTIONS)),
        (service(arch="arm64"), state(CLUSTER, isolated=False)),
        (service(gpu=1), state(QUEUE)),
        (placed(service(gpu=1), require={"gpu": True}), state(QUEUE)),
        (placed(service(), require={"gpu": False, "isolated": False}), state(CLUSTER)),
        (on_batch("EC2", cpu="64"), state(QUEUE)),
        (service(cpu="4"), state(replace(CLUSTER, cpu=Decimal(4)))),
        (service(memory=4 * GIB), state(replace(CLUSTER, memory=4 * GIB))),
        (service(execution_mode="lambda-batch"), state(QUEUE)),
        (service(execution_mode="batch"), state(CLUSTER)),
        (service(inputs=(path(MINIO),)), state(CLUSTER)),
        (placed(service(), max_cost=Decimal("0.002")), state(FUNCTIONS, run=60.0)),
        (placed(replace(service(), pin="x"), targets=("aws-batch",)), state(QUEUE)),
        (placed(service(), residency=("us", "eu-west-1")), state(FUNCTIONS)),
        (placed(service(), residency=("us-east-1",), avoid={"kind": ("batch",)}), state(FUNCTIONS)),
        (service(options=OscarOptions(vo=("a", "b"))), state(replace(CLUSTER, vos=("b",)))),
        (service(options=OscarOptions(vo=("a",))), state(CLUSTER)),
        (service(), state(replace(CLUSTER, vos=("b",)))),
        (service(), state(FUNCTIONS, image={"resize": Image(size=10 * GIB)})),
        (service(), state(QUEUE, image={"resize": Image(size=99 * GIB)})),
        (service(), state(CLUSTER, breaker="half-open")),
        (placed(service(), budget={"day": Decimal(0)}), state(CLUSTER, run=60.0)),
        (placed(replace(service(), pin="x"), fallback=("aws-batch",)), state(QUEUE)),
    ],
)
def test_what_just_fits_is_let_through(asked: Service, where: TargetState) -> None:
    assert offer(asked, None, where).reasons == ()


def test_a_guess_is_no_reason_to_refuse() -> None:
    """Only a measured run time rules Lambda out."""
    long = OscarOptions(annotations={"oscar-bridge/run-seconds": "1200"})
    assert offer(service(options=long), None, state(CLUSTER)).feasible
    guessed = TargetState(FUNCTIONS, runs={"resize": Estimate(1200.0, 0.0)})
    assert offer(service(), None, guessed).feasible


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"running": -1}, "running -1"),
        ({"queued": -3}, "queued -3"),
        ({"failures": 1.5}, "failures 1.5"),
        ({"failures": math.nan}, "failures nan"),
        ({"start": math.inf}, "start inf"),
        ({"start": -1.0}, "start -1.0"),
        ({"age": math.nan}, "age nan"),
        ({"runs": {"resize": Estimate(math.nan, 0.5)}}, "run nan"),
        ({"runs": {"resize": Estimate(-1.0, 0.5)}}, "run -1.0"),
        ({"runs": {"resize": Estimate(1.0, 2.0)}}, "confidence 2.0"),
        ({"running": -1, "queued": -1}, "running -1 and queued -1"),
        ({"cold": {"resize": 2.0}}, "cold 2.0"),
        ({"image": {"resize": Image(size=-1)}}, "image -1"),
        ({"machines": Machines(1, 4.0, GIB, math.nan, GIB)}, "free_cpu nan"),
        ({"stage_in": Transfer(math.inf, 0.0)}, "transfer inf"),
        ({"mean_run": -2.0}, "mean_run -2.0"),
        ({"start_late": math.nan}, "start_late nan"),
        ({"runs": {"resize": Estimate(1.0, 0.5, late=-1.0)}}, "late -1.0"),
        ({"breaker": "ajar"}, "breaker ajar -1"),
    ],
)
def test_impossible_measurements_rule_the_target_out(wrong: dict[str, Any], words: str) -> None:
    made = offer(service(), None, TargetState(CLUSTER, **wrong))
    assert filters(made) == ["measurements"]
    assert made.reasons[0].sentence == f"my-cluster was measured with {words}, which cannot be"


@pytest.mark.parametrize(
    "garbage",
    [{"running": "three"}, {"machines": "many"}, {"runs": {"resize": "soon"}}, {"age": None}],
)
def test_a_target_that_answers_garbage_is_left_out_until_it_does_not(garbage: Any) -> None:
    bad, good = TargetState(CLUSTER, **garbage), state(QUEUE)
    decision = decide(service(), None, Snapshot((bad, good)))
    assert decision.target == "aws-batch"
    assert refusal(decision, "my-cluster") == ["my-cluster was measured with what is not a number"]
    alone = decide(service(), None, Snapshot((bad,)))
    assert alone.waits and alone.reason.startswith("no target can run it now. my-cluster: ")
    stored = json.loads(json.dumps(as_json(alone), allow_nan=False))
    assert decide(service(), None, snapshot_in(stored)) == alone == from_json(stored)


@pytest.mark.parametrize("price", [Decimal("nan"), Decimal(-1)])
def test_a_price_that_cannot_be_rules_the_target_out(price: Decimal) -> None:
    """Of requests, and of data that leaves."""
    plain = list_prices()
    aws = replace(plain.functions["us-east-1"], request=price)
    wrong = replace(plain, functions={"us-east-1": aws})
    made = offer(service(), None, state(FUNCTIONS, run=1.0), wrong)
    assert filters(made) == ["price"]
    assert made.reasons[0].sentence.endswith(f"is {price}, which cannot be")
    out = replace(plain, egress={"us-east-1": price})
    away = service(outputs=(path(MINIO),))
    assert filters(offer(away, event(10), state(QUEUE, run=1.0), out)) == ["price"]


def test_prices_without_any_of_the_kind_are_an_error() -> None:
    with pytest.raises(PlacementError, match="no price of its kind in us-east-1, and not even"):
        offer(service(), None, state(FUNCTIONS), replace(list_prices(), functions={}))


def test_what_passes_by_itself_is_told_from_what_does_not() -> None:
    """A job waits for a breaker and for the next day's budget, and for nothing else."""
    spent = {"resize": Spent(day=Decimal("0.4999"))}
    asked = placed(service(), budget={"day": Decimal("0.5")})
    now = Snapshot((state(FUNCTIONS, run=60.0), state(CLUSTER, breaker="open")), spent=spent)
    decision = decide(asked, None, now)
    assert decision.waits and not decision.target
    assert decision.reason == (
        "no target can run it now. aws-lambda: a job would cost 0.0010 USD there; of the day's "
        "budget of 0.50 USD 0.00010 USD is left. my-cluster: jobs failed on my-cluster lately: it "
        "gets none for a while"
    )
    dear = placed(service(gpu=1), budget={"day": Decimal("0.5")})
    assert not decide(dear, None, now).waits
    assert not decide(asked, None, Snapshot(())).waits
    free = decide(asked, None, replace(now, targets=(now.targets[0], state(CLUSTER))))
    assert free.target == "my-cluster" and not free.waits


def test_a_negative_age_is_a_clock_that_was_set_back() -> None:
    made = offer(service(), None, TargetState(CLUSTER, age=-5.0))
    assert made.feasible
    assert made.age == 0.0


def test_nonsense_about_other_services_does_not_matter() -> None:
    other = TargetState(CLUSTER, runs={"other": Estimate(math.nan, 9.0)})
    assert offer(service(), None, other).feasible


def test_a_spend_that_is_no_number_is_not_taken_for_nothing() -> None:
    now = Snapshot((state(FUNCTIONS, run=60.0),), spent={"resize": Spent(day=Decimal("nan"))})
    decision = decide(placed(service(), budget={"day": Decimal(5)}), None, now)
    assert decision.waits
    assert refusal(decision, "aws-lambda") == ["what resize has cost this day is not known: NaN"]


@pytest.mark.parametrize(
    "placement",
    [
        {"budget": {"week": Decimal(5)}},
        {"avoid": {"colour": ("blue",)}},
        {"require": {"colour": "blue"}},
        {"prefer": {"colour": "blue"}},
    ],
)
def test_a_key_that_nobody_knows_is_an_error(placement: dict[str, Any]) -> None:
    (key,) = placement
    with pytest.raises(PlacementError, match=rf"placement\.{key}\.(week|colour) of resize"):
        decide(placed(service(), **placement), None, Snapshot((state(FUNCTIONS, run=6.0),)))


def test_an_unknown_requirement_is_an_error() -> None:
    with pytest.raises(PlacementError, match=r"placement\.require\.colour of resize") as caught:
        offer(placed(service(), require={"colour": "blue"}), None, state(CLUSTER))
    assert "region" in caught.value.hint
