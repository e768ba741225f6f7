"""Target `lambda`: an image function per service, an asynchronous invocation per job."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from bridge.errors import NotFoundError, PermanentError, TargetUnavailable
from bridge.events import delegated
from bridge.fdl import AwsOptions, limits
from bridge.fdl.model import ProviderRef, Service, TargetSpec
from bridge.scheduler import lambda_size
from bridge.targets import protocol
from bridge.targets.aws._destination import Destination, with_runs
from bridge.targets.aws._logs import GROUPS, invocation_lines
from bridge.targets.aws.account import Account, translated
from bridge.targets.aws.batch import BatchTarget
from bridge.targets.aws.common import (
    Recent,
    delete_secret,
    deploy_service,
    is_within,
    update_from_report,
)
from bridge.targets.aws.definitions import LAMBDA_ENTRY, function_variables
from bridge.targets.aws.deployed import Deployed
from bridge.targets.aws.requests import (
    gateway_request,
    most_of_request,
    refusal,
    reply_of,
    unanswered,
)
from bridge.targets.aws.submission import WITHDRAWN
from bridge.targets.protocol import Job, JobState, JobUpdate
from bridge.targets.render import ProviderAccess

__all__ = ["LambdaTarget"]

# A destination's record repeats the payload, and a queue takes less than an invocation.
_SHARE: Final = 8
_WAIT: Final = 0.1
# Seconds until a message is told again that nobody has recorded.
_AGAIN: Final = 2
# No function runs longer: its answer, or none, is there by then.
_LONGEST_RUN: Final = 905.0
# Lambda keeps an asynchronous event for six hours at most.
_LONGEST_EVENT: Final = 7 * 3600.0
_READY_TRIES: Final = 600


class _Read(NamedTuple):
    """A message that was read; `job` is the one whose end it tells, "" for what is no end."""

    receipt: str
    job: str


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
        self._groups: Recent[str] = Recent()
        self._both: set[str] = set()
        self._functions: dict[str, str] = {}
        self._pushed = False
        self._patient: dict[float, Any] = {}
        self._read: list[_Read] = []
        self._recorded: set[str] = set()
        self._passed_on: dict[str, int] = {}

    def deploy(self, services: Sequence[Service]) -> None:
        """Create or update one function per service and wait until all can be invoked."""
        self.know(services)
        if both := [service for service in services if service.name in self._both]:
            self._batch.deploy(both)
        for service in services:
            self._deploy(service)
        for service in services:
            self._wait_ready(self._function(service.name))

    def know(self, services: Sequence[Service]) -> None:
        """Take jobs of these services as if they were deployed, which an earlier process has done;
        nobody is asked."""
        self._batch.know([s for s in services if s.execution_mode == "lambda-batch"])
        for service in services:
            self._functions[service.name] = self._account.name_of(service.name)
            (self._both.add if service.execution_mode == "lambda-batch" else self._both.discard)(
                service.name
            )

    def adopt(self, services: Sequence[Deployed]) -> None:
        """Take these services, and only these, as deployed; whoever did sees to their news."""
        self._pushed = True
        self._batch.adopt(services)
        self._functions = {one.service: one.function for one in services if one.function}
        self._both = {one.service for one in services if one.hands_over}

    def _deploy(self, service: Service) -> None:
        wanted = self._configuration(service)
        client = self._account.client("lambda")
        name = self._function(service.name)
        with translated(f"function {name}"):
            try:
                with translated(f"function {name}"):
                    found = client.get_function(FunctionName=name)
            except NotFoundError:
                client.create_function(
                    **wanted,
                    PackageType="Image",
                    Code={"ImageUri": service.image},
                    Architectures=["arm64" if service.arch == "arm64" else "x86_64"],
                    Tags={"createdby": "oscar-bridge"},
                )
            else:
                self._update(wanted, service.image, found)
            self._set_destinations(name)

    def _update(self, wanted: Mapping[str, Any], image: str, found: Mapping[str, Any]) -> None:
        """Change what is not as it is wanted: each change ends what runs warm."""
        client, name = self._account.client("lambda"), wanted["FunctionName"]
        there = found["Configuration"]
        entry = (there.get("ImageConfigResponse") or {}).get("ImageConfig")
        if not is_within(wanted, {**there, "FunctionName": name, "ImageConfig": entry}):
            client.update_function_configuration(**wanted)
            self._wait_ready(name)
        if found.get("Code", {}).get("ImageUri") != image:
            client.update_function_code(FunctionName=name, ImageUri=image)

    def _configuration(self, service: Service) -> dict[str, Any]:
        size = lambda_size(service)
        places = deploy_service(self._account, service, self._access, self.spec.kind)
        name = self._function(service.name)
        if service.name in self._both:
            queue = self._batch.queue_of(service.name)
            places = replace(places, queue=queue, definition=name)
        return {
            "FunctionName": name,
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
        for service in services:
            name = self._function(service)
            if self._has_batch_side(name):
                self._batch.remove([service])
            with contextlib.suppress(NotFoundError), translated(f"function {name}"):
                self._account.client("lambda").delete_function(FunctionName=name)
            delete_secret(self._account, service, self.spec.kind)

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
            self._groups.put(job.id, self._group(job.service))
        return str(answer["ResponseMetadata"]["RequestId"])

    def run(self, service: str, request: Mapping[str, Any]) -> Reply:
        """Invoke the function with a request and wait for its answer, which is Lambda's own.

        There is no record, no report is read and nothing is tried again.
        """
        with translated(f"invoke {service}"):
            answer, body = self._asked(service, json.dumps(request).encode(), _LONGEST_RUN)
        try:
            value = json.loads(body) if body else None
        except ValueError:
            value = body.decode(errors="replace")
        failed, handle = "FunctionError" in answer, str(answer["ResponseMetadata"]["RequestId"])
        return Reply(value, failed, handle)

    def _asked(self, service: str, payload: bytes, timeout: float) -> tuple[Any, bytes]:
        """Lambda's answer and what is in it; botocore's own errors."""
        with self._lock:
            client = self._patient.get(timeout)
            if client is None:
                client = self._account.asking_once("lambda", timeout)
                self._patient[timeout] = client
        answer = client.invoke(FunctionName=self._function(service), Payload=payload)
        return answer, answer["Payload"].read()

    def invoke(
        self,
        service: str,
        body: bytes | Iterator[bytes],
        headers: Mapping[str, str],
        timeout: float,
        *,
        query: str = "",
        gone: Callable[[], bool] | None = None,
    ) -> protocol.Reply:
        """See `Invokes.invoke`. 413 for what Lambda does not take, TemporaryError when it has no
        room for the call.

        An invocation that has begun cannot be ended: with a caller who leaves, and after the time,
        it goes on to its own end, and nobody asks again.
        """
        del gone
        whole = body if isinstance(body, bytes) else b"".join(body)
        payload = gateway_request(
            f"/run/{service}", whole, headers, secrets.token_hex(16), query=query
        )
        if len(payload) > (most := most_of_request()):
            return refusal(
                413,
                f"a request of {len(whole)} bytes is too large: Lambda takes {most}, encoded. "
                f"POST /job/{service} and objects in its input have no such limit",
            )
        try:
            with translated(f"invoke {service}"):
                answer, said = self._asked(service, payload, timeout)
        except TargetUnavailable as error:
            return unanswered(error, timeout)
        return reply_of(said, failed="FunctionError" in answer)

    def _group(self, service: str) -> str:
        return f"/aws/lambda/{self._function(service)}"

    def _function(self, service: str) -> str:
        if not self._pushed:
            return self._account.name_of(service)
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

        A message of the end of a job is deleted after `forget`, others at the next call. What was
        not recorded by then is told again soon, to whoever asks: another process may have the job.
        """
        url = self._account.queue("states")[0]
        self._tidy(url)
        updates: list[JobUpdate] = []
        while messages := self._receive(url):
            for message in messages:
                update = self._news(json.loads(message["Body"]))
                final = update is not None and update.state.final
                receipt = str(message["ReceiptHandle"])
                self._read.append(_Read(receipt, update.job if update and final else ""))
                updates += [update] if update else []
        updates += self._news_of_batch()
        return updates

    def forget(self, job: str) -> None:
        """The end of the job is recorded."""
        with self._lock:
            self._recorded.add(job)
        self._batch.forget(job)

    def _receive(self, url: str) -> Sequence[Mapping[str, Any]]:
        with translated("queue of job states"):
            answer = self._account.client("sqs").receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0
            )
        found: Sequence[Mapping[str, Any]] = answer.get("Messages", ())
        return found

    def _tidy(self, url: str) -> None:
        """Delete the messages that nobody needs any more, and put the others back."""
        with self._lock:
            recorded, self._recorded = self._recorded, set()
        done = [one.receipt for one in self._read if not one.job or one.job in recorded]
        left = [one.receipt for one in self._read if one.job and one.job not in recorded]
        self._read = []
        client = self._account.client("sqs")
        with translated("queue of job states"):
            for some in _tens(done):
                client.delete_message_batch(QueueUrl=url, Entries=some)
            for some in _tens(left):
                again = [{**one, "VisibilityTimeout": _AGAIN} for one in some]
                client.change_message_visibility_batch(QueueUrl=url, Entries=again)

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
        self._groups.put(done.job, done.log_group)
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

        CloudWatch lags behind: the end of the log of an invocation is waited for a few seconds.
        """
        if group := self._groups.get(job):
            yield from invocation_lines(self._account, group, job)
            yield from self._batch.logs(job)

    def logs_at(self, job: str, log: str) -> Iterator[str]:
        """See `FindsLogs`."""
        if log.startswith(GROUPS):
            yield from invocation_lines(self._account, log, job)
        else:
            yield from self._batch.logs_at(job, log)

    def close(self) -> None:
        """Nothing to stop on this machine."""


def _in_batch(done: Destination, batch_job: str) -> JobUpdate | None:
    """The job goes on in Batch; None when another invocation knows better how."""
    if not batch_job:
        return None
    state, log = JobState.RUNNING, done.log_group
    return JobUpdate(done.job, state, handle=batch_job, log=log, attempt=done.attempt)


def _tens(receipts: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    """As the queue takes them."""
    for start in range(0, len(receipts), 10):
        some = receipts[start : start + 10]
        yield [{"Id": str(number), "ReceiptHandle": one} for number, one in enumerate(some)]
