"""What was dropped is taken up, and who is silent is asked."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bridge.dispatch import JobRecord, NewJob
from bridge.errors import TargetUnavailable
from bridge.events import decode, job_id
from bridge.storage.claims import Claim
from bridge.targets import JobState
from tests.lambda_runtime.dispatcher.world import HYBRID, Lab, created, queued, report


def submitted(lab: Lab, **deploy: Any) -> JobRecord:
    lab.now = time.time()
    lab.deploy("grey", **deploy)
    lab.dispatcher.events(queued(created("grey/in/x")))
    return lab.job()


def later(lab: Lab, seconds: float = 300.0) -> dict[str, int]:
    lab.now += seconds
    return lab.dispatcher.reconcile(30.0)


def test_a_job_that_was_only_accepted_is_placed_and_submitted(lab: Lab) -> None:
    lab.deploy("grey")
    (event,) = decode(created("grey/in/x"))
    name = job_id("grey", event)
    lab.world.table.accept(NewJob(name, "grey", event), lab.now)
    assert lab.dispatcher.reconcile(30.0) == {}, "somebody may have it still"
    later(lab)
    assert lab.job().state is JobState.SUBMITTED and lab.runs == [(name, 1)]
    assert later(lab)["asked"] == 1 and lab.runs == [(name, 1)]


def test_two_that_reconcile_at_once_place_it_once(lab: Lab) -> None:
    lab.deploy("grey")
    (event,) = decode(created("grey/in/x"))
    lab.world.table.accept(NewJob(job_id("grey", event), "grey", event), lab.now)
    lab.now += 300
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lab.dispatcher.reconcile, [30.0, 30.0]))
    assert lab.job().state is JobState.SUBMITTED and len(set(lab.runs)) == 1


def test_a_job_whose_next_try_was_lost_is_tried_when_it_is_due(lab: Lab) -> None:
    lab.deploy("grey")
    lab.lambdas.noted.faults = [TargetUnavailable("throttled", delay=1000.0)]
    lab.dispatcher.events(queued(created("grey/in/x")))
    lab.messages(lab.states)
    assert later(lab) == {"resumed": 0, "asked": 0, "waiting": 1}
    assert later(lab, 800)["resumed"] == 1
    assert lab.job().state is JobState.SUBMITTED


def test_news_that_were_lost_are_read_from_the_report(lab: Lab) -> None:
    job = submitted(lab)
    report(lab, job)
    later(lab)
    assert lab.job().state is JobState.SUCCEEDED


def test_a_run_that_died_without_a_word_is_tried_again(lab: Lab) -> None:
    job = submitted(lab)
    lab.account.claims.take(job.id, 1, "the run", lab.now + 200)
    later(lab, 150)
    assert lab.job().state is JobState.SUBMITTED, "it has time left"
    later(lab, 300)
    again = lab.job()
    assert (again.state, again.attempt) == (JobState.ACCEPTED, 2)
    assert "without a report" in again.reason


def test_a_function_that_was_never_run_is_waited_for_as_long_as_lambda_keeps_events(
    lab: Lab,
) -> None:
    submitted(lab)
    later(lab, 3600)
    assert lab.job().attempt == 1
    later(lab, 6 * 3600)
    assert lab.job().attempt == 2


def test_batch_is_asked_for_its_jobs_all_at_once(lab: Lab) -> None:
    job = submitted(lab, targets=("aws-batch",))
    lab.batches.described = {job.handle: {"jobId": job.handle, "status": "RUNNING"}}
    later(lab)
    assert lab.job().state is JobState.RUNNING
    report(lab, job)
    lab.batches.described = {job.handle: {"jobId": job.handle, "status": "SUCCEEDED"}}
    later(lab)
    assert lab.job().state is JobState.SUCCEEDED


def test_a_hand_over_that_nobody_told_of_is_found(lab: Lab) -> None:
    job = submitted(lab, fdl=HYBRID)
    lab.account.claims.take(job.id, 1, "the run", time.time() + 60)
    lab.account.claims.keep(job.id, 1, Claim("the run", time.time() + 60, True, "b-1"))
    lab.batches.described = {"b-1": {"jobId": "b-1", "status": "RUNNING"}}
    later(lab)
    assert (lab.job().state, lab.job().handle) == (JobState.RUNNING, "b-1")


def test_a_hand_over_that_stopped_half_way_is_finished(lab: Lab) -> None:
    job = submitted(lab, fdl=HYBRID)
    lab.account.claims.take(job.id, 1, "the run", lab.now + 60)
    lab.account.claims.keep(job.id, 1, Claim("the run", lab.now + 60, True))
    later(lab)
    assert lab.batches.noted.runs == [(job.id, 1)]
    assert (lab.job().state, lab.job().handle) == (JobState.RUNNING, "handle-1")


def test_one_that_cannot_be_helped_now_does_not_hold_up_the_others(
    lab: Lab, monkeypatch: Any
) -> None:
    lab.deploy("grey")
    for number in range(3):
        (event,) = decode(created(f"grey/in/{number}"))
        lab.world.table.accept(NewJob(job_id("grey", event), "grey", event), lab.now)
    change, calls = lab.world.table.change, []

    def flaky(*args: Any, **more: Any) -> bool:
        calls.append(args)
        if len(calls) == 1:
            raise TargetUnavailable("throttled")
        return change(*args, **more)

    monkeypatch.setattr(lab.world.table, "change", flaky)
    done = later(lab)
    assert (done["resumed"], done["waiting"]) == (2, 1)
    assert later(lab)["resumed"] == 1
