"""Jobs as DescribeJobs, ListJobs and events show them."""

from __future__ import annotations

from bridge.local.aws.batch.model import Attempt, Group, Job, Json, RunPlan, Status


def describe(job: Job) -> Json:
    """The whole of a job."""
    plan = job.plan
    record: Json = {
        "jobArn": job.arn,
        "jobName": job.name,
        "jobId": job.id,
        "jobQueue": job.queue.arn,
        "status": job.status.value,
        "attempts": [_attempt(one) for one in job.attempts],
        "createdAt": job.created,
        "retryStrategy": {"attempts": plan.attempts, "evaluateOnExit": _rules(job)},
        "dependsOn": job.request.get("dependsOn") or [],
        "jobDefinition": job.definition_arn,
        "parameters": dict(job.parameters),
        "tags": job.request.get("tags") or {},
        "platformCapabilities": list(plan.platforms),
        "isCancelled": job.status is Status.FAILED and not job.attempts and not job.terminated,
        "isTerminated": job.terminated,
    }
    if job.group is not None:
        record["nodeProperties"] = _nodes(job.group)
    else:
        record["container"] = _container(job)
    if job.node is not None:
        record["nodeDetails"] = {"nodeIndex": job.node.index, "isMainNode": job.node.is_main}
    if plan.timeout is not None:
        record["timeout"] = {"attemptDurationSeconds": plan.timeout}
    if shape := _array(job):
        record["arrayProperties"] = shape
    return record | _times(job)


def summary(job: Job) -> Json:
    """A job as a list shows it."""
    record: Json = {
        "jobArn": job.arn,
        "jobId": job.id,
        "jobName": job.name,
        "status": job.status.value,
        "createdAt": job.created,
        "jobDefinition": job.definition_arn,
    }
    if job.size:
        record["arrayProperties"] = {"size": job.size}
    elif job.index is not None:
        record["arrayProperties"] = {"index": job.index}
    if job.group is not None:
        record["nodeProperties"] = {"numNodes": len(job.group.plans)}
    elif job.node is not None:
        record["nodeProperties"] = {"nodeIndex": job.node.index, "isMainNode": job.node.is_main}
    if job.attempts and job.attempts[-1].exit_code is not None:
        record["container"] = {"exitCode": job.attempts[-1].exit_code}
    return record | _times(job)


def _times(job: Job) -> Json:
    known = {
        "statusReason": job.status_reason,
        "startedAt": job.started,
        "stoppedAt": job.stopped,
    }
    return {key: value for key, value in known.items() if value}


def _array(job: Job) -> Json:
    if job.size:
        counts = {status.value: job.counts.get(status, 0) for status in Status}
        return {"size": job.size, "statusSummary": counts}
    if job.index is not None and job.parent is not None:
        return {"index": job.index, "size": job.parent.size}
    return {}


def _container(job: Job) -> Json:
    record = _properties(job.plan)
    last = job.attempts[-1] if job.attempts else job.current
    if job.current is not None:
        record["logStreamName"] = job.current.stream
    return record | (_outcome(last) if last is not None else {})


def _nodes(group: Group) -> Json:
    ranges = [
        {"targetNodes": str(index), "container": _properties(plan)}
        for index, plan in enumerate(group.plans)
    ]
    count = len(group.plans)
    return {"numNodes": count, "mainNode": group.main, "nodeRangeProperties": ranges}


def _properties(plan: RunPlan) -> Json:
    needs = {"VCPU": f"{plan.vcpus:g}", "MEMORY": str(plan.memory)}
    record: Json = {
        "image": plan.image,
        "command": list(plan.command),
        "environment": [{"name": key, "value": value} for key, value in plan.env.items()],
        "resourceRequirements": [{"type": key, "value": value} for key, value in needs.items()],
    }
    if plan.secrets:
        record["secrets"] = [{"name": key, "valueFrom": where} for key, where in plan.secrets]
    return record


def _attempt(attempt: Attempt) -> Json:
    return {
        "container": {"logStreamName": attempt.stream, **_outcome(attempt)},
        "startedAt": attempt.started,
        "stoppedAt": attempt.stopped,
        "statusReason": attempt.status_reason,
    }


def _outcome(attempt: Attempt) -> Json:
    known: Json = {"exitCode": attempt.exit_code, "reason": attempt.reason or None}
    return {key: value for key, value in known.items() if value is not None}


def _rules(job: Job) -> list[Json]:
    entries = []
    for rule in job.plan.rules:
        known = {
            "onExitCode": rule.exit_code,
            "onReason": rule.reason,
            "onStatusReason": rule.status_reason,
            "action": rule.action,
        }
        entries.append({key: value for key, value in known.items() if value})
    return entries
