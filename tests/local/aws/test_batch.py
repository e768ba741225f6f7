"""Batch through the AWS API: jobs really run, and end as on AWS."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.aws.endpoint import Aws, alive, eventually

ENDED = {"SUCCEEDED", "FAILED"}


@dataclass
class Batch:
    """A queue of its own with a few cores."""

    aws: Aws
    name: str

    @property
    def client(self) -> Any:
        return self.aws.client("batch")

    def define(self, script: str, name: str = "", **settings: Any) -> str:
        properties = {
            "image": "none",
            "command": ["sh", "-c", script],
            "resourceRequirements": [
                {"type": "VCPU", "value": "1"},
                {"type": "MEMORY", "value": "256"},
            ],
            **settings.pop("container", {}),
        }
        answer = self.client.register_job_definition(
            jobDefinitionName=name or f"d-{uuid.uuid4().hex[:10]}",
            type="container",
            containerProperties=properties,
            **settings,
        )
        return answer["jobDefinitionArn"]

    def submit(self, definition: str, **settings: Any) -> str:
        answer = self.client.submit_job(
            **{"jobName": "job", "jobQueue": self.name, "jobDefinition": definition, **settings}
        )
        return answer["jobId"]

    def job(self, number: str) -> dict[str, Any]:
        return self.client.describe_jobs(jobs=[number])["jobs"][0]

    def ended(self, number: str) -> dict[str, Any]:
        def over() -> dict[str, Any] | None:
            job = self.job(number)
            return job if job["status"] in ENDED else None

        return eventually(over)

    def run(self, script: str, **settings: Any) -> dict[str, Any]:
        return self.ended(self.submit(self.define(script), **settings))

    def lines(self, job: dict[str, Any]) -> list[str]:
        return self.aws.lines("/aws/batch/job", job["container"]["logStreamName"])


@pytest.fixture
def batch(aws: Aws) -> Batch:
    return make(aws)


def make(aws: Aws, cores: int = 8, kind: str = "EC2") -> Batch:
    name = f"q-{uuid.uuid4().hex[:10]}"
    client = aws.client("batch")
    client.create_compute_environment(
        computeEnvironmentName=f"{name}-ce",
        type="MANAGED",
        computeResources={"type": kind, "maxvCpus": cores, "subnets": ["s"]},
    )
    client.create_job_queue(
        jobQueueName=name,
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": f"{name}-ce"}],
    )
    return Batch(aws, name)


def refused(error: pytest.ExceptionInfo[ClientError]) -> str:
    assert error.value.response["Error"]["Code"] == "ClientException"
    return error.value.response["Error"]["Message"]


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


def test_what_does_not_exist_or_is_disabled_is_refused(batch: Batch) -> None:
    definition = batch.define("true")
    with pytest.raises(ClientError) as caught:
        batch.submit(definition, jobQueue="no-such-queue")
    assert "no-such-queue" in refused(caught)
    with pytest.raises(ClientError) as caught:
        batch.submit("no-such-definition")
    assert "no-such-definition" in refused(caught)
    with pytest.raises(ClientError) as caught:
        batch.submit(definition, dependsOn=[{"jobId": "no-such-job"}])
    assert "no-such-job" in refused(caught)
    batch.client.deregister_job_definition(jobDefinition=definition)
    with pytest.raises(ClientError) as caught:
        batch.submit(definition)
    assert "not ACTIVE" in refused(caught)
    batch.client.update_job_queue(jobQueue=batch.name, state="DISABLED")
    with pytest.raises(ClientError) as caught:
        batch.submit(batch.define("true"))
    assert "DISABLED" in refused(caught)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"jobName": "-starts-wrong"}, "Job name"),
        ({"jobName": "x" * 129}, "Job name"),
        ({"arrayProperties": {"size": 1}}, "Array size"),
        ({"arrayProperties": {"size": 10_001}}, "Array size"),
        ({"retryStrategy": {"attempts": 11}}, "attempts"),
        ({"timeout": {"attemptDurationSeconds": 0}}, "attemptDurationSeconds"),
        ({"dependsOn": [{"jobId": "x"}] * 21}, "20"),
        (
            {"containerOverrides": {"environment": [{"name": "AWS_BATCH_X", "value": "1"}]}},
            "AWS_BATCH",
        ),
        ({"parameters": {"a": "x" * 31_000}}, "30720"),
    ],
)
def test_limits_of_a_submission_are_enforced(
    batch: Batch, settings: dict[str, Any], word: str
) -> None:
    with pytest.raises(ClientError) as caught:
        batch.submit(batch.define("true"), **settings)
    assert word in refused(caught)


def test_definitions_that_cannot_run_are_refused(batch: Batch) -> None:
    with pytest.raises(ClientError) as caught:
        batch.define("x" * 25_000)
    assert "24576" in refused(caught)
    with pytest.raises(ClientError) as caught:
        batch.define("true", platformCapabilities=["FARGATE"])
    assert "executionRoleArn" in refused(caught)
    with pytest.raises(ClientError) as caught:
        batch.client.register_job_definition(
            jobDefinitionName="multi", type="multinode", nodeProperties={"numNodes": 2}
        )
    assert "node 0" in refused(caught)
    with pytest.raises(ClientError) as caught:
        batch.client.register_job_definition(
            jobDefinitionName="tasks", type="container", ecsProperties={"taskProperties": [{}]}
        )
    assert "ecsProperties" in refused(caught)


def test_revisions_and_their_listing(batch: Batch) -> None:
    name = f"d-{uuid.uuid4().hex[:8]}"
    batch.define("echo 1", name)
    batch.define("echo 2", name)
    assert batch.lines(batch.ended(batch.submit(name))) == ["2"]
    assert batch.lines(batch.ended(batch.submit(f"{name}:1"))) == ["1"]
    batch.client.deregister_job_definition(jobDefinition=f"{name}:2")
    active = batch.client.describe_job_definitions(jobDefinitionName=name, status="ACTIVE")
    assert [one["revision"] for one in active["jobDefinitions"]] == [1]
    assert batch.lines(batch.ended(batch.submit(name))) == ["1"]


def test_jobs_are_listed_by_state_and_by_name(batch: Batch) -> None:
    definition = batch.define("true")
    numbers = {batch.submit(definition, jobName=f"nice-{n}") for n in range(3)}
    for number in numbers:
        batch.ended(number)
    first = batch.client.list_jobs(jobQueue=batch.name, jobStatus="SUCCEEDED", maxResults=2)
    rest = batch.client.list_jobs(
        jobQueue=batch.name, jobStatus="SUCCEEDED", nextToken=first["nextToken"]
    )
    found = [one["jobId"] for part in (first, rest) for one in part["jobSummaryList"]]
    assert (len(found), set(found)) == (3, numbers)
    assert batch.client.list_jobs(jobQueue=batch.name)["jobSummaryList"] == []
    by_name = [{"name": "JOB_NAME", "values": ["nice-1*"]}]
    [one] = batch.client.list_jobs(jobQueue=batch.name, filters=by_name)["jobSummaryList"]
    assert one["jobName"] == "nice-1"


def test_queues_and_environments_are_deleted_when_nothing_needs_them(batch: Batch) -> None:
    environment = f"{batch.name}-ce"
    with pytest.raises(ClientError) as caught:
        batch.client.delete_job_queue(jobQueue=batch.name)
    assert "DISABLED" in refused(caught)
    batch.client.update_compute_environment(computeEnvironment=environment, state="DISABLED")
    with pytest.raises(ClientError) as caught:
        batch.client.delete_compute_environment(computeEnvironment=environment)
    assert "JobQueue" in refused(caught)
    batch.client.update_job_queue(jobQueue=batch.name, state="DISABLED")
    batch.client.delete_job_queue(jobQueue=batch.name)
    batch.client.delete_compute_environment(computeEnvironment=environment)
    queues = batch.client.describe_job_queues(jobQueues=[batch.name])["jobQueues"]
    environments = batch.client.describe_compute_environments(computeEnvironments=[environment])
    assert queues == environments["computeEnvironments"] == []


def test_changes_of_state_are_events(batch: Batch) -> None:
    url, arn = batch.aws.queue(f"{batch.name}-events")
    pattern = {"source": ["aws.batch"], "detail": {"jobName": [batch.name]}}
    events = batch.aws.client("events")
    events.put_rule(Name=batch.name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=batch.name, Targets=[{"Id": "1", "Arn": arn}])
    number = batch.submit(batch.define("exit 3"), jobName=batch.name)
    told = [body for body, _ in batch.aws.messages(url, 5)]
    assert [one["detail"]["status"] for one in told] == [
        "SUBMITTED",
        "RUNNABLE",
        "STARTING",
        "RUNNING",
        "FAILED",
    ]
    last = told[-1]
    assert last["detail-type"] == "Batch Job State Change"
    assert last["detail"]["jobId"] == number
    assert last["detail"]["container"]["exitCode"] == 3
    assert last["resources"] == [last["detail"]["jobArn"]]


def test_cloudformation_makes_a_batch_that_runs(batch: Batch, tmp_path: Path) -> None:
    out = tmp_path / "out"
    template = {
        "Resources": {
            "Environment": {
                "Type": "AWS::Batch::ComputeEnvironment",
                "Properties": {
                    "Type": "MANAGED",
                    "State": "ENABLED",
                    "ComputeResources": {"Type": "FARGATE", "MaxvCpus": 4, "Subnets": ["s"]},
                },
            },
            "Queue": {
                "Type": "AWS::Batch::JobQueue",
                "Properties": {
                    "Priority": 1,
                    "ComputeEnvironmentOrder": [
                        {"Order": 1, "ComputeEnvironment": {"Ref": "Environment"}}
                    ],
                },
            },
            "Definition": {
                "Type": "AWS::Batch::JobDefinition",
                "Properties": {
                    "Type": "container",
                    "PlatformCapabilities": ["FARGATE"],
                    "Parameters": {"Out": str(out)},
                    "Tags": {"Some": "tag"},
                    "ContainerProperties": {
                        "Image": "none",
                        "Command": ["sh", "-c", "echo stacked > Ref::Out"],
                        "ExecutionRoleArn": "arn:aws:iam::000000000000:role/x",
                        "ResourceRequirements": [
                            {"Type": "VCPU", "Value": "1"},
                            {"Type": "MEMORY", "Value": "2048"},
                        ],
                    },
                },
            },
        },
        "Outputs": {
            "Queue": {"Value": {"Ref": "Queue"}},
            "Definition": {"Value": {"Ref": "Definition"}},
        },
    }
    stacks = batch.aws.client("cloudformation")
    name = f"stack-{batch.name}"
    stacks.create_stack(StackName=name, TemplateBody=json.dumps(template))

    def outputs() -> dict[str, str] | None:
        stack = stacks.describe_stacks(StackName=name)["Stacks"][0]
        assert stack["StackStatus"] in {"CREATE_IN_PROGRESS", "CREATE_COMPLETE"}, stack
        done = stack["StackStatus"] == "CREATE_COMPLETE"
        return {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]} if done else None

    made = eventually(outputs)
    job = batch.ended(batch.submit(made["Definition"], jobQueue=made["Queue"]))
    assert job["status"] == "SUCCEEDED", job
    assert out.read_text() == "stacked\n"
    stacks.delete_stack(StackName=name)
    queues = batch.client.describe_job_queues
    eventually(lambda: queues(jobQueues=[made["Queue"]])["jobQueues"] == [])


def test_regions_do_not_see_each_other(batch: Batch) -> None:
    other = batch.aws.elsewhere("batch", "eu-west-1")
    assert other.describe_job_queues(jobQueues=[batch.name])["jobQueues"] == []
    number = batch.submit(batch.define("true"))
    assert other.describe_jobs(jobs=[number])["jobs"] == []
