"""Batch as the contract uses it: a queue of its own, jobs, their ends and their logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.contract.endpoint import Endpoint, name
from tests.contract.program import SHELL

GROUP = "/aws/batch/job"
_SMALL = 10


@dataclass
class Batch:
    """A queue with its compute environment."""

    aws: Endpoint
    queue: str
    environment: str

    @property
    def client(self) -> Any:
        return self.aws.client("batch")

    def define(self, script: str, **settings: Any) -> str:
        """A job definition that runs a shell script; its ARN."""
        properties = container(self.aws, script) | settings.pop("container", {})
        answer = self.client.register_job_definition(
            jobDefinitionName=name("definition"),
            type="container",
            containerProperties=properties,
            **settings,
        )
        return answer["jobDefinitionArn"]

    def submit(self, definition: str, **settings: Any) -> str:
        size = settings.get("arrayProperties", {}).get("size", 0)
        # An endpoint that does not know AWS's limit runs what is above it: all of it, at once.
        assert size <= _SMALL or self.aws.bounded, f"{self.aws.kind} may run {size} jobs"
        answer = self.client.submit_job(
            **{
                "jobName": self.aws.job_name,
                "jobQueue": self.queue,
                "jobDefinition": definition,
                **settings,
            }
        )
        return answer["jobId"]

    def job(self, number: str) -> dict[str, Any]:
        return self.client.describe_jobs(jobs=[number])["jobs"][0]

    def reach(self, number: str, *states: str) -> dict[str, Any]:
        """The job once it is in one of these states."""

        def there() -> dict[str, Any] | None:
            job = self.job(number)
            return job if job["status"] in states else None

        return self.aws.eventually(there)

    def ended(self, number: str) -> dict[str, Any]:
        return self.reach(number, "SUCCEEDED", "FAILED")

    def run(self, script: str, **settings: Any) -> dict[str, Any]:
        """One job to its end; settings of its definition first, `submit` for the others."""
        submit = settings.pop("submit", {})
        return self.ended(self.submit(self.define(script, **settings), **submit))

    def lines(self, job: dict[str, Any]) -> list[str]:
        return self.aws.lines(GROUP, job["container"]["logStreamName"])


def container(aws: Endpoint, script: str, vcpus: str = "1", memory: str = "128") -> dict[str, Any]:
    """Container properties that run a shell script with `put` and `hold`."""
    return {
        "image": aws.image,
        "command": ["sh", "-c", f"{SHELL}\n{script}"],
        "resourceRequirements": needs(vcpus, memory),
    }


def needs(vcpus: str, memory: str) -> list[dict[str, str]]:
    return [{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": memory}]


def make(aws: Endpoint, vcpus: int = 16, kind: str = "EC2") -> Batch:
    environment, queue = name("environment"), name("queue")
    resources: dict[str, Any] = {"type": kind, "maxvCpus": vcpus, **network(aws)}
    if kind == "EC2":
        resources |= {
            "minvCpus": 0,
            "instanceTypes": ["optimal"],
            "instanceRole": profile(aws),
        }
    client = aws.client("batch")
    client.create_compute_environment(
        computeEnvironmentName=environment,
        type="MANAGED",
        state="ENABLED",
        serviceRole=aws.role,
        computeResources=resources,
    )
    aws.eventually(lambda: status(aws, environment) == "VALID")
    client.create_job_queue(
        jobQueueName=queue,
        state="ENABLED",
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": environment}],
    )
    return Batch(aws, queue, environment)


def status(aws: Endpoint, environment: str) -> str:
    found = aws.client("batch").describe_compute_environments(computeEnvironments=[environment])
    return found["computeEnvironments"][0]["status"]


def network(aws: Endpoint) -> dict[str, list[str]]:
    ec2 = aws.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]
    where = [{"Name": "vpc-id", "Values": [subnet["VpcId"]]}]
    group = ec2.describe_security_groups(Filters=where)["SecurityGroups"][0]
    return {"subnets": [subnet["SubnetId"]], "securityGroupIds": [group["GroupId"]]}


def profile(aws: Endpoint) -> str:
    answer = aws.client("iam").create_instance_profile(InstanceProfileName=name("profile"))
    return answer["InstanceProfile"]["Arn"]
