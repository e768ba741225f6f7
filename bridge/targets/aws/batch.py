"""Target `batch`: one job definition per service in a shared queue, one Batch job per job."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from bridge.errors import NotFoundError
from bridge.fdl import limits
from bridge.fdl.model import ProviderRef, Service, TargetSpec
from bridge.fdl.options import ComputeResources
from bridge.scheduler import batch_platform
from bridge.targets.aws._destination import with_runs
from bridge.targets.aws.account import Account, translated
from bridge.targets.aws.arrays import (
    ArrayNews,
    array_root,
    child_of,
    make_array,
    settle_array,
    variables,
)
from bridge.targets.aws.common import (
    Recent,
    carried,
    delete_secret,
    deploy_service,
    event_of,
    log_lines,
    update_from_report,
)
from bridge.targets.aws.definitions import (
    BATCH_ENTRY,
    batch_side,
    job_timeout,
    job_variables,
    requirements,
)
from bridge.targets.aws.deployed import Deployed
from bridge.targets.aws.queues import ensure_queue, queue_name
from bridge.targets.aws.submission import WITHDRAWN, Submission, find_job, submit_once
from bridge.targets.protocol import Job, JobState, JobUpdate
from bridge.targets.render import ProviderAccess

__all__ = ["BatchTarget", "batch_side"]

_GROUP: Final = "/aws/batch/job"
_CONTENT: Final = "content"  # a tag: what a job definition was made of
_OVERHEAD: Final = 2048
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_DESCRIBE: Final = 100
_LATE: Final = 60.0  # seconds
_LONG: Final = 7 * 86_400.0
# Batch's words. A supervisor that was killed itself is the only one that leaves no report.
_RECLAIMED: Final = ("Host EC2", "Spot Task was interrupted")
_ENDED_ON_PURPOSE: Final = ("OutOfMemory", "exceeded timeout", "cancelled")
_KILLED: Final = frozenset({137, 143})
_RUNNING: Final = {"STARTING": JobState.SUBMITTED, "RUNNING": JobState.RUNNING}


class _Open(NamedTuple):
    """A job whose Batch job is followed."""

    name: str
    attempt: int
    service: str = ""


class BatchTarget:
    """Runs services as AWS Batch jobs whose image has the runtime at /opt/bridge.

    All services of a platform (EC2 or Fargate) share one compute environment and one queue (an
    account has 50 of each). Batch's
    own retries are off, because the dispatcher decides about retries. One DescribeJobs call per
    hundred open jobs serves `poll`, no more often than the account's `poll` setting.

    Services that were deployed by somebody else are made known with `adopt`; their news is pushed
    by EventBridge and `read` says what it means, so `poll` has none of them.
    """

    def __init__(
        self, spec: TargetSpec, account: Account, access: Mapping[ProviderRef, ProviderAccess]
    ) -> None:
        self.spec = spec
        self._account = account
        self._access = access
        self._lock = threading.Lock()
        self._open: dict[str, _Open] = {}
        self._queues: dict[str, str] = {}
        self._definitions: dict[str, str] = {}
        self._pushed = False
        self._handles: dict[str, str] = {}
        self._children: Counter[str] = Counter()
        self._asked_back: set[str] = set()
        self._arrays = ArrayNews(account)
        self._streams: Recent[str] = Recent()
        self._missed: dict[str, float] = {}
        self._last = 0.0

    def deploy(self, services: Sequence[Service]) -> None:
        """Make the shared queues and register a revision of each service's job definition.

        Of a `lambda-batch` service it is the Batch side: the sizes of its `batch` section.
        """
        self.know(services)
        services = [batch_side(service) for service in services]
        for platform in sorted({batch_platform(service) for service in services}):
            mine = [s for s in services if batch_platform(s) == platform]
            ensure_queue(self._account, platform, mine, self._usual())
        for service in services:
            self._register(service)

    def know(self, services: Sequence[Service]) -> None:
        """Take jobs of these services as if they were deployed, which an earlier process has done;
        nobody is asked."""
        for service in map(batch_side, services):
            self._queues[service.name] = queue_name(self._account, batch_platform(service))
            self._definitions[service.name] = self._account.name_of(service.name)

    def adopt(self, services: Sequence[Deployed]) -> None:
        """Take these services, and only these, as deployed; whoever did sees to their news."""
        self._pushed = True
        both = [one for one in services if one.queue and one.definition]
        self._queues = {one.service: one.queue for one in both}
        self._definitions = {one.service: one.definition for one in both}

    def queue_of(self, service: str) -> str:
        """The job queue of a deployed service."""
        return self._queues[service]

    def _usual(self) -> ComputeResources:
        """What the target's settings say of machines, in the words of a `compute_resources`."""
        known = {"max_v_cpus", "subnets", "security_group_ids"}
        return ComputeResources(**{k: v for k, v in self.spec.settings.items() if k in known})

    def _register(self, service: Service) -> None:
        platform = batch_platform(service)
        places = deploy_service(self._account, service, self._access, self.spec.kind)
        variables = job_variables(service, places)
        timeout = job_timeout(service)
        properties: dict[str, Any] = {
            "image": service.image,
            "command": [BATCH_ENTRY],
            "environment": [{"name": n, "value": v} for n, v in sorted(variables.items())],
            "resourceRequirements": requirements(service, platform),
        }
        role = self._account.settings.role
        if role:
            properties |= {"jobRoleArn": role, "executionRoleArn": role}
        if platform == "FARGATE":
            # Without it an image cannot be had in a subnet that is public; in others it is unused.
            properties["networkConfiguration"] = {"assignPublicIp": "ENABLED"}
        name = self._account.name_of(service.name)
        wanted = {
            "jobDefinitionName": name,
            "type": "container",
            "platformCapabilities": [platform],
            "containerProperties": properties,
            "retryStrategy": {"attempts": 1},
            **({"timeout": {"attemptDurationSeconds": timeout}} if timeout else {}),
        }
        content = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:32]
        with translated(f"job definition {name}"):
            there = sorted(self._revisions(name), key=lambda one: int(one["revision"]))
            if there and (there[-1].get("tags") or {}).get(_CONTENT) == content:
                return
            tags = {"createdby": "oscar-bridge", _CONTENT: content}
            self._account.client("batch").register_job_definition(**wanted, tags=tags)
            self._deregister(there)

    def _deregister(self, revisions: Iterable[Mapping[str, Any]]) -> None:
        """Jobs that were submitted with them go on."""
        for one in revisions:
            self._account.client("batch").deregister_job_definition(
                jobDefinition=one["jobDefinitionArn"]
            )

    def _revisions(self, name: str) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self._account.client("batch").describe_job_definitions(
            jobDefinitionName=name, status="ACTIVE"
        )["jobDefinitions"]
        return found

    def remove(self, services: Sequence[str]) -> None:
        """Deregister the services' job definitions, with their secrets; the shared queues stay."""
        for service in services:
            name = self._account.name_of(service)
            with contextlib.suppress(NotFoundError), translated(f"job definition {name}"):
                self._deregister(self._revisions(name))
            delete_secret(self._account, service, self.spec.kind)

    def submit(self, job: Job) -> str:
        """Submit a Batch job named like the job; the handle is Batch's id of it."""
        name, value = event_of(self._account, job, _room())
        handle = self._submitted(job.service, job.id, job.attempt, {name: value})
        self.follow(job.id, job.attempt, handle, job.service)
        return handle

    def pass_on(self, service: str, payload: Mapping[str, Any], holder: str, reason: str) -> str:
        """Submit what a Lambda invocation could not finish; `payload` is the invocation's own."""
        job, attempt = str(payload["job_id"]), int(payload.get("attempt", 1))
        run = {"job": job, "attempt": attempt, "service": service, "state": "handed over"}
        return self._submitted(
            service,
            job,
            attempt,
            self._carried(job, payload),
            holder=holder,
            run=run | {"reason": reason},
        )

    def _carried(self, job: str, payload: Mapping[str, Any]) -> dict[str, str]:
        if "event_url" in payload:
            return {"BRIDGE_EVENT_URL": str(payload["event_url"])}
        return dict([carried(self._account, job, json.dumps(payload), _room())])

    def _submitted(
        self,
        service: str,
        job: str,
        attempt: int,
        environment: Mapping[str, str],
        *,
        holder: str = "",
        run: Mapping[str, Any] | None = None,
        size: int = 0,
    ) -> str:
        if service not in self._queues:
            raise NotFoundError(f"service {service} is not deployed on Batch")
        wanted = Submission(
            job=job,
            attempt=attempt,
            queue=self._queues[service],
            definition=self._definitions.get(service) or self._account.name_of(service),
            environment={**environment, **({} if size else {"JOB_UUID": job})},
            holder=holder,
            run=run or {},
            size=size,
        )
        return submit_once(self._account, wanted)

    def follow(self, job: str, attempt: int, handle: str, service: str = "") -> None:
        """From now on `poll` tells about this Batch job, and `cancel` finds it."""
        if self._pushed:
            return
        with self._lock:
            if handle not in self._open:
                self._children[child_of(handle)[0]] += 1
            self._open[handle] = _Open(job, attempt, service)
            self._handles[job] = handle

    def poll(self) -> Iterable[JobUpdate]:
        """News of all open jobs, from as few calls as there are hundreds of them."""
        now = time.monotonic()
        with self._lock:
            if now - self._last < self._account.settings.poll:
                return []
            self._last = now
            handles = [child_of(handle) for handle in self._open]
        alone = [root for root, number, named in handles if not (number or named)]
        arrays = {root for root, number, named in handles if number and not named}
        changed = [c for one in self.describe(sorted(arrays)) for c in self._arrays.changed(one)]
        mine = [child for child in changed if child in self._open]
        found = list(self.describe([*alone, *mine]))
        lost = self._lost({*alone, *mine} - {str(one["jobId"]) for one in found}, now)
        return [*(u for one in found if (u := self._news(one))), *lost]

    def _lost(self, handles: Set[str], now: float) -> list[JobUpdate]:
        """The end of jobs that Batch has not known for a while, which is only late at first."""
        self._missed = {handle: self._missed.get(handle, now) for handle in handles}
        gone = [h for h, since in self._missed.items() if now - since > _LATE and h in self._open]
        updates = []
        for handle in gone:
            job = self._open[handle]
            self._close(handle)
            reason = "Batch does not know the job any more"
            updates.append(
                JobUpdate(
                    job.name,
                    JobState.FAILED,
                    handle=handle,
                    reason=reason,
                    temporary=True,
                    attempt=job.attempt,
                )
            )
        return updates

    def describe(self, handles: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """Batch's own words about these of its jobs, from one call per hundred."""
        for start in range(0, len(handles), _DESCRIBE):
            with translated("describe jobs"):
                found = self._account.client("batch").describe_jobs(
                    jobs=list(handles[start : start + _DESCRIBE])
                )
            yield from found["jobs"]

    def _news(self, found: Mapping[str, Any]) -> JobUpdate | None:
        handle = str(found["jobId"])
        job = self._open.get(handle)
        if job is None or (handle in self._asked_back and not found.get("startedAt")):
            return None
        update = self.read(found, job.name, job.attempt)
        if update.log:
            self._streams.put(job.name, update.log)
        if update.state.final:
            self._close(handle)
        return update

    def _close(self, handle: str) -> None:
        root, number, _ = child_of(handle)
        with self._lock:
            closed = self._open.pop(handle, None)
            self._asked_back.discard(handle)
            if closed is None:
                return
            if self._handles.get(closed.name) == handle:
                del self._handles[closed.name]
            self._children[root] -= 1
            last = self._children[root] <= 0
            if last:
                del self._children[root]
        if number and last:
            self._arrays.drop(root)

    def read(
        self,
        found: Mapping[str, Any],
        job: str,
        attempt: int,
        before: Mapping[str, Any] = _NOTHING,
    ) -> JobUpdate:
        """What Batch's words about its job mean for this attempt of a job of ours.

        They are an entry of DescribeJobs, or the `detail` of a Batch Job State Change event.
        `before` is the report of the run that handed it over, for the report's `runs`.
        """
        handle, status = str(found["jobId"]), str(found["status"])
        stream = str(found.get("container", {}).get("logStreamName") or "")
        if status in ("SUCCEEDED", "FAILED"):
            return with_runs(self._final(_Open(job, attempt), found, stream), before)
        state = _RUNNING.get(status, JobState.SUBMITTED)
        return JobUpdate(job, state, handle=handle, log=stream, attempt=attempt)

    def _final(self, job: _Open, found: Mapping[str, Any], stream: str) -> JobUpdate:
        handle = str(found["jobId"])
        known = update_from_report(self._account, job.name, job.attempt, handle, stream)
        ok = found["status"] == "SUCCEEDED"
        if known is not None and (known.state is JobState.SUCCEEDED) is ok:
            return replace(known, attempt=job.attempt)
        container = found.get("container", {})
        reason = container.get("reason") or found.get("statusReason") or ""
        return JobUpdate(
            job.name,
            JobState.SUCCEEDED if ok else JobState.FAILED,
            handle=handle,
            started=_seconds(found.get("startedAt")),
            ended=_seconds(found.get("stoppedAt")),
            exit_code=container.get("exitCode"),
            reason="" if ok else str(reason),
            temporary=not ok and _was_reclaimed(found),
            log=stream,
            attempt=job.attempt,
        )

    def cancel(self, job: str) -> None:
        """Terminate the Batch job; no error when it is over.

        TemporaryError while it is not known whether the array that it is in was submitted.
        """
        with self._lock:
            known = self._handles.get(job, "")
            self._asked_back.discard(known)
            service = self._open[known].service if known else ""
        handle = self._settled(service, known)
        if handle:
            with translated(f"terminate {job}"):
                self._account.client("batch").terminate_job(jobId=handle, reason="cancelled")

    def withdraw(self, job: Job, handle: str) -> bool | None:
        """See `bridge.dispatch.protocol.Withdraws`: what Batch has not begun to start."""
        if handle:
            known = self._settled(job.service, handle)
            return self._given_back(known) if known else True
        claims = self._account.claims
        claim = claims.take(job.id, job.attempt, WITHDRAWN, time.time() + _LONG)
        if claim.holder != WITHDRAWN and not claim.batch_job:
            return None
        known = claim.batch_job
        if not known and claim.again:
            known = find_job(self._account, self.queue_of(job.service), job.id)
        return self._given_back(known) if known else True

    def _given_back(self, handle: str) -> bool | None:
        found = next(iter(self.describe([handle])), None)
        if found is None or found["status"] in ("STARTING", "RUNNING", "SUCCEEDED"):
            return False
        if found["status"] == "FAILED":
            # What has failed without having started was cancelled.
            return not found.get("startedAt") and not found.get("attempts")
        with self._lock:
            self._asked_back.add(handle)
        with translated(f"cancel {handle}"):
            self._account.client("batch").cancel_job(jobId=handle, reason="it waited too long")
        return None

    def forget(self, job: str) -> None:
        """Do not follow what was given back, or is recorded."""
        if handle := self._handles.get(job):
            self._close(handle)

    # --- many at once -----------------------------------------------------------------------

    @property
    def bundle_sizes(self) -> tuple[int, int]:
        """How few and how many jobs an array may have."""
        known = limits()["batch.array"]
        return known.min or 0, known.max or 0

    def prepare(self, jobs: Sequence[Job]) -> str:
        """See `bridge.dispatch.protocol.Bundles`: the events of an array job."""
        return array_root(make_array(self._account, jobs))

    def launch(self, service: str, root: str, size: int) -> str:
        """See `bridge.dispatch.protocol.Bundles`: the array job's id."""
        name = child_of(root)[0]
        return self._submitted(service, name, 1, variables(self._account, name), size=size)

    def settle(self, service: str, root: str) -> str:
        """See `bridge.dispatch.protocol.Bundles`."""
        return settle_array(self._account, self.queue_of(service), child_of(root)[0])

    def _settled(self, service: str, handle: str) -> str:
        """The id of the Batch job; "" when its array was not submitted and never will be."""
        root, number, named = child_of(handle)
        if not named:
            return handle
        root = self.settle(service, array_root(root))
        return f"{root}:{number}" if root else ""

    def logs(self, job: str) -> Iterator[str]:
        """Lines of the job's log stream."""
        return self.logs_at(job, self._streams.get(job) or "")

    def logs_at(self, job: str, log: str) -> Iterator[str]:
        """See `FindsLogs`."""
        del job
        return log_lines(self._account, _GROUP, log) if log else iter(())

    def close(self) -> None:
        """Nothing to stop on this machine."""


def _was_reclaimed(found: Mapping[str, Any]) -> bool:
    """Whether the machine went away under a job that left no report, or somebody killed it."""
    container = found.get("container", {})
    said = f"{found.get('statusReason', '')} {container.get('reason', '')}"
    if any(words in said for words in _RECLAIMED):
        return True
    killed = container.get("exitCode") in _KILLED
    return killed and not any(words in said for words in _ENDED_ON_PURPOSE)


def _room() -> int:
    return (limits()["batch.submit_payload"].max or 0) - _OVERHEAD


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
