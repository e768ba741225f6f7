"""The requests of Batch's API."""

from __future__ import annotations

import fnmatch
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from bridge.local.aws._limits import batch_limits
from bridge.local.aws.batch._describe import describe, summary
from bridge.local.aws.batch._plan import NAME, check_run, make_group, make_plan
from bridge.local.aws.batch.engine import BatchEngine
from bridge.local.aws.batch.model import Fault, Group, Job, Json, RunPlan, Status
from bridge.local.aws.batch.registry import Registry, described
from bridge.local.aws.model import Scope, Settings

Operation = Callable[[Registry, Json], Json]
Response = tuple[int, dict[str, str], bytes]


class BatchApi:
    """Answers requests as AWS Batch does; `scope` tells whose request is being served."""

    def __init__(self, engine: BatchEngine, settings: Settings, scope: Callable[[], Scope]) -> None:
        self._engine = engine
        self._scope = scope
        self._limits = batch_limits()
        least = settings.job_timeout
        self._least_timeout = self._limits.timeout_seconds if least is None else least
        self._operations: Final[Mapping[str, Operation]] = {
            "createcomputeenvironment": lambda r, p: r.create_environment(p),
            "updatecomputeenvironment": self._update_environment,
            "deletecomputeenvironment": lambda r, p: r.delete_environment(p),
            "describecomputeenvironments": lambda r, p: {
                "computeEnvironments": described(r.environments, p.get("computeEnvironments") or ())
            },
            "createjobqueue": lambda r, p: r.create_queue(p),
            "updatejobqueue": self._update_queue,
            "deletejobqueue": self._delete_queue,
            "describejobqueues": lambda r, p: {
                "jobQueues": described(r.queues, p.get("jobQueues") or ())
            },
            "registerjobdefinition": lambda r, p: r.register(p),
            "deregisterjobdefinition": lambda r, p: r.deregister(p),
            "describejobdefinitions": lambda r, p: {"jobDefinitions": list(r.definitions(p))},
            "submitjob": self._submit,
            "describejobs": self._describe,
            "listjobs": self._list,
            "canceljob": lambda r, p: self._stop(p, self._engine.cancel),
            "terminatejob": lambda r, p: self._stop(p, self._engine.terminate),
        }

    async def handle(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        query: Mapping[str, Any],
    ) -> Response:
        """One HTTP request → status, headers and body."""
        operation = path.rstrip("/").rpartition("/")[2].lower()
        if method != "POST" or operation not in self._operations:
            return _error(f"The local endpoint has no {method} {path}")
        try:
            wanted = json.loads(body or b"{}")
        except ValueError:
            return _error("The request is no JSON")
        if operation == "submitjob" and len(body) > self._limits.submit_bytes:
            return _error(f"Request payload is larger than {self._limits.submit_bytes} bytes")
        try:
            return _answer(200, self.call(operation, wanted))
        except Fault as fault:
            return _error(str(fault))

    def call(self, operation: str, body: Json) -> Json:
        """One operation, by its name in lower case; a Fault when it is refused."""
        registry = self._engine.registry(self._scope())
        with self._engine.lock:
            return self._operations[operation](registry, body)

    # Queues and environments, where the engine must look again

    def _update_environment(self, registry: Registry, body: Json) -> Json:
        answer = registry.update_environment(body)
        self._engine.refresh()
        return answer

    def _update_queue(self, registry: Registry, body: Json) -> Json:
        answer = registry.update_queue(body)
        self._engine.refresh()
        return answer

    def _delete_queue(self, registry: Registry, body: Json) -> Json:
        queue = registry.delete_queue(body)
        for job in [one for one in self._engine.jobs.values() if one.queue is queue]:
            if not job.status.final:
                self._engine.terminate(job, "The job queue was deleted")
        return {}

    # Jobs

    def _submit(self, registry: Registry, body: Json) -> Json:
        name = body.get("jobName")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise Fault(
                "Job name should match valid pattern: letters, digits, hyphens and underscores, "
                "at most 128, starting with a letter or digit"
            )
        queue = registry.queue(body.get("jobQueue"))
        if not queue.enabled:
            raise Fault(f"Job queue {queue.name} is DISABLED")
        definition = registry.definition(body.get("jobDefinition"))
        parameters = {**(definition.get("parameters") or {}), **(body.get("parameters") or {})}
        plan, group = self._plan(definition, body, parameters)
        number = _new_id()
        job = Job(
            number,
            registry.arn(f"job/{number}"),
            name,
            registry.scope,
            queue,
            definition["jobDefinitionArn"],
            definition["jobDefinitionName"],
            plan,
            body,
            parameters,
            size=self._array_size(body),
            group=group,
        )
        waits_for, sequential = self._dependencies(body, job)
        self._engine.submit(job, waits_for, sequential)
        return {"jobArn": job.arn, "jobName": job.name, "jobId": job.id}

    def _plan(
        self, definition: Json, body: Json, parameters: Mapping[str, str]
    ) -> tuple[RunPlan, Group | None]:
        """What to run, within the limits; for a multi-node job also each node's part."""
        if definition["type"] != "multinode":
            plan = make_plan(definition, body, parameters)
            check_run(plan, self._limits, self._least_timeout)
            return plan, None
        group = make_group(definition, body, parameters)
        for one in group.plans:
            check_run(one, self._limits, self._least_timeout)
        return replace(group.plans[group.main], vcpus=sum(p.vcpus for p in group.plans)), group

    def _array_size(self, body: Json) -> int:
        size = (body.get("arrayProperties") or {}).get("size")
        if size is None:
            return 0
        allowed = self._limits.array_size
        if not isinstance(size, int) or size not in allowed:
            raise Fault(f"Array size must be {allowed.min} to {allowed.max}")
        return size

    def _dependencies(self, body: Json, job: Job) -> tuple[list[tuple[Job, str]], bool]:
        entries = body.get("dependsOn") or []
        if len(entries) > self._limits.dependencies:
            raise Fault(f"A job can depend on at most {self._limits.dependencies} jobs")
        found: list[tuple[Job, str]] = []
        sequential = False
        for entry in entries:
            kind = entry.get("type") or ""
            if kind == "SEQUENTIAL" and not entry.get("jobId"):
                if not job.size:
                    raise Fault("SEQUENTIAL is for array jobs")
                sequential = True
                continue
            other = self._job(entry.get("jobId"))
            if kind == "N_TO_N" and (not job.size or other.size != job.size):
                raise Fault("N_TO_N needs two array jobs of one size")
            found.append((other, kind))
        return found, sequential

    def _job(self, number: Any) -> Job:
        job = self._engine.jobs.get(str(number or ""))
        if job is None or job.scope != self._scope():
            raise Fault(f"Job {number!r} does not exist")
        return job

    def _stop(self, body: Json, how: Callable[[Job, str], None]) -> Json:
        if not body.get("reason"):
            raise Fault("reason is required")
        job = self._job(body.get("jobId"))
        if job.node is not None:
            raise Fault("A node cannot be stopped by itself; stop its job")
        how(job, str(body["reason"]))
        return {}

    def _describe(self, registry: Registry, body: Json) -> Json:
        numbers = body.get("jobs") or []
        if len(numbers) > self._limits.described_jobs:
            raise Fault(f"At most {self._limits.described_jobs} jobs can be described at once")
        found = (self._engine.jobs.get(str(number)) for number in numbers)
        return {"jobs": [describe(job) for job in found if job and job.scope == registry.scope]}

    def _list(self, registry: Registry, body: Json) -> Json:
        jobs = [job for job in self._of(registry, body) if _wanted(job, body)]
        most = min(int(body.get("maxResults") or self._limits.listed_jobs), 1000)
        start = _offset(body.get("nextToken"))
        answer: Json = {"jobSummaryList": [summary(job) for job in jobs[start : start + most]]}
        if start + most < len(jobs):
            answer["nextToken"] = str(start + most)
        return answer

    def _of(self, registry: Registry, body: Json) -> Iterable[Job]:
        """The children of an array, the nodes of a group, or what a queue has without them."""
        if body.get("arrayJobId"):
            return self._job(body["arrayJobId"]).children
        if body.get("multiNodeJobId"):
            return self._job(body["multiNodeJobId"]).nodes
        if not body.get("jobQueue"):
            raise Fault("One of jobQueue, arrayJobId, multiNodeJobId is required")
        queue = registry.queue(body["jobQueue"])
        return [j for j in self._engine.jobs.values() if j.queue is queue and j.parent is None]


