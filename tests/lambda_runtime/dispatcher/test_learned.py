"""What the dispatcher on AWS learns from the jobs in its table."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from bridge.dispatch import Change, NewJob
from bridge.events import decode, job_id
from bridge.scheduler import decide, run_cost
from bridge.targets import JobState, JobUpdate
from lambda_runtime.dispatcher.worker import Worker
from tests.lambda_runtime.dispatcher.world import FDL, Killed, Lab, created

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


def test_what_a_service_with_a_budget_has_spent_is_counted_once_for_each_run(lab: Lab) -> None:
    paid = FDL.replace("placement: {{", "placement: {{budget: {{day: 1 USD}}, ")
    lab.deploy("grey", fdl=paid, targets=("aws-lambda", "aws-batch"))
    (event,) = decode(created("grey/in/x"))
    job, now, table = job_id("grey", event), lab.now, lab.world.table
    table.accept(NewJob(job, "grey", event), now)
    table.change(Change(job, 1, JobState.SUBMITTED, now, target="aws-lambda"))
    runs = [
        {"place": "lambda", "started": now, "ended": now + 100},
        {"place": "batch", "started": now + 100, "ended": now + 1000},
    ]
    update = JobUpdate(job, JobState.SUCCEEDED, report={"runs": runs}, started=now, ended=now + 1e3)
    known = lab.world.service("grey")
    assert known is not None
    worker = Worker(lab.world)
    detail = table.detail(job)
    assert detail is not None
    # The same news twice, from before and from after the end was recorded.
    assert worker.learn(update, detail)
    worker.learn(update, detail)
    lab.restart()
    spent = lab.world.snapshot(known).spent["grey"]
    targets = known.document.targets
    cost = [
        run_cost(known.service, targets[name], seconds)
        for name, seconds in (("aws-lambda", 100.0), ("aws-batch", 900.0))
    ]
    assert min(cost) > 0
    assert spent.day == spent.month == sum(cost)
    lab.now += 86_400
    assert lab.world.snapshot(known).spent["grey"].day == 0
    assert lab.jobs()[0].id == job, "what was spent is no job"


def test_a_run_and_its_cost_are_counted_together_or_not_at_all(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = FDL.replace("placement: {{", "placement: {{budget: {{day: 1 USD}}, ")
    lab.deploy("grey", fdl=paid)
    known = lab.world.service("grey")
    assert known is not None
    client, table = lab.account.client("dynamodb"), lab.world.table
    transact, cost = (
        client.transact_write_items,
        run_cost(known.service, known.document.targets["aws-lambda"], 100.0),
    )
    reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
    conflict = client.exceptions.TransactionCanceledException(
        {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}, "w"
    )

    def ends(number: int, *faults: BaseException, late: bool = False) -> JobState:
        """The end of a run whose record meets these faults, late: when it has been made."""
        (event,) = decode(created(f"grey/in/{number}"))
        job, now, left = job_id("grey", event), lab.now, list(faults)
        table.accept(NewJob(job, "grey", event), now)
        table.change(Change(job, 1, JobState.SUBMITTED, now, target="aws-lambda"))

        def faulty(**call: Any) -> Any:
            done = transact(**call) if late else None
            if left:
                raise left.pop(0)
            return done or transact(**call)

        monkeypatch.setattr(client, "transact_write_items", faulty)
        update = JobUpdate(job, JobState.SUCCEEDED, started=now, ended=now + 100)
        for _ in range(2):
            detail = table.detail(job)
            assert detail is not None
            with suppress(Killed):
                Worker(lab.world).learn(update, detail)
            # What is counted is always what is on record.
            over = sum(one.state is JobState.SUCCEEDED for one in lab.jobs())
            assert table.spent("grey", lab.now)[0] == cost * over
        found = table.job(job)
        assert found is not None
        return found.state

    assert ends(0, Killed()) is JobState.SUCCEEDED
    assert ends(1, Killed(), late=True) is JobState.SUCCEEDED
    assert ends(2, conflict, conflict) is JobState.SUCCEEDED
    assert ends(3) is JobState.SUCCEEDED
    assert table.spent("grey", lab.now) == (cost * 4, cost * 4)


def test_a_service_without_a_choice_is_not_looked_at(lab: Lab) -> None:
    lab.deploy("grey")
    ran(lab, 0, "aws-lambda", 1.0)
    lab.dispatcher.reconcile(30.0)
    assert lab.account.get("estimates/all.json") is None
