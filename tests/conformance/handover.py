"""What a `lambda-batch` service promises. `place` is Lambda on some engine."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

from bridge.events import delegated
from bridge.targets import Job, JobState, JobUpdate
from tests.conformance.places import Place
from tests.conformance.suite import running
from tests.waiting import eventually

# A run on Lambda is too short for it; in Batch it ends. Each run leaves its trace.
SCRIPT = """
echo run on ${AWS_LAMBDA_FUNCTION_NAME:-batch}
echo x > "$TMP_OUTPUT_DIR/on-${AWS_LAMBDA_FUNCTION_NAME:+lambda}-$$"
[ -z "$AWS_LAMBDA_FUNCTION_NAME" ] || sleep 300
cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/copy"
"""


def service(place: Place, script: str = SCRIPT, **changes: Any) -> Any:
    given = {"timeout": 3.0, "execution_mode": "lambda-batch"}
    return place.service(script, **(given | changes))


def news(place: Place, job: Job, within: float = 60.0) -> list[JobUpdate]:
    """All news of a job until its end."""
    found: list[JobUpdate] = []

    def there() -> bool:
        found.extend(u for u in place.target.poll() if u.job == job.id)
        return bool(found) and found[-1].state.final

    eventually(there, within, known=lambda: found)
    return found


def batch_jobs(place: Place, name: str) -> list[dict[str, Any]]:
    """Every Batch job of a name, in whatever state."""
    batch = place.account.client("batch")
    found = []
    for queue in batch.describe_job_queues()["jobQueues"]:
        found += batch.list_jobs(
            jobQueue=queue["jobQueueName"], filters=[{"name": "JOB_NAME", "values": [name]}]
        )["jobSummaryList"]
    return found


def test_what_is_too_long_for_lambda_ends_in_batch_once(place: Place) -> None:
    made = service(place)
    job = place.job(made)
    first = place.target.submit(job)
    seen = news(place, job)
    passed = next(u for u in seen if u.state is JobState.RUNNING)
    (batch_job,) = batch_jobs(place, job.id)
    assert passed.handle == batch_job["jobId"] != first
    assert seen[-1].state is JobState.SUCCEEDED, seen
    assert seen[-1].handle == passed.handle
    outputs = place.outputs(made)
    assert outputs.pop("copy") == b"data"
    # What the first run had left was never uploaded.
    assert [name.rpartition("-")[0] for name in outputs] == ["on-"]
    runs = seen[-1].report["runs"]
    assert [run["place"] for run in runs] == ["lambda", "batch"]
    assert [run["state"] for run in runs] == ["handed over", "succeeded"]
    assert "time" in runs[0]["reason"]
    assert seen[-1].report["state"] == "succeeded"
    log = list(place.target.logs(job.id))
    assert f"run on {made.name}" in log
    assert "run on batch" in log


def test_the_same_event_five_times_at_once_is_one_job(place: Place) -> None:
    made = service(place)
    job = place.job(made)
    for _ in range(5):
        place.target.submit(job)
    seen = news(place, job)
    assert seen[-1].state is JobState.SUCCEEDED, seen
    time.sleep(1.0)
    for update in place.target.poll():
        assert update.state is not JobState.FAILED
    assert len(batch_jobs(place, job.id)) == 1
    log = list(place.target.logs(job.id))
    assert log.count(f"run on {made.name}") == 1
    assert log.count("run on batch") == 1
    assert len(place.outputs(made)) == 2


def test_what_is_short_enough_stays_on_lambda(place: Place) -> None:
    made = service(place, 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/copy"\n', timeout=20.0)
    job = place.job(made)
    run = place.finish(made, job)
    assert run.ok, run
    assert batch_jobs(place, job.id) == []
    assert "runs" not in run.update.report


def test_a_failing_script_is_not_handed_over(place: Place) -> None:
    made = service(place, "exit 5\n", timeout=20.0)
    job = place.job(made)
    run = place.finish(made, job)
    assert (run.update.state, run.update.exit_code) == (JobState.FAILED, 5)
    assert batch_jobs(place, job.id) == []


def test_what_runs_out_of_memory_is_handed_over(place: Place) -> None:
    hog = (
        "#!/usr/bin/env python3\n"
        "import os, time\n"
        "if 'AWS_LAMBDA_FUNCTION_NAME' in os.environ:\n"
        "    x = bytearray(600 << 20)\n"
        "    for i in range(0, len(x), 4096): x[i] = 1\n"
        "    time.sleep(20)\n"
        "open(os.environ['TMP_OUTPUT_DIR'] + '/done', 'w').write('yes')\n"
    )
    made = service(place, hog, timeout=25.0)
    job = place.job(made)
    place.target.submit(job)
    seen = news(place, job)
    assert seen[-1].state is JobState.SUCCEEDED, seen
    assert place.outputs(made) == {"done": b"yes"}
    assert len(batch_jobs(place, job.id)) == 1


def test_an_invocation_that_was_killed_is_handed_over_by_the_target(place: Place) -> None:
    """Without any time kept back the function is killed by Lambda itself."""
    made = service(place, timeout=2.0, variables={"TIMEOUT_THRESHOLD": "0"})
    job = place.job(made)
    place.target.submit(job)
    seen = news(place, job)
    assert seen[-1].state is JobState.SUCCEEDED, seen
    assert place.outputs(made)["copy"] == b"data"
    assert len(batch_jobs(place, job.id)) == 1
    assert "timed out" in seen[-1].report["runs"][0]["reason"]


def test_a_failure_in_batch_is_the_jobs(place: Place) -> None:
    script = "[ -z \"$AWS_LAMBDA_FUNCTION_NAME\" ] || { trap '' TERM; sleep 300; }\nexit 9\n"
    made = service(place, script)
    job = place.job(made)
    place.target.submit(job)
    last = news(place, job)[-1]
    assert (last.state, last.exit_code) == (JobState.FAILED, 9)
    assert [run["place"] for run in last.report["runs"]] == ["lambda", "batch"]


def test_the_attempt_after_a_hand_over_begins_in_batch(place: Place) -> None:
    made = service(place)
    job = place.job(made)
    place.target.submit(job)
    news(place, job)
    again = replace(job, attempt=2)
    place.target.submit(again)
    assert len(batch_jobs(place, job.id)) == 2


def test_nothing_is_left_of_the_first_run(place: Place) -> None:
    mark = f"handover-{place.engine}-{time.time_ns()}"
    script = (
        "[ -z \"$AWS_LAMBDA_FUNCTION_NAME\" ] && exit 0\ntrap '' TERM\n"
        f"setsid sh -c 'sleep 300; : {mark}' &\nsh -c 'sleep 300; : {mark}'\n"
    )
    made = service(place, script)
    job = place.job(made)
    place.target.submit(job)
    assert news(place, job)[-1].state is JobState.SUCCEEDED
    assert running(mark) == []


def test_an_event_above_batchs_limit_is_handed_over_by_reference(place: Place) -> None:
    made = service(place)
    job = place.job(made)
    padded = replace(job.event, record={**(job.event.record or {}), "padding": "x" * 60_000})
    job = Job(job.id, job.service, padded)
    assert len(json.dumps(delegated(padded, padded.provider, job.id, 1))) > 60_000
    place.target.submit(job)
    assert news(place, job)[-1].state is JobState.SUCCEEDED
    assert place.outputs(made)["copy"] == b"data"
