"""Batch of the endpoint as its tests use it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.aws.endpoint import Aws
from tests.waiting import eventually

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
