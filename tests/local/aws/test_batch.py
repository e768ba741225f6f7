"""Batch through the AWS API: jobs really run, and end as on AWS."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.local.aws.batch import Batch, make
from tests.local.aws.endpoint import Aws, alive
from tests.waiting import eventually


def test_a_job_runs_writes_and_succeeds(batch: Batch, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = batch.run(f"echo one; echo two >&2; echo written > {out}")
    assert out.read_text() == "written\n"
    assert job["status"] == "SUCCEEDED"
    assert job["container"]["exitCode"] == 0
    assert job["statusReason"] == "Essential container in task exited"
    assert job["createdAt"] <= job["startedAt"] <= job["stoppedAt"]
    assert batch.lines(job) == ["one", "two"]


def test_a_job_knows_who_it_is_and_has_keys(batch: Batch) -> None:
    job = batch.run("env", containerOverrides={"environment": [{"name": "A", "value": "ü"}]})
    env = dict(line.split("=", 1) for line in batch.lines(job))
    assert env["A"] == "ü"
    assert env["AWS_BATCH_JOB_ID"] == job["jobId"]
    assert env["AWS_BATCH_JOB_ATTEMPT"] == "1"
    assert env["AWS_BATCH_JQ_NAME"] == batch.name
    assert env["AWS_BATCH_CE_NAME"] == f"{batch.name}-ce"
    assert env["AWS_ENDPOINT_URL"] == batch.aws.endpoint.url
    assert env["AWS_ACCESS_KEY_ID"]
    assert "BRIDGE_AWS_SECRET_KEY" not in env


def test_the_exit_code_of_a_failure_is_kept(batch: Batch) -> None:
    job = batch.run("exit 42")
    assert (job["status"], job["container"]["exitCode"]) == ("FAILED", 42)
    assert [one["container"]["exitCode"] for one in job["attempts"]] == [42]


def test_attempts_go_on_until_one_succeeds(batch: Batch, tmp_path: Path) -> None:
    note = tmp_path / "note"
    script = f"echo $AWS_BATCH_JOB_ATTEMPT >> {note}; [ $(wc -l < {note}) = 3 ] || exit 5"
    job = batch.run(script, retryStrategy={"attempts": 5})
    assert job["status"] == "SUCCEEDED"
    assert note.read_text().split() == ["1", "2", "3"]
    assert [one["container"]["exitCode"] for one in job["attempts"]] == [5, 5, 0]
    assert len({one["container"]["logStreamName"] for one in job["attempts"]}) == 3


@pytest.mark.parametrize(
    ("rules", "attempts"),
    [
        ([{"onExitCode": "7", "action": "RETRY"}, {"onExitCode": "*", "action": "EXIT"}], 3),
        ([{"onExitCode": "7*", "action": "EXIT"}], 1),
        ([{"onStatusReason": "Essential container*", "action": "exit"}], 1),
        ([{"onReason": "OutOfMemory*", "action": "EXIT"}], 3),
        ([{"onReason": "x*", "onExitCode": "7", "action": "EXIT"}], 3),
    ],
)
def test_rules_decide_which_exits_are_tried_again(
    batch: Batch, rules: list[dict[str, str]], attempts: int
) -> None:
    job = batch.run("exit 7", retryStrategy={"attempts": 3, "evaluateOnExit": rules})
    assert len(job["attempts"]) == attempts


def test_a_timeout_kills_the_tree_and_is_not_tried_again(batch: Batch, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    job = batch.run(
        f"sleep 600 & echo $! > {note}; wait",
        timeout={"attemptDurationSeconds": 1},
        retryStrategy={"attempts": 3},
    )
    assert job["status"] == "FAILED"
    assert job["statusReason"] == "Job attempt duration exceeded timeout"
    assert len(job["attempts"]) == 1
    assert not alive(int(note.read_text()))


def test_memory_above_the_limit_is_told(batch: Batch) -> None:
    command = ["python3", "-c", "import time; x = bytearray(400_000_000); time.sleep(600)"]
    job = batch.run("true", containerOverrides={"command": command})
    assert job["status"] == "FAILED"
    assert job["container"]["exitCode"] == 137
    assert job["container"]["reason"].startswith("OutOfMemoryError")


def test_a_program_that_is_not_there_is_told(batch: Batch) -> None:
    job = batch.run("true", containerOverrides={"command": ["/no/such/program"]})
    assert job["status"] == "FAILED"
    assert job["statusReason"] == "Task failed to start"
    assert "/no/such/program" in job["container"]["reason"]
    assert any("/no/such/program" in line for line in batch.lines(job))


def test_parameters_and_overrides_change_the_run(batch: Batch, tmp_path: Path) -> None:
    definition = batch.define(
        "echo Ref::a Ref::b Ref::unknown $E",
        parameters={"a": "1", "b": "2"},
        container={"environment": [{"name": "E", "value": "old"}]},
    )
    number = batch.submit(
        definition,
        parameters={"b": "3"},
        containerOverrides={
            "environment": [{"name": "E", "value": "new"}],
            "resourceRequirements": [{"type": "MEMORY", "value": "300"}],
        },
    )
    job = batch.ended(number)
    assert batch.lines(job) == ["1 3 Ref::unknown new"]
    needs = {one["type"]: one["value"] for one in job["container"]["resourceRequirements"]}
    assert needs == {"VCPU": "1", "MEMORY": "300"}


def test_logs_can_be_read_while_the_job_runs(batch: Batch, tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    number = batch.submit(
        batch.define(f"echo begun; while [ -e {hold} ]; do sleep 0.05; done; echo over")
    )
    eventually(lambda: batch.job(number)["status"] == "RUNNING")
    eventually(lambda: batch.lines(batch.job(number)) == ["begun"])
    assert batch.job(number)["status"] == "RUNNING"
    hold.unlink()
    assert batch.lines(batch.ended(number)) == ["begun", "over"]


def test_an_array_runs_each_index_once(batch: Batch, tmp_path: Path) -> None:
    index = "$AWS_BATCH_JOB_ARRAY_INDEX"
    script = f"echo {index}/$AWS_BATCH_JOB_ARRAY_SIZE >> {tmp_path}/{index}"
    number = batch.submit(batch.define(script), arrayProperties={"size": 5})
    job = batch.ended(number)
    assert job["status"] == "SUCCEEDED"
    assert job["arrayProperties"]["size"] == 5
    assert job["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 5
    assert sorted(p.read_text().strip() for p in tmp_path.iterdir()) == [f"{n}/5" for n in range(5)]
    child = batch.job(f"{number}:3")
    assert child["arrayProperties"]["index"] == 3
    listed = batch.client.list_jobs(arrayJobId=number, jobStatus="SUCCEEDED")["jobSummaryList"]
    assert sorted(one["arrayProperties"]["index"] for one in listed) == [0, 1, 2, 3, 4]


def test_one_failed_child_fails_its_array_but_not_its_siblings(
    batch: Batch, tmp_path: Path
) -> None:
    script = f"touch {tmp_path}/$AWS_BATCH_JOB_ARRAY_INDEX; [ $AWS_BATCH_JOB_ARRAY_INDEX != 1 ]"
    job = batch.ended(batch.submit(batch.define(script), arrayProperties={"size": 3}))
    assert job["status"] == "FAILED"
    assert job["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 2
    assert job["arrayProperties"]["statusSummary"]["FAILED"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0", "1", "2"]


def test_dependencies_wait_for_success(batch: Batch, tmp_path: Path) -> None:
    note, hold = tmp_path / "note", tmp_path / "hold"
    hold.touch()
    first = batch.submit(
        batch.define(f"while [ -e {hold} ]; do sleep 0.05; done; echo first >> {note}")
    )
    second = batch.submit(batch.define(f"echo second >> {note}"), dependsOn=[{"jobId": first}])
    eventually(lambda: batch.job(first)["status"] == "RUNNING")
    assert batch.job(second)["status"] == "PENDING"
    hold.unlink()
    assert batch.ended(second)["status"] == "SUCCEEDED"
    assert note.read_text().split() == ["first", "second"]


def test_a_failed_dependency_fails_the_whole_chain(batch: Batch, tmp_path: Path) -> None:
    first = batch.submit(batch.define("sleep 0.3; exit 1"))
    chain = [first]
    for _ in range(3):
        chain.append(
            batch.submit(batch.define(f"touch {tmp_path}/ran"), dependsOn=[{"jobId": chain[-1]}])
        )
    for number in chain[1:]:
        job = batch.ended(number)
        assert (job["status"], job["statusReason"]) == ("FAILED", "Dependent Job failed")
    late = batch.submit(batch.define("true"), dependsOn=[{"jobId": first}])
    assert batch.ended(late)["statusReason"] == "Dependent Job failed"
    assert not (tmp_path / "ran").exists()


def test_a_sequential_array_runs_in_order(batch: Batch, tmp_path: Path) -> None:
    note = tmp_path / "note"
    number = batch.submit(
        batch.define(f"echo $AWS_BATCH_JOB_ARRAY_INDEX >> {note}"),
        arrayProperties={"size": 5},
        dependsOn=[{"type": "SEQUENTIAL"}],
    )
    assert batch.ended(number)["status"] == "SUCCEEDED"
    assert note.read_text().split() == ["0", "1", "2", "3", "4"]


def test_a_long_sequential_array_fails_as_a_whole(batch: Batch, tmp_path: Path) -> None:
    number = batch.submit(
        batch.define(f"echo x >> {tmp_path}/note; exit 1"),
        arrayProperties={"size": 3000},
        dependsOn=[{"type": "SEQUENTIAL"}],
    )
    job = batch.ended(number)
    assert job["arrayProperties"]["statusSummary"]["FAILED"] == 3000
    assert (tmp_path / "note").read_text() == "x\n"


def test_arrays_depend_child_by_child(batch: Batch, tmp_path: Path) -> None:
    first = batch.submit(
        batch.define("sleep 0.2; [ $AWS_BATCH_JOB_ARRAY_INDEX = 1 ]"), arrayProperties={"size": 2}
    )
    second = batch.submit(
        batch.define(f"touch {tmp_path}/$AWS_BATCH_JOB_ARRAY_INDEX"),
        arrayProperties={"size": 2},
        dependsOn=[{"jobId": first, "type": "N_TO_N"}],
    )
    assert batch.ended(second)["status"] == "FAILED"
    assert [p.name for p in tmp_path.iterdir()] == ["1"]


def test_terminate_kills_what_runs(batch: Batch, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    number = batch.submit(
        batch.define(f"trap '' TERM; sleep 600 & echo $! > {note}; while :; do sleep 0.1; done"),
        retryStrategy={"attempts": 3},
    )
    eventually(lambda: note.exists() and note.read_text())
    batch.client.terminate_job(jobId=number, reason="enough")
    job = batch.ended(number)
    assert (job["status"], job["statusReason"]) == ("FAILED", "enough")
    assert job["isTerminated"]
    assert len(job["attempts"]) == 1
    assert not alive(int(note.read_text()))


def test_cancel_ends_what_waits_and_leaves_what_runs(batch: Batch, tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    first = batch.submit(batch.define(f"while [ -e {hold} ]; do sleep 0.05; done"))
    second = batch.submit(batch.define(f"touch {tmp_path}/ran"), dependsOn=[{"jobId": first}])
    eventually(lambda: batch.job(first)["status"] == "RUNNING")
    batch.client.cancel_job(jobId=second, reason="not now")
    batch.client.cancel_job(jobId=first, reason="not now")
    assert batch.ended(second)["statusReason"] == "not now"
    hold.unlink()
    assert batch.ended(first)["status"] == "SUCCEEDED"
    assert not (tmp_path / "ran").exists()


def test_terminating_an_array_ends_its_children(batch: Batch, tmp_path: Path) -> None:
    number = batch.submit(batch.define("sleep 600"), arrayProperties={"size": 20})
    eventually(lambda: batch.job(number)["arrayProperties"]["statusSummary"]["RUNNING"] > 0)
    batch.client.terminate_job(jobId=number, reason="enough")
    job = batch.ended(number)
    assert job["arrayProperties"]["statusSummary"]["FAILED"] == 20


def test_cores_of_the_environment_bound_what_runs_at_once(aws: Aws, tmp_path: Path) -> None:
    batch = make(aws, cores=1)
    script = f"mkdir {tmp_path}/busy || touch {tmp_path}/overlap; sleep 0.1; rmdir {tmp_path}/busy"
    number = batch.submit(batch.define(script), arrayProperties={"size": 6})
    assert batch.ended(number)["status"] == "SUCCEEDED"
    assert not (tmp_path / "overlap").exists()


def test_a_job_that_no_environment_can_run_waits_and_blocks_nobody(aws: Aws) -> None:
    batch = make(aws, cores=2)
    big = [{"type": "VCPU", "value": "16"}]
    number = batch.submit(batch.define("true"), containerOverrides={"resourceRequirements": big})
    assert batch.run("true")["status"] == "SUCCEEDED"
    job = batch.job(number)
    assert job["status"] == "RUNNABLE"
    assert job["statusReason"].startswith("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT")
    batch.client.update_compute_environment(
        computeEnvironment=f"{batch.name}-ce", computeResources={"maxvCpus": 16}
    )
    assert batch.ended(number)["status"] == "SUCCEEDED"


def test_queues_of_higher_priority_go_first(aws: Aws, tmp_path: Path) -> None:
    low = make(aws, cores=1)
    high = Batch(aws, f"{low.name}-high")
    low.client.create_job_queue(
        jobQueueName=high.name,
        priority=100,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": f"{low.name}-ce"}],
    )
    note, hold = tmp_path / "note", tmp_path / "hold"
    hold.touch()
    blocker = low.submit(low.define(f"while [ -e {hold} ]; do sleep 0.05; done"))
    eventually(lambda: low.job(blocker)["status"] == "RUNNING")
    one = low.submit(low.define(f"echo low >> {note}"))
    other = high.submit(high.define(f"echo high >> {note}"))
    hold.unlink()
    low.ended(one)
    high.ended(other)
    assert note.read_text().split() == ["high", "low"]
