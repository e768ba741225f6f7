"""Target `lambda`: an image function per service, an asynchronous invocation per job."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from bridge.errors import NotFoundError, PermanentError, TargetUnavailable
from bridge.events import delegated
from bridge.fdl import AwsOptions, limits
from bridge.fdl.model import ProviderRef, Service, TargetSpec
from bridge.scheduler import lambda_size
from bridge.targets.aws._destination import Destination, with_runs
from bridge.targets.aws.account import Account, translated
from bridge.targets.aws.batch import BatchTarget
from bridge.targets.aws.common import deploy_service, log_lines, update_from_report
from bridge.targets.aws.definitions import LAMBDA_ENTRY, function_variables, secret_name
from bridge.targets.aws.deployed import Deployed
from bridge.targets.aws.submission import WITHDRAWN
from bridge.targets.protocol import Job, JobState, JobUpdate
from bridge.targets.render import ProviderAccess

__all__ = ["LambdaTarget"]

# A destination's record repeats the payload, and a queue takes less than an invocation.
_SHARE: Final = 8
_WAIT: Final = 0.1
# No function runs longer: its answer, or none, is there by then.
_LONGEST_RUN: Final = 905.0
_LOG_LAG: Final = 5.0
# Lambda keeps an asynchronous event for six hours at most.
_LONGEST_EVENT: Final = 7 * 3600.0
_READY_TRIES: Final = 600


class Reply(NamedTuple):
    """A function's answer: its JSON, whether it failed, and the request's id."""

    value: Any
    failed: bool
    handle: str


class LambdaTarget:
    """Runs services as Lambda functions whose image has the runtime at /opt/bridge.

    A job is an asynchronous invocation; Lambda's own retries are off, because the dispatcher
    decides about retries. News come from the function's destinations, through one queue for all
    functions. A running invocation cannot be stopped: `cancel` has no effect on it.

    A `lambda-batch` service has a Batch side too. A job of it that comes to the end of its time or
    memory is handed over, by the invocation or, when that was killed, from here; it is RUNNING
    with Batch's handle then, and ends as its Batch job does. The report's `runs` has both.

    Services that were deployed by somebody else are made known with `adopt`; their news is pushed
    and `read` says what it means, so `poll` is not to be called then.
    """

    def __init__(
        self, spec: TargetSpec, account: Account, access: Mapping[ProviderRef, ProviderAccess]
    ) -> None:
        self.spec = spec
        self._account = account
        self._access = access
        self._batch = BatchTarget(spec, account, access)
        self._lock = threading.Lock()
        self._services: dict[str, str] = {}
        self._both: set[str] = set()
        self._functions: dict[str, str] = {}
        self._pushed = False
        self._patient: Any = None
        self._ended: set[str] = set()
        self._read: list[Mapping[str, Any]] = []
        self._passed_on: dict[str, int] = {}

    def deploy(self, services: Sequence[Service]) -> None:
        """Create or update one function per service and wait until all can be invoked."""
        both = [service for service in services if service.execution_mode == "lambda-batch"]
        if both:
            self._batch.deploy(both)
        self._both |= {service.name for service in both}
        for service in services:
            self._deploy(service)
        for service in services:
            self._wait_ready(service.name)

    def adopt(self, services: Sequence[Deployed]) -> None:
        """Take these services, and only these, as deployed; whoever did sees to their news."""
        self._pushed = True
        self._batch.adopt(services)
        self._functions = {one.service: one.function for one in services if one.function}
        self._both = {one.service for one in services if one.hands_over}

    def _deploy(self, service: Service) -> None:
        wanted = self._configuration(service)
        client = self._account.client("lambda")
        name = service.name
        with translated(f"function {name}"):
            try:
                with translated(f"function {name}"):
                    client.get_function_configuration(FunctionName=name)
            except NotFoundError:
                client.create_function(
                    **wanted,
                    PackageType="Image",
                    Code={"ImageUri": service.image},
                    Architectures=["arm64" if service.arch == "arm64" else "x86_64"],
                    Tags={"createdby": "oscar-bridge"},
                )
            else:
                client.update_function_configuration(**wanted)
                self._wait_ready(name)
                client.update_function_code(FunctionName=name, ImageUri=service.image)
            self._set_destinations(name)

    def _configuration(self, service: Service) -> dict[str, Any]:
        size = lambda_size(service)
        places = deploy_service(self._account, service, self._access)
        if service.name in self._both:
            queue = self._batch.queue_of(service.name)
            places = replace(places, queue=queue, definition=service.name)
        return {
            "FunctionName": service.name,
            "Role": self._role(service),
            "MemorySize": size.memory,
            "Timeout": size.timeout,
            "EphemeralStorage": {"Size": size.storage},
            "ImageConfig": {"EntryPoint": [LAMBDA_ENTRY]},
            "Environment": {"Variables": function_variables(service, places)},
            "Description": f"OSCAR Bridge service {service.name}",
        }

    def _role(self, service: Service) -> str:
        options = service.options
        named = options.iam.role if isinstance(options, AwsOptions) else ""
        role = named or self._account.settings.role
        if not role:
            raise PermanentError(
                f"function {service.name} has no execution role",
                hint="give the ARN of a role under iam.role of the service",
            )
        return role

    def _set_destinations(self, name: str) -> None:
        arn = self._account.queue("states")[1]
        self._account.client("lambda").put_function_event_invoke_config(
            FunctionName=name,
            MaximumRetryAttempts=0,
            DestinationConfig={when: {"Destination": arn} for when in ("OnSuccess", "OnFailure")},
        )

    def _wait_ready(self, name: str) -> None:
        client = self._account.client("lambda")
        for _ in range(_READY_TRIES):
            with translated(f"function {name}"):
                state = client.get_function_configuration(FunctionName=name)
            if state.get("State") == "Failed":
                raise PermanentError(f"function {name}: {state.get('StateReason')}")
            if state.get("State") == "Active" and state.get("LastUpdateStatus") != "InProgress":
                return
            time.sleep(_WAIT)
        raise TargetUnavailable(f"function {name} is still not ready")

    def remove(self, services: Sequence[str]) -> None:
        """Delete the functions with their secrets and Batch sides."""
        for name in services:
            if self._has_batch_side(name):
                self._batch.remove([name])
            with contextlib.suppress(NotFoundError), translated(f"function {name}"):
                self._account.client("lambda").delete_function(FunctionName=name)
            secret = secret_name(self._account.settings.name, name)
            with contextlib.suppress(NotFoundError), translated(f"secret {secret}"):
                self._account.client("secretsmanager").delete_secret(
                    SecretId=secret, ForceDeleteWithoutRecovery=True
                )

    def _has_batch_side(self, name: str) -> bool:
        try:
            with translated(f"function {name}"):
                found = self._account.client("lambda").get_function_configuration(FunctionName=name)
        except NotFoundError:
            return False
        return "BRIDGE_BATCH_DEFINITION" in found.get("Environment", {}).get("Variables", {})

    def submit(self, job: Job) -> str:
        """Invoke the function asynchronously; the handle is the request's id.

        A job whose attempt before this one was too long for Lambda goes to Batch at once.
        """
        if job.service in self._both and job.attempt > 1:
            before = self._account.claims.read(job.id, job.attempt - 1)
            if before is not None and before.handed:
                return self._batch.submit(job)
        payload = self._payload(job)
        with translated(f"invoke {job.service}"):
            answer = self._account.client("lambda").invoke(
                FunctionName=self._function(job.service), InvocationType="Event", Payload=payload
            )
        if not self._pushed:
            with self._lock:
                self._services[job.id] = job.service
        return str(answer["ResponseMetadata"]["RequestId"])

    def run(self, service: str, request: Mapping[str, Any]) -> Reply:
        """Invoke the function with a request and wait for its answer, which is Lambda's own.

        There is no record, no report is read and nothing is tried again.
        """
        if self._patient is None:
            self._patient = self._account.asking_once("lambda", _LONGEST_RUN)
        with translated(f"invoke {service}"):
            answer = self._patient.invoke(
                FunctionName=self._function(service), Payload=json.dumps(request).encode()
            )
            body = answer["Payload"].read()
        try:
            value = json.loads(body) if body else None
        except ValueError:
            value = body.decode(errors="replace")
        failed, handle = "FunctionError" in answer, str(answer["ResponseMetadata"]["RequestId"])
        return Reply(value, failed, handle)

    def _function(self, service: str) -> str:
        if not self._pushed:
            return service
        if service not in self._functions:
            raise NotFoundError(f"service {service} is not deployed on Lambda")
        return self._functions[service]

    def _payload(self, job: Job) -> bytes:
        wrapped = delegated(job.event, job.event.provider, job.id, job.attempt, job.trace)
        payload = json.dumps(wrapped).encode()
        if len(payload) <= (limits()["lambda.payload_async"].max or 0) // _SHARE:
            return payload
        url = self._account.put(f"events/{job.id}.json", payload)
        return json.dumps({"event_url": url, "job_id": job.id, "attempt": job.attempt}).encode()

    def poll(self) -> Iterable[JobUpdate]:
        """News that the functions' destinations have sent since the last call, and Batch's.

        Messages are deleted at the call after the one that told of them: what was not recorded
        in between is told again.
        """
        url = self._account.queue("states")[0]
        self._delete_read(url)
        updates: list[JobUpdate] = []
        read: list[Mapping[str, Any]] = []
        while messages := self._receive(url):
            updates += [u for m in messages if (u := self._news(json.loads(m["Body"])))]
            read += messages
        updates += self._news_of_batch()
        self._read = read
        return updates

    def _receive(self, url: str) -> Sequence[Mapping[str, Any]]:
        with translated("queue of job states"):
            answer = self._account.client("sqs").receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0
            )
        found: Sequence[Mapping[str, Any]] = answer.get("Messages", ())
        return found

    def _delete_read(self, url: str) -> None:
        while self._read:
            entries = [
                {"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]}
                for i, m in enumerate(self._read[:10])
            ]
            with translated("queue of job states"):
                self._account.client("sqs").delete_message_batch(QueueUrl=url, Entries=entries)
            self._read = self._read[10:]

    def _news_of_batch(self) -> Iterator[JobUpdate]:
        for update in self._batch.poll():
            if not update.state.final or update.job not in self._passed_on:
                yield update
                continue
            claim = self._account.claims.read(update.job, self._passed_on.pop(update.job))
            yield with_runs(update, claim.run if claim else {})

    def _news(self, message: Mapping[str, Any]) -> JobUpdate | None:
        done = Destination.read(message)
        if not done.job:
            return None
        with self._lock:
            self._services.setdefault(done.job, done.service)
            self._ended.add(done.job)
        update = self._said(done)
        if update is not None and not update.state.final:
            self._batch.follow(done.job, done.attempt, update.handle)
            self._passed_on[done.job] = done.attempt
        return update

    def read(self, message: Mapping[str, Any]) -> JobUpdate | None:
        """What a function's destination was sent means; None when it says nothing of a job of ours.

        An attempt that Lambda has killed at a limit is handed over to Batch here, if its service
        has that side: once, however often the message comes.
        """
        done = Destination.read(message)
        return self._said(done) if done.job else None

    def _said(self, done: Destination) -> JobUpdate | None:
        if done.elsewhere is not None:
            return _in_batch(done, done.elsewhere.get("batch_job", ""))
        known = update_from_report(
            self._account, done.job, done.attempt, done.handle, done.log_group
        )
        if known is not None and (known.state is JobState.SUCCEEDED) is not done.failed:
            return replace(known, attempt=done.attempt)
        service = self._service_of(done.service)
        if done.came_to_a_limit and service in self._both:
            return _in_batch(
                done, self._batch.pass_on(service, done.payload, done.handle, done.reason)
            )
        return JobUpdate(
            done.job,
            JobState.FAILED,
            handle=done.handle,
            reason=done.reason,
            log=done.log_group,
            attempt=done.attempt,
        )

    def _service_of(self, function: str) -> str:
        found = (service for service, name in self._functions.items() if name == function)
        return next(found, function)

    def withdraw(self, job: Job, handle: str) -> bool:
        """See `bridge.dispatch.protocol.Withdraws`: an event that waits in Lambda finds its attempt
        taken and does not run."""
        del handle
        claims = self._account.claims
        claim = claims.read(job.id, job.attempt) or claims.take(
            job.id, job.attempt, WITHDRAWN, time.time() + _LONGEST_EVENT
        )
        if claim.holder != WITHDRAWN:
            return False
        if update_from_report(self._account, job.id, job.attempt, "", "") is None:
            return True
        # It has run and failed, and its news is on the way.
        claims.let_go(job.id, job.attempt)
        return False

    def cancel(self, job: str) -> None:
        """End the job's Batch job, if it has one.

        An asynchronous invocation ends by itself, at its timeout at the latest.
        """
        self._batch.cancel(job)

    def logs(self, job: str) -> Iterator[str]:
        """Lines that the job's invocation wrote, from the function's log group; then Batch's.

        CloudWatch lags behind: of an invocation that has ended, the end of its log is waited for a
        few seconds.
        """
        service = self._services.get(job)
        if service is None:
            return
        deadline = time.monotonic() + (_LOG_LAG if job in self._ended else 0.0)
        lines = list(self._lines(service, job))
        while not _is_whole(lines) and time.monotonic() < deadline:
            time.sleep(_WAIT)
            lines = list(self._lines(service, job))
        yield from lines
        yield from self._batch.logs(job)

    def _lines(self, service: str, job: str) -> Iterator[str]:
        client = self._account.client("logs")
        group = f"/aws/lambda/{service}"
        with contextlib.suppress(NotFoundError), translated(f"logs of {service}"):
            pages = client.get_paginator("filter_log_events").paginate(
                logGroupName=group, filterPattern=f'"{job}"'
            )
            hits = (hit["logStreamName"] for page in pages for hit in page["events"])
            for stream in dict.fromkeys(hits):
                yield from _invocation(log_lines(self._account, group, stream), job)

    def close(self) -> None:
        """Nothing to stop on this machine."""


def _in_batch(done: Destination, batch_job: str) -> JobUpdate | None:
    """The job goes on in Batch; None when another invocation knows better how."""
    if not batch_job:
        return None
    state, log = JobState.RUNNING, done.log_group
    return JobUpdate(done.job, state, handle=batch_job, log=log, attempt=done.attempt)


def _is_whole(lines: Sequence[str]) -> bool:
    return any(line.startswith("REPORT RequestId:") for line in lines)


def _invocation(lines: Iterable[str], job: str) -> Iterator[str]:
    """The lines from START to REPORT of the invocation that names the job."""
    block: list[str] = []
    for line in lines:
        if line.startswith("START RequestId:"):
            block = []
        block.append(line)
        if line.startswith("REPORT RequestId:"):
            if any(job in entry for entry in block):
                yield from block
            block = []
    if any(job in entry for entry in block):
        yield from block
