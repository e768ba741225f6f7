"""A target that does not take a job: later, elsewhere, or given up; always with the reason."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from decimal import Decimal

import pytest

from bridge.dispatch import Change
from bridge.dispatch.table import Cost
from bridge.errors import NotFoundError, TargetUnavailable, UsageError
from bridge.fdl.model import TargetSpec
from bridge.scheduler import Snapshot, TargetState, Trial
from bridge.targets import JobState
from lambda_runtime.dispatcher.environment import Environment
from lambda_runtime.dispatcher.worker import GO_ON
from tests.lambda_runtime.dispatcher.world import FDL, Lab, created, queued

THROTTLED = TargetUnavailable("invoke grey: Rate exceeded [TooManyRequestsException]")


def go_on(lab: Lab) -> None:
    """Deliver what the dispatcher has sent itself, when it is due."""
    lab.now += 10
    (message,) = lab.messages(lab.states, wait=5)
    lab.dispatcher.states(queued(message))


def test_throttling_puts_the_job_off_and_the_event_is_not_delivered_again(lab: Lab) -> None:
    lab.deploy("grey")
    lab.lambdas.noted.faults = [THROTTLED]
    assert lab.dispatcher.events(queued(created("grey/in/x"))) == {"batchItemFailures": []}
    job = lab.job()
    assert (job.state, job.tries) == (JobState.PLACED, 1)
    assert job.due > lab.now and "TooManyRequests" in job.reason
    go_on(lab)
    assert lab.job().state is JobState.SUBMITTED and lab.lambdas.noted.runs == [(job.id, 1)]
    assert lab.letters() == []


def test_a_target_that_never_takes_it_is_given_up_with_a_letter(lab: Lab) -> None:
    lab.deploy("grey")
    lab.lambdas.noted.faults = [THROTTLED] * 9
    lab.dispatcher.events(queued(created("grey/in/x")))
    go_on(lab)
    go_on(lab)
    job = lab.job()
    assert (job.state, lab.lambdas.noted.asked) == (JobState.DEAD, 3)
    (letter,) = lab.letters()
    assert "did not take it in 3 tries" in letter["reason"] and letter["job"] == job.id
    assert json.loads(letter["body"])["detail"]["object"]["key"] == "grey/in/x"


def test_then_it_goes_to_the_fallback_target(lab: Lab) -> None:
    lab.deploy("grey", fallback=("aws-batch",))
    lab.lambdas.noted.faults = [THROTTLED] * 9
    lab.dispatcher.events(queued(created("grey/in/x")))
    go_on(lab)
    go_on(lab)
    job = lab.job()
    assert (job.state, job.target, job.attempt) == (JobState.SUBMITTED, "aws-batch", 2)
    assert lab.batches.noted.runs == [(job.id, 2)] and lab.letters() == []
    # The invocation that was refused cannot begin any more, should it have arrived.
    claim = lab.account.claims.take(job.id, 1, "late", time.time() + 60)
    assert claim.holder != "late"


def test_a_fallback_that_there_is_no_money_for_is_not_taken(lab: Lab) -> None:
    paid = FDL.replace("placement: {{", "placement: {{budget: {{day: 1 USD}}, ")
    lab.deploy("grey", fdl=paid, fallback=("aws-batch",))
    lab.lambdas.noted.faults = [THROTTLED] * 9
    lab.dispatcher.events(queued(created("grey/in/x"), created("grey/in/other")))
    job, other = lab.jobs()
    table = lab.world.table
    ended = Change(other.id, 1, JobState.SUCCEEDED, lab.now)
    assert table.change(ended, costs=Cost("grey", Decimal(1), lab.now))
    for _ in range(2):
        lab.now += 10
        message = {GO_ON: {"job": job.id, "attempt": 1}}
        lab.dispatcher.states(queued(message))
    found = table.job(job.id)
    assert found is not None and "budget of 1.00 USD" in found.reason
    assert (found.state, found.attempt, found.target) == (JobState.ACCEPTED, 2, "")
    assert lab.batches.noted.asked == 0 and lab.letters() == []


def test_without_a_fallback_it_is_placed_anew_without_the_target_that_gave_it_up(
    lab: Lab,
) -> None:
    lab.deploy("grey", targets=("aws-lambda", "aws-batch"))
    lab.lambdas.noted.faults = [THROTTLED] * 9
    lab.batches.noted.faults = [THROTTLED] * 9
    lab.dispatcher.events(queued(created("grey/in/x")))
    first = lab.job().target
    second = {"aws-lambda": "aws-batch", "aws-batch": "aws-lambda"}[first]
    noted = {"aws-lambda": lab.lambdas.noted, "aws-batch": lab.batches.noted}
    noted[second].faults = []
    go_on(lab)
    go_on(lab)
    job = lab.job()
    assert (job.state, job.target, job.attempt) == (JobState.SUBMITTED, second, 2)
    detail = lab.world.table.detail(job.id)
    assert detail is not None
    assert [a.state for a in detail.attempts] == [JobState.CANCELLED, JobState.SUBMITTED]
    assert lab.letters() == []


def test_a_refused_submit_that_did_arrive_is_not_sent_elsewhere(lab: Lab) -> None:
    lab.deploy("grey", fallback=("aws-batch",))
    lab.lambdas.noted.faults = [THROTTLED] * 9
    lab.dispatcher.events(queued(created("grey/in/x")))
    go_on(lab)
    job = lab.job()
    lab.account.claims.take(job.id, 1, "the run", time.time() + 60)
    go_on(lab)
    assert (lab.job().state, lab.job().target) == (JobState.SUBMITTED, "aws-lambda")
    assert lab.batches.noted.runs == []


def test_a_function_that_was_deleted_by_hand_ends_the_job_at_once(lab: Lab) -> None:
    lab.deploy("grey")
    lab.lambdas.noted.faults = [NotFoundError("invoke grey: Function not found")]
    lab.dispatcher.events(queued(created("grey/in/x")))
    assert lab.job().state is JobState.FAILED
    (letter,) = lab.letters()
    assert "Function not found" in letter["reason"]


def test_a_service_that_nothing_can_run_fails_with_the_reasons(lab: Lab) -> None:
    lab.deploy("grey", sides=("batch",))
    lab.dispatcher.events(queued(created("grey/in/x")))
    assert lab.job().state is JobState.FAILED
    (letter,) = lab.letters()
    assert letter["service"] == "grey" and letter["reason"]


def test_a_service_that_is_broken_does_not_hold_up_the_others(lab: Lab) -> None:
    lab.deploy("grey")
    lab.account.client("ssm").put_parameter(Name="/lab/services/broken", Value="{", Type="String")
    lab.dispatcher.events(queued(created("grey/in/x")))
    assert lab.job().state is JobState.SUBMITTED


def test_jobs_are_spread_by_what_was_placed_before(lab: Lab) -> None:
    lab.deploy("grey", targets=("aws-lambda", "aws-batch"))
    for number in range(6):
        lab.dispatcher.events(queued(created(f"grey/in/{number}")))
    assert len(lab.runs) == 6 and {job.state for job in lab.jobs()} == {JobState.SUBMITTED}
    detail = lab.world.table.detail(lab.jobs()[0].id)
    assert detail is not None
    assert {c["target"] for c in detail.decisions[0]["candidates"]} == {"aws-lambda", "aws-batch"}


def test_a_job_waits_while_a_breaker_is_open(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.deploy("grey")
    spec = TargetSpec("aws-lambda", "lambda")
    shut = Snapshot((TargetState(spec, breaker="open"),))
    with monkeypatch.context() as patch:
        patch.setattr(lab.world, "snapshot", lambda known: shut)
        lab.dispatcher.events(queued(created("grey/in/x")))
    job = lab.job()
    assert (job.state, job.tries) == (JobState.ACCEPTED, 0)
    assert "jobs failed on aws-lambda lately" in job.reason and job.due > lab.now
    lab.now = job.due
    lab.dispatcher.states(queued(json.dumps({GO_ON: {"job": job.id, "attempt": 1}})))
    assert lab.job().state is JobState.SUBMITTED and lab.letters() == []


def test_five_refusals_in_a_row_open_the_breaker_of_a_target_for_every_process(lab: Lab) -> None:
    lab.deploy("grey")
    lab.lambdas.noted.faults = [THROTTLED] * 5
    for number in range(5):
        lab.dispatcher.events(queued(created(f"grey/in/{number}")))
    lab.restart()
    lab.dispatcher.events(queued(created("grey/in/late")))
    late = next(job for job in lab.jobs() if job.event.key.endswith("late"))
    assert late.state is JobState.ACCEPTED and "jobs failed on aws-lambda lately" in late.reason
    assert lab.lambdas.noted.asked == 0
    # After a while one is to try, and what it meets is for all.
    lab.now += 40.0
    lab.restart()
    lab.dispatcher.states(queued(json.dumps({GO_ON: {"job": late.id, "attempt": 1}})))
    assert lab.lambdas.noted.runs == [(late.id, 1)]
    lab.restart()
    lab.dispatcher.events(queued(created("grey/in/later")))
    assert lab.lambdas.noted.asked == 1 and len(lab.jobs()) == 7


def test_a_policy_on_trial_decides_its_share_and_the_record_says_so(lab: Lab) -> None:
    lab.deploy("grey", targets=("aws-lambda", "aws-batch"))
    environ = {**GIVEN, "BRIDGE_POLICY_CANARY": "fastest:100%", "BRIDGE_POLICY_SHADOW": "cheapest"}
    lab.environment = replace(lab.environment, trial=Environment.read(environ).trial)
    lab.restart()
    lab.dispatcher.events(queued(created("grey/in/x")))
    detail = lab.world.table.detail(lab.job().id)
    assert detail is not None
    (decision,) = detail.decisions
    assert (decision["trial"], decision["policy"]) == ("canary", "fastest")
    assert [one["role"] for one in decision["instead"]] == ["primary", "shadow"]
    with pytest.raises(UsageError, match="canary"):
        Environment.read({**GIVEN, "BRIDGE_POLICY_CANARY": "fastest"})
    assert Environment.read(GIVEN).trial == Trial()


GIVEN = {
    "BRIDGE_PREFIX": "lab",
    "BRIDGE_TABLE": "t",
    "BRIDGE_BUCKET": "b",
    "BRIDGE_STATES_QUEUE": "s",
    "BRIDGE_DEAD_QUEUE": "d",
    "AWS_REGION": "eu-west-1",
}