def _wanted(job: Job, body: Json) -> bool:
    filters = body.get("filters")
    if filters:
        return all(_passes(job, one.get("name"), one.get("values") or ()) for one in filters)
    status = body.get("jobStatus")
    if status is None and (body.get("arrayJobId") or body.get("multiNodeJobId")):
        return True
    return job.status.value == (status or Status.RUNNING.value)


def _passes(job: Job, name: str, values: Iterable[str]) -> bool:
    match name:
        case "JOB_NAME":
            return any(fnmatch.fnmatchcase(job.name.lower(), one.lower()) for one in values)
        case "JOB_DEFINITION":
            own = (job.definition_arn, job.definition_name, job.definition_arn.rpartition("/")[2])
            return any(fnmatch.fnmatchcase(text, one) for one in values for text in own)
        case "BEFORE_CREATED_AT":
            return all(job.created < int(one) for one in values)
        case "AFTER_CREATED_AT":
            return all(job.created > int(one) for one in values)
        case _:
            raise Fault(f"Filter {name!r} is not known")


def _offset(token: Any) -> int:
    if token is None:
        return 0
    if not str(token).isdigit():
        raise Fault("nextToken is not one of ours")
    return int(token)


def _new_id() -> str:
    return str(uuid.uuid4())


def _answer(status: int, body: Json) -> Response:
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


def _error(message: str) -> Response:
    status, headers, body = _answer(400, {"__type": "ClientException", "message": message})
    return status, {**headers, "x-amzn-errortype": "ClientException"}, body
