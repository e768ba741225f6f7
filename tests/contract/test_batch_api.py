"""Queues, environments and definitions, and what Batch refuses."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from bridge.fdl import limits
from tests.contract.batch import Batch, container, make, needs
from tests.contract.endpoint import Endpoint, code, message, name

pytestmark = pytest.mark.any_engine
limited = pytest.mark.contract("batch-limits")


def refused(error: pytest.ExceptionInfo[ClientError], *words: str) -> None:
    assert code(error.value) == "ClientException"
    for word in words:
        assert word in message(error.value)


@limited
@pytest.mark.parametrize(
    "settings",
    [
        {"arrayProperties": {"size": 1}},
        {"retryStrategy": {"attempts": (limits()["batch.retries"].max or 0) + 1}},
        {"timeout": {"attemptDurationSeconds": 0}},
        {"dependsOn": [{"jobId": "not-a-job"}]},
        {"parameters": {"big": "x" * (limits()["batch.submit_payload"].max or 0)}},
        {"containerOverrides": {"environment": [{"name": "AWS_BATCH_OWN", "value": "1"}]}},
        {"jobName": "no name"},
    ],
    ids=["small array", "attempts", "timeout", "job", "payload", "environment", "name"],
)
def test_a_submission_that_breaks_a_limit_is_refused(
    batch: Batch, settings: dict[str, Any]
) -> None:
    mark = batch.aws.mark()
    with pytest.raises(ClientError) as caught:
        batch.submit(batch.define(f"put '{mark.put}' ran"), **settings)
    refused(caught)
    assert mark.text() is None


def test_what_is_not_there_is_refused(batch: Batch) -> None:
    with pytest.raises(ClientError) as caught:
        batch.submit(name("none"))
    refused(caught)
    with pytest.raises(ClientError) as caught:
        batch.submit(batch.define("true"), jobQueue=name("none"))
    refused(caught)
    assert batch.client.describe_jobs(jobs=[name("none")])["jobs"] == []


@pytest.mark.contract("batch-fargate")
@pytest.mark.parametrize(
    ("vcpus", "memory"), [("0.25", "4096"), ("1", "1024"), ("3", "8192"), ("0.5", "1500")]
)
def test_a_fargate_size_that_does_not_exist_is_refused(
    batch: Batch, vcpus: str, memory: str
) -> None:
    properties = container(batch.aws, "true", vcpus, memory)
    with pytest.raises(ClientError) as caught:
        batch.define(
            "true",
            container=properties | {"executionRoleArn": batch.aws.role},
            platformCapabilities=["FARGATE"],
        )
    refused(caught, f"({float(vcpus):.2f} vCPU, {memory} MiB) not valid")


@pytest.mark.contract("batch-fargate")
def test_a_fargate_job_needs_a_role_and_keeps_to_the_sizes_at_submit(aws: Endpoint) -> None:
    batch = make(aws, kind="FARGATE")
    properties = container(aws, "echo on fargate", "0.25", "512")
    with pytest.raises(ClientError) as caught:
        batch.define("", container=properties, platformCapabilities=["FARGATE"])
    refused(caught, "executionRoleArn")
    role = {"executionRoleArn": aws.role}
    definition = batch.define("", container=properties | role, platformCapabilities=["FARGATE"])
    job = batch.ended(batch.submit(definition))
    assert (job["status"], batch.lines(job)) == ("SUCCEEDED", ["on fargate"])
    with pytest.raises(ClientError) as caught:
        batch.submit(definition, containerOverrides={"resourceRequirements": needs("0.25", "8192")})
    refused(caught, "(0.25 vCPU, 8192 MiB) not valid")


@limited
def test_a_definition_that_is_too_large_is_refused(batch: Batch) -> None:
    with pytest.raises(ClientError) as caught:
        batch.define("x" * (limits()["batch.job_definition"].max or 0))
    refused(caught)


@pytest.mark.contract("batch-deregister")
def test_revisions_count_up_and_the_newest_is_taken(batch: Batch) -> None:
    given = name("revised")
    for word in ("one", "two", "three"):
        batch.client.register_job_definition(
            jobDefinitionName=given,
            type="container",
            containerProperties=container(batch.aws, f"echo {word}"),
        )
    batch.client.deregister_job_definition(jobDefinition=f"{given}:3")
    job = batch.ended(batch.submit(given))
    assert batch.lines(job) == ["two"]
    assert job["jobDefinition"].endswith(f"{given}:2")
    assert batch.lines(batch.ended(batch.submit(f"{given}:1"))) == ["one"]
    found = batch.client.describe_job_definitions(jobDefinitionName=given, status="ACTIVE")
    assert {one["revision"] for one in found["jobDefinitions"]} == {1, 2}


@pytest.mark.contract("batch-lifecycle")
def test_queues_and_environments_go_in_order(aws: Endpoint) -> None:
    batch = make(aws)
    client = batch.client
    with pytest.raises(ClientError) as caught:
        client.delete_job_queue(jobQueue=batch.queue)
    refused(caught, "DISABLED")
    client.update_job_queue(jobQueue=batch.queue, state="DISABLED")
    with pytest.raises(ClientError) as caught:
        batch.submit(batch.define("true"))
    refused(caught, "DISABLED")
    client.update_compute_environment(computeEnvironment=batch.environment, state="DISABLED")
    with pytest.raises(ClientError) as caught:
        client.delete_compute_environment(computeEnvironment=batch.environment)
    refused(caught, "JobQueue")
    client.delete_job_queue(jobQueue=batch.queue)
    batch.aws.eventually(
        lambda: not client.describe_job_queues(jobQueues=[batch.queue])["jobQueues"]
    )
    client.delete_compute_environment(computeEnvironment=batch.environment)


@pytest.mark.contract("batch-capacity")
def test_a_job_of_a_disabled_environment_waits_until_it_is_enabled(aws: Endpoint) -> None:
    batch = make(aws)
    client = batch.client
    client.update_compute_environment(computeEnvironment=batch.environment, state="DISABLED")
    mark = batch.aws.mark()
    number = batch.submit(batch.define(f"put '{mark.put}' ran"))
    batch.reach(number, "RUNNABLE")
    assert mark.text() is None
    client.update_compute_environment(computeEnvironment=batch.environment, state="ENABLED")
    assert batch.ended(number)["status"] == "SUCCEEDED"
    assert mark.text() == "ran"


@pytest.mark.contract("batch-capacity")
def test_the_vcpus_of_the_environment_bound_what_runs(aws: Endpoint) -> None:
    batch = make(aws, vcpus=2)
    held = aws.mark()
    properties = {"resourceRequirements": needs("2", "128")}
    first = batch.submit(batch.define(f"hold '{held.get}'", container=properties))
    batch.reach(first, "RUNNING")
    second = batch.submit(batch.define("true", container=properties))
    batch.reach(second, "RUNNABLE")
    held.release()
    assert batch.ended(second)["status"] == "SUCCEEDED"
    assert batch.job(first)["stoppedAt"] <= batch.job(second)["startedAt"]


@pytest.mark.contract("batch-lists")
def test_jobs_are_listed_in_pages_by_state(aws: Endpoint) -> None:
    batch = make(aws)
    definition = batch.define("true")
    wanted = {batch.submit(definition) for _ in range(3)}
    for number in wanted:
        batch.ended(number)
    failed = batch.run("exit 1")["jobId"]
    pages = batch.client.get_paginator("list_jobs")
    found = [
        [one["jobId"] for one in page["jobSummaryList"]]
        for page in pages.paginate(
            jobQueue=batch.queue, jobStatus="SUCCEEDED", PaginationConfig={"PageSize": 2}
        )
    ]
    assert [len(page) for page in found] == [2, 1]
    assert {number for page in found for number in page} == wanted
    by_name = batch.client.list_jobs(
        jobQueue=batch.queue, filters=[{"name": "JOB_NAME", "values": ["contract-*"]}]
    )["jobSummaryList"]
    assert {one["jobId"] for one in by_name} == wanted | {failed}
