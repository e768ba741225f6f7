"""Batch's API beside its jobs: what it refuses, lists, deletes and tells; stacks and regions."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.aws.batch import Batch, refused
from tests.waiting import eventually


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
