"""What the dispatcher on AWS learns from the jobs in its table."""

from __future__ import annotations

import pytest

from bridge.dispatch import Change, NewJob
from bridge.events import decode, job_id
from bridge.scheduler import decide
from bridge.targets import JobState
from tests.lambda_runtime.dispatcher.world import FDL, Lab, created

FASTEST = FDL.replace("placement: {{", "placement: {{policy: fastest, ")


def ran(lab: Lab, number: int, target: str, seconds: float) -> None:
    """A job that went its way to a target and took so long there."""
    (event,) = decode(created(f"grey/in/{number}", sequencer=f"{number:03x}"))
    job, now, table = job_id("grey", event), lab.now, lab.world.table
    table.accept(NewJob(job, "grey", event), now)
    table.change(Change(job, 1, JobState.PLACED, now, target=target))
    report = {"phases": {"script": seconds}, "input": {"size": 5}}
    table.change(
        Change(
            job,
            1,
            JobState.SUCCEEDED,
            now + seconds,
            started=now,
            ended=now + seconds,
            report=report,
        )
    )
    lab.now += 1000


def test_decisions_rest_on_the_newest_jobs_also_in_a_new_process(lab: Lab) -> None:
    lab.deploy("grey", fdl=FASTEST, targets=("aws-lambda", "aws-batch"))
    known = lab.world.service("grey")
    assert known is not None
    assert decide(known.service, None, lab.world.snapshot(known)).target == "aws-lambda"
    for number in range(3):
        ran(lab, number, "aws-lambda", 600.0)
        ran(lab, number + 10, "aws-batch", 5.0)
    lab.dispatcher.reconcile(30.0)
    lab.restart()
    known = lab.world.service("grey")
    assert known is not None
    snapshot = lab.world.snapshot(known)
    runs = {one.spec.name: one.runs["grey"].run for one in snapshot.targets}
    assert runs == pytest.approx({"aws-lambda": 600.0, "aws-batch": 5.0}, rel=0.06)
    assert decide(known.service, None, snapshot).target == "aws-batch"
    assert snapshot.spent == {}


def test_a_service_without_a_choice_is_not_looked_at(lab: Lab) -> None:
    lab.deploy("grey")
    ran(lab, 0, "aws-lambda", 1.0)
    lab.dispatcher.reconcile(30.0)
    assert lab.account.get("estimates/all.json") is None
