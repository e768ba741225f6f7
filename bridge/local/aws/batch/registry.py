"""Compute environments, queues and job definitions of one account and region."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from bridge.local.aws._limits import BatchLimits
from bridge.local.aws.batch._plan import check_definition, check_name
from bridge.local.aws.batch.model import ComputeEnvironment, Fault, Json, Queue
from bridge.local.aws.model import Scope

_STATES: Final = ("ENABLED", "DISABLED")
_MANY_VCPUS: Final = 256.0


class _Named(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def arn(self) -> str: ...

    @property
    def record(self) -> Json: ...


N = TypeVar("N", bound=_Named)


class Registry:
    """What was created; not safe for threads by itself."""

    def __init__(self, scope: Scope, limits: BatchLimits, least_timeout: int) -> None:
        self.scope = scope
        self.environments: dict[str, ComputeEnvironment] = {}
        self.queues: dict[str, Queue] = {}
        self._definitions: dict[str, list[Json]] = {}
        self._limits = limits
        self._least_timeout = least_timeout

    def arn(self, resource: str) -> str:
        """The ARN of one of our resources."""
        return f"arn:aws:batch:{self.scope.region}:{self.scope.account}:{resource}"

    # Compute environments

    def create_environment(self, body: Json) -> Json:
        """CreateComputeEnvironment."""
        name = check_name(body.get("computeEnvironmentName"), "computeEnvironmentName")
        self._refuse_copy(name, self.environments, self._limits.compute_environments)
        record: Json = {
            "computeEnvironmentName": name,
            "computeEnvironmentArn": self.arn(f"compute-environment/{name}"),
            "type": body.get("type", "MANAGED"),
            "state": _state(body),
            "status": "VALID",
            "statusReason": "ComputeEnvironment Healthy",
            "computeResources": body.get("computeResources") or {},
            "serviceRole": body.get("serviceRole", ""),
            "tags": body.get("tags") or {},
        }
        arn = str(record["computeEnvironmentArn"])
        self.environments[name] = ComputeEnvironment(name, arn, record, _max_vcpus(record))
        return _pick(record, "computeEnvironmentName", "computeEnvironmentArn")

    def update_environment(self, body: Json) -> Json:
        """UpdateComputeEnvironment."""
        one = self.environment(body.get("computeEnvironment"))
        record = one.record
        if "state" in body:
            record["state"] = _state(body)
        if body.get("serviceRole"):
            record["serviceRole"] = body["serviceRole"]
        record["computeResources"] = {
            **record["computeResources"],
            **(body.get("computeResources") or {}),
        }
        one.max_vcpus = _max_vcpus(record)
        return _pick(record, "computeEnvironmentName", "computeEnvironmentArn")

    def delete_environment(self, body: Json) -> Json:
        """DeleteComputeEnvironment; it must be disabled and in no queue."""
        one = self.environment(body.get("computeEnvironment"))
        if one.enabled:
            raise Fault("Cannot delete, compute environment state must be DISABLED")
        if any(one.name in queue.environments for queue in self.queues.values()):
            raise Fault("Cannot delete, found existing JobQueue relationship")
        del self.environments[one.name]
        return {}

    def environment(self, reference: Any) -> ComputeEnvironment:
        """By name or ARN; a Fault when it is not there."""
        return _find(self.environments, reference, "Compute environment")

    # Queues

    def create_queue(self, body: Json) -> Json:
        """CreateJobQueue."""
        name = check_name(body.get("jobQueueName"), "jobQueueName")
        self._refuse_copy(name, self.queues, self._limits.job_queues)
        record: Json = {
            "jobQueueName": name,
            "jobQueueArn": self.arn(f"job-queue/{name}"),
            "state": _state(body),
            "status": "VALID",
            "statusReason": "JobQueue Healthy",
            "priority": self._priority(body.get("priority")),
            "computeEnvironmentOrder": [],
            "tags": body.get("tags") or {},
        }
        queue = Queue(name, str(record["jobQueueArn"]), record, [])
        self._set_order(queue, body.get("computeEnvironmentOrder") or ())
        self.queues[name] = queue
        return _pick(record, "jobQueueName", "jobQueueArn")

    def update_queue(self, body: Json) -> Json:
        """UpdateJobQueue."""
        queue = self.queue(body.get("jobQueue"))
        if "state" in body:
            queue.record["state"] = _state(body)
        if "priority" in body:
            queue.record["priority"] = self._priority(body["priority"])
        if body.get("computeEnvironmentOrder"):
            self._set_order(queue, body["computeEnvironmentOrder"])
        return _pick(queue.record, "jobQueueName", "jobQueueArn")

    def delete_queue(self, body: Json) -> Queue:
        """DeleteJobQueue; it must be disabled. The queue that is gone now."""
        queue = self.queue(body.get("jobQueue"))
        if queue.enabled:
            raise Fault("Cannot delete, job queue state must be DISABLED")
        return self.queues.pop(queue.name)

    def queue(self, reference: Any) -> Queue:
        """By name or ARN; a Fault when it is not there."""
        return _find(self.queues, reference, "Job queue")

    def _set_order(self, queue: Queue, order: Sequence[Json]) -> None:
        if not 1 <= len(order) <= self._limits.environments_per_queue:
            most = self._limits.environments_per_queue
            raise Fault(f"computeEnvironmentOrder must have 1 to {most} entries")
        found = [self.environment(one.get("computeEnvironment")) for one in order]
        ranks = sorted(range(len(order)), key=lambda place: order[place].get("order", 0))
        queue.environments = [found[place].name for place in ranks]
        queue.record["computeEnvironmentOrder"] = [
            {"order": order[place].get("order", 0), "computeEnvironment": found[place].arn}
            for place in ranks
        ]

    def _priority(self, value: Any) -> int:
        if not isinstance(value, int) or value not in self._limits.priority:
            allowed = self._limits.priority
            raise Fault(f"priority must be {allowed.min} to {allowed.max}")
        return value

    # Job definitions

    def register(self, body: Json) -> Json:
        """RegisterJobDefinition: a new revision."""
        name = check_name(body.get("jobDefinitionName"), "jobDefinitionName")
        check_definition(body, self._limits, self._least_timeout)
        revisions = self._definitions.setdefault(name, [])
        number = len(revisions) + 1
        record: Json = {
            "containerOrchestrationType": "ECS",
            "platformCapabilities": ["EC2"],
            **body,
            "jobDefinitionArn": self.arn(f"job-definition/{name}:{number}"),
            "revision": number,
            "status": "ACTIVE",
        }
        revisions.append(record)
        return _pick(record, "jobDefinitionName", "jobDefinitionArn", "revision")

    def deregister(self, body: Json) -> Json:
        """DeregisterJobDefinition: one revision, by name:revision or ARN."""
        self.definition(body.get("jobDefinition"), exact=True)["status"] = "INACTIVE"
        return {}

    def definition(self, reference: Any, *, exact: bool = False) -> Json:
        """The newest active revision, or the one that is named; a Fault when there is none."""
        text = str(reference or "")
        name, _, number = text.rpartition("job-definition/")[2].partition(":")
        active = [one for one in self._definitions.get(name, ()) if one["status"] == "ACTIVE"]
        if number or exact:
            active = [one for one in active if str(one["revision"]) == number]
        if not active or (text.startswith("arn:") and active[-1]["jobDefinitionArn"] != text):
            raise Fault(f"JobDefinition {text!r} is not found or not ACTIVE")
        return active[-1]

    def definitions(self, body: Json) -> Iterable[Json]:
        """DescribeJobDefinitions."""
        wanted = {str(one) for one in body.get("jobDefinitions") or ()}
        name = body.get("jobDefinitionName")
        status = body.get("status")
        for revisions in self._definitions.values():
            for one in revisions:
                own = {one["jobDefinitionArn"], f"{one['jobDefinitionName']}:{one['revision']}"}
                if (
                    (not wanted or wanted & (own | {one["jobDefinitionName"]}))
                    and name in {None, one["jobDefinitionName"]}
                    and status in {None, one["status"]}
                ):
                    yield one

    def _refuse_copy(self, name: str, existing: Mapping[str, Any], most: int) -> None:
        if name in existing:
            raise Fault(f"Object already exists: {name}")
        if len(existing) >= most:
            raise Fault(f"Account limit exceeded: at most {most} of these")


def described(existing: Mapping[str, N], references: Sequence[str]) -> list[Json]:
    """The records of what is named, or of all."""
    return [
        one.record
        for one in existing.values()
        if not references or one.name in references or one.arn in references
    ]


def _find(existing: Mapping[str, N], reference: Any, what: str) -> N:
    for one in existing.values():
        if reference in {one.name, one.arn}:
            return one
    raise Fault(f"{what} {reference!r} does not exist")


def _state(body: Json) -> str:
    state = body.get("state") or "ENABLED"
    if state not in _STATES:
        raise Fault(f"state must be one of {', '.join(_STATES)}")
    return str(state)


def _max_vcpus(record: Json) -> float:
    return float(record["computeResources"].get("maxvCpus") or _MANY_VCPUS)


def _pick(record: Json, *names: str) -> Json:
    return {name: record[name] for name in names}
