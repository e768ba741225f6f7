"""Golden explanations: situations that a user would ask about, word for word."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from bridge.fdl.model import Service
from bridge.scheduler import Snapshot, Spent, decide
from tests.scheduler.make import (
    CLUSTER,
    FUNCTIONS,
    GIB,
    MINIO,
    QUEUE,
    on_batch,
    path,
    placed,
    service,
    snapshot,
    spec,
    state,
)

PAID = replace(CLUSTER, cost_per_hour=Decimal("0.05"))
FAR = replace(FUNCTIONS, region="eu-central-9")

SITUATIONS: dict[str, tuple[Service, Snapshot, str]] = {
    "why not my own cluster, which is idle?": (
        service(),
        snapshot(state(CLUSTER, run=8.0), state(FUNCTIONS, run=8.0), state(QUEUE, run=8.0)),
        "my-cluster: best balance of 3 that can run it, about 13 s, free; aws-lambda would "
        "cost 0.00013 USD",
    ),
    "why did it go to Lambda although my cluster costs nothing?": (
        service(),
        snapshot(state(CLUSTER, run=8.0, running=4, queued=19), state(FUNCTIONS, run=8.0)),
        "aws-lambda: best balance of 2 that can run it, about 9 s and 0.00013 USD per job; "
        "my-cluster would wait 40 s",
    ),
    "why is Batch the cheapest for a long job?": (
        placed(service(memory=4 * GIB), policy="cheapest"),
        snapshot(state(FUNCTIONS, run=600.0), state(QUEUE, run=600.0)),
        "aws-batch: cheapest of 2 that can run it, about 11 min and 0.010 USD per job; "
        "aws-lambda would cost 0.040 USD",
    ),
    "why is Lambda the cheapest for a short job?": (
        placed(service(), policy="cheapest"),
        snapshot(state(FUNCTIONS, run=0.25), state(QUEUE, run=0.25), state(PAID, run=30.0)),
        "aws-lambda: cheapest of 3 that can run it, about 1.2 s and 0.0000044 USD per job; "
        "my-cluster would cost 0.00042 USD",
    ),
    "why is Lambda the fastest?": (
        placed(service(), policy="fastest"),
        snapshot(state(FUNCTIONS, run=2.0), state(QUEUE, run=2.0), state(PAID, run=2.0)),
        "aws-lambda: fastest of 3 that can run it, about 3 s and 0.000034 USD per job; "
        "my-cluster would take 5 s to start",
    ),
    "why does it stay on the cluster?": (
        replace(service(), origin="oscar", pin="my-cluster"),
        snapshot(CLUSTER, FUNCTIONS, QUEUE),
        "my-cluster: the file pins it there, about 35 s, free; the run time of 30 s is a guess",
    ),
    "why can nothing run my GPU job?": (
        on_batch("FARGATE", gpu=1, memory=16 * GIB),
        snapshot(CLUSTER, FUNCTIONS, QUEUE),
        "no target can run it. aws-batch: AWS Batch on Fargate has no GPU; the service asks "
        "for 1. aws-lambda: Lambda allows at most 10240 MB of memory; the service asks for "
        "16384 MB. Lambda has no GPU; the service asks for 1. my-cluster: my-cluster has no "
        "GPU; the service asks for 1",
    ),
    "why the fallback?": (
        placed(
            replace(service(inputs=(path(MINIO),)), origin="oscar", pin="my-cluster"),
            fallback=("aws-batch",),
        ),
        snapshot(state(CLUSTER, providers=frozenset({"s3.default"})), state(QUEUE, run=8.0)),
        "aws-batch: a fallback, because my-cluster cannot run it (my-cluster cannot reach "
        "minio.default, which resize uses), about 68 s and 0.00082 USD per job",
    ),
    "why is the price in my region so vague?": (
        placed(service(), targets=("aws-lambda",)),
        snapshot(FAR, QUEUE),
        "aws-lambda: the only one of 2 that can run it, about 31 s and 0.00050 USD per job; "
        "the run time of 30 s is a guess; the price of Lambda in eu-central-9 is not known: "
        "that of us-east-1 is taken",
    ),
    "why is it late?": (
        placed(service(), deadline=5.0, policy="fastest"),
        snapshot(state(FUNCTIONS, run=20.0), state(CLUSTER, run=20.0)),
        "aws-lambda: fastest of 2 that can run it, about 21 s and 0.00033 USD per job; "
        "my-cluster would take 5 s to start; no target is expected to meet the deadline of 5 "
        "s",
    ),
    "why this one of my two equal clusters?": (
        service(),
        snapshot(spec("north", "oscar", slots=4), spec("south", "oscar", slots=4)),
        "north: best balance of 2 that can run it, about 35 s, free; taken by lot among 2 "
        "that are as good; the run time of 30 s is a guess",
    ),
    "when would it try elsewhere?": (
        placed(service(), policy="hedge"),
        snapshot(state(CLUSTER, run=20.0), state(FUNCTIONS, run=20.0)),
        "my-cluster: best balance of 2 that can run it, about 25 s, free; aws-lambda would cost "
        "0.00033 USD; aws-lambda is next if it has not started after 10 s",
    ),
    "why does my deadline cost money?": (
        placed(service(), policy="deadline", deadline=60.0),
        snapshot(
            state(CLUSTER, run=20.0, queued=9), state(FUNCTIONS, run=20.0), state(QUEUE, run=20.0)
        ),
        "aws-lambda: cheapest in time of 3 that can run it, about 21 s and 0.00033 USD per job; "
        "my-cluster would wait 30 s",
    ),
    "why did it turn to the cheap one at noon?": (
        placed(service(memory=2 * GIB), policy="budget", budget={"day": Decimal(2)}),
        replace(
            snapshot(state(FUNCTIONS, run=100.0), state(QUEUE, run=100.0)),
            spent={"resize": Spent(day=Decimal("1.9"))},
        ),
        "aws-batch: soonest for the money of 2 that can run it, about 3 min and 0.0018 USD per "
        "job; aws-lambda would cost 0.0033 USD",
    ),
    "why does it wait for tomorrow?": (
        placed(service(), budget={"day": Decimal(2)}),
        replace(
            snapshot(state(FUNCTIONS, run=100.0)), spent={"resize": Spent(day=Decimal("1.999"))}
        ),
        "no target can run it now. aws-lambda: a job would cost 0.0017 USD there; of the day's "
        "budget of 2.00 USD 0.0010 USD is left",
    ),
    "why is my green site not counted as green?": (
        placed(service(), weights={"carbon": 1.0}),
        snapshot(replace(CLUSTER, carbon_per_hour=5.0), spec("green", "oscar")),
        "my-cluster: best balance of 2 that can run it, about 35 s, free; carbon of green is not "
        "known and counts as the worst; the run time of 30 s is a guess",
    ),
    "why is it on Lambda this time?": (
        placed(service(), policy="round-robin"),
        replace(snapshot(state(CLUSTER, run=2.0), state(FUNCTIONS, run=2.0)), turn=6),
        "aws-lambda: the next in turn of 2 that can run it, about 3 s and 0.000034 USD per job; "
        "my-cluster would take 5 s to start",
    ),
    "why is my new target never used?": (
        placed(service(), targets=("new",)),
        snapshot(CLUSTER, FUNCTIONS),
        "no target can run it. new: there is no such target now. aws-lambda: the placement "
        "of resize allows only new. my-cluster: the placement of resize allows only new",
    ),
}


@pytest.mark.parametrize("question", SITUATIONS)
def test_the_answer_to(question: str) -> None:
    asked, now, answer = SITUATIONS[question]
    assert decide(asked, None, now).reason == answer
