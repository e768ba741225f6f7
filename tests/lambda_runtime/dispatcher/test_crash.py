"""The process ends at any line: what was begun is finished at the next delivery, and runs once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from bridge.targets import JobState
from lambda_runtime.dispatcher import intake, worker
from tests.lambda_runtime.dispatcher.world import Killed, Lab, created, queued, report

FILES = {str(module.__file__) for module in (intake, worker)}


def killed_at(line: int, work: Callable[[], object]) -> bool:
    """Do the work until that many lines of the dispatcher were begun; False when it is done."""
    left = line

    def trace(frame: FrameType, kind: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in FILES:
            return None
        if kind == "line":
            left -= 1
            if left == 0:
                raise Killed
        return trace

    sys.settrace(trace)
    try:
        work()
    except Killed:
        return True
    finally:
        sys.settrace(None)
    return False


def test_killed_at_each_line_in_turn_every_job_is_finished_and_runs_once(lab: Lab) -> None:
    lab.deploy("grey")
    lab.dispatcher.events(queued(created("grey/in/first")))
    line, runs = 0, []
    while True:
        line += 1
        event = created(f"grey/in/{line}")
        killed = killed_at(line, lambda event=event: lab.dispatcher.events(queued(event)))  # type: ignore[misc]
        runs += lab.runs
        lab.restart()
        lab.dispatcher.events(queued(event, number=2))
        runs += lab.runs
        lab.lambdas.noted.jobs.clear()
        if not killed:
            break
    assert line > 25
    jobs = lab.world.table.jobs("grey", limit=1000)
    assert {job.state for job in jobs} == {JobState.SUBMITTED}
    assert len(jobs) == line + 1
    # Killed between the submit and its record, it is submitted once more: the same run.
    assert set(runs) == {(job.id, 1) for job in jobs}
    assert lab.letters() == []


def test_a_run_that_has_reported_before_its_submit_was_recorded_is_not_run_again(lab: Lab) -> None:
    lab.deploy("grey")
    event = created("grey/in/x")
    line = 0
    while not lab.runs:
        line += 1
        lab.restart()
        for job in lab.jobs():
            lab.account.client("dynamodb").delete_item(
                TableName="lab-jobs", Key={"job": {"S": job.id}}
            )
        assert killed_at(line, lambda: lab.dispatcher.events(queued(event)))
    job = lab.job()
    assert job.state is JobState.PLACED
    report(lab, job, "failed")
    lab.restart()
    lab.dispatcher.events(queued(event, number=2))
    assert lab.runs == [] and lab.job().state is JobState.FAILED
    assert lab.job().exit_code == 3


def test_the_same_event_in_another_message_leaves_the_job_to_who_has_it(lab: Lab) -> None:
    lab.deploy("grey")
    event = created("grey/in/x")
    line = 0
    while not lab.jobs():
        line += 1
        killed_at(line, lambda: lab.dispatcher.events(queued(event)))
    lab.dispatcher.events(queued(event))
    assert lab.runs == [] and lab.job().state is JobState.ACCEPTED
