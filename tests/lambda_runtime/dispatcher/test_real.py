"""Uploads that S3 tells EventBridge of, functions and Batch jobs that really run, their news."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.targets import JobState
from lambda_runtime.dispatcher import Dispatcher, World
from tests.lambda_runtime.dispatcher.real import Real, real
from tests.lambda_runtime.dispatcher.world import created, queued
from tests.waiting import eventually

UPPER = 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"\n'
COUNTED = UPPER + 'echo run >> "{file}"\n'


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Real]:
    with real(tmp_path) as one:
        yield one


def over(job: object) -> bool:
    return job.state.final  # type: ignore[attr-defined, no-any-return]


def test_an_upload_runs_in_a_function_and_its_record_says_what_came_of_it(aws: Real) -> None:
    aws.deploy("upper", UPPER)
    aws.put("upper/in/a b.txt")
    (job,) = aws.until(1, over)
    assert (job.state, job.exit_code) == (JobState.SUCCEEDED, 0), job.reason
    assert aws.get("upper/out/a b.txt") == b"TEXT"
    detail = aws.world.table.detail(job.id)
    assert detail is not None and [one.key for one in detail.outputs] == ["upper/out/a b.txt"]


def test_an_upload_runs_in_batch_whose_events_tell_of_it(aws: Real) -> None:
    aws.deploy("heavy", UPPER, targets=("aws-batch",))
    aws.put("heavy/in/x")
    (job,) = aws.until(1, over)
    assert (job.state, job.target) == (JobState.SUCCEEDED, "aws-batch"), job.reason
    alone = job.handle
    assert aws.get("heavy/out/x") == b"TEXT"
    # What comes together is one array, whose children are jobs of their own.
    messages: list[str] = []
    for name in "abc":
        aws.put(f"heavy/in/{name}", name.encode())
    while len(messages) < 3:
        messages += eventually(lambda: aws.take(aws.events))
    aws.dispatcher.events(queued(*messages))
    jobs = aws.until(4, over)
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    handles = {job.handle for job in jobs if job.handle != alone}
    (array,) = {handle.partition(":")[0] for handle in handles}
    assert handles == {f"{array}:{number}" for number in range(3)}
    assert [aws.get(f"heavy/out/{name}") for name in "abc"] == [b"A", b"B", b"C"]


def test_what_waits_in_batch_goes_to_a_function_that_is_free(aws: Real) -> None:
    paid = "policy: fastest, budget: {{day: 1 USD}}"
    aws.deploy("mixed", UPPER, targets=("aws-batch",), placement=paid)
    batch, name = aws.account.client("batch"), f"{aws.account.settings.name}-fargate"
    batch.update_compute_environment(computeEnvironment=name, state="DISABLED")
    aws.put("mixed/in/x")
    aws.until(1, lambda job: job.state is JobState.SUBMITTED)
    aws.deploy("mixed", UPPER, targets=("aws-batch", "aws-lambda"), placement=paid)
    eventually(lambda: aws.dispatcher.waiting().get("moved"))
    (job,) = aws.until(1, over)
    assert (job.state, job.target, job.attempt) == (JobState.SUCCEEDED, "aws-lambda", 2), job.reason
    assert aws.get("mixed/out/x") == b"TEXT"
    detail = aws.world.table.detail(job.id)
    assert detail is not None
    assert [one.state for one in detail.attempts] == [JobState.CANCELLED, JobState.SUCCEEDED]
    assert [one["target"] for one in detail.decisions] == ["aws-batch", "aws-lambda"]
    # What it has cost is counted with its end.
    assert job.ended is not None and aws.world.table.spent("mixed", job.ended)[0] > 0


def test_a_function_that_comes_to_its_limit_goes_on_in_batch(aws: Real, tmp_path: Path) -> None:
    mark = tmp_path / "second"
    script = f'[ -n "$AWS_BATCH_JOB_ID" ] || sleep 60\ntouch {mark}\n' + UPPER
    aws.deploy("long", script, mode="lambda-batch", timeout=4.0)
    aws.put("long/in/x")
    (job,) = aws.until(1, over)
    assert job.state is JobState.SUCCEEDED, job.reason
    assert aws.get("long/out/x") == b"TEXT" and mark.exists()


def test_submitted_twice_after_a_crash_it_runs_once(aws: Real, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    aws.deploy("upper", COUNTED.format(file=runs))
    aws.deploy("heavy", COUNTED.format(file=runs), targets=("aws-batch",))
    dispatcher = aws.dispatcher

    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> bool:
        raise Killed

    for name in ("upper", "heavy"):
        aws.account.client("s3").put_object(Bucket="data", Key=f"{name}/x", Body=b"text")
        event = created(f"{name}/in/x")
        aws.account.client("s3").put_object(Bucket="data", Key=f"{name}/in/x", Body=b"text")
        dying = World(aws.world.environment, account=aws.account)
        worker = Dispatcher(dying)
        change, calls = dying.table.change, iter(range(9))
        dying.table.change = (  # type: ignore[method-assign]
            lambda *a, change=change, calls=calls, **k: killed() if next(calls) else change(*a, **k)
        )
        with pytest.raises(Killed):
            worker.events(queued(event))
        dispatcher.events(queued(event, number=2))
    aws.take(aws.events)
    jobs = aws.until(2, over)
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    assert runs.read_text() == "run\n" * 2


def test_a_failing_script_is_recorded_and_is_no_dead_letter(aws: Real) -> None:
    aws.deploy("bad", "echo sorry; exit 3\n")
    aws.put("bad/in/x")
    (job,) = aws.until(1, over)
    assert (job.state, job.exit_code) == (JobState.FAILED, 3)
    assert aws.take(aws.dead) == []


def test_a_function_deleted_by_hand_is_a_dead_letter(aws: Real) -> None:
    aws.deploy("upper", UPPER)
    aws.account.client("lambda").delete_function(FunctionName="upper")
    aws.put("upper/in/x")
    (job,) = aws.until(1, over)
    assert job.state is JobState.FAILED and "upper" in job.reason
    (letter,) = aws.take(aws.dead)
    assert job.id in letter


def test_hundreds_of_events_at_once_are_as_many_jobs(aws: Real) -> None:
    aws.deploy("upper", UPPER)
    submitted: list[str] = []
    aws.world.lambdas.submit = lambda job: submitted.append(job.id) or job.id  # type: ignore
    bodies = [created(f"upper/in/{number}") for number in range(200)]
    assert aws.dispatcher.events(queued(*bodies)) == {"batchItemFailures": []}
    jobs = aws.world.table.jobs("upper", limit=5000)
    assert len(jobs) == len(set(submitted)) == len(submitted) == 200
    assert {job.state for job in jobs} == {JobState.SUBMITTED}
