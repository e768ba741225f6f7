"""A dispatcher in an account whose services are written down, and whose submits are only noted."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from bridge.dispatch import JobRecord, Settings
from bridge.fdl.model import TargetSpec
from bridge.targets import Job
from bridge.targets.aws import Account, BatchTarget, LambdaTarget
from lambda_runtime.dispatcher import Dispatcher, Environment, World

FDL = """
functions:
  bridge:
  - name: {name}
    image: docker.io/library/busybox:1.36
    cpu: "0.25"
    memory: 256Mi
    script: script.sh
    input: [{{storage_provider: s3, path: "{path}/in"}}]
    output: [{{storage_provider: s3, path: "{path}/out"}}]
    placement: {{targets: {targets}, fallback: {fallback}}}
"""
HYBRID = """
functions:
  aws:
  - lambda:
      name: {name}
      runtime: image
      memory: 256
      timeout: 60
      execution_mode: lambda-batch
      init_script: script.sh
      container: {{image: docker.io/library/busybox:1.36}}
      input: [{{storage_provider: s3, path: "{path}/in"}}]
"""
QUICK = Settings(max_submits=3, max_attempts=2, backoff=1.0, backoff_cap=4.0)
LETTERS = "lab-events-dead"


class Killed(BaseException):
    """The end of a process: nothing of ours may catch it."""


class Noted:
    """The submits of a target: jobs in order, after the faults that are queued."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.faults: list[Exception] = []
        self.asked = 0
        self._lock = threading.Lock()

    def submit(self, job: Job) -> str:
        with self._lock:
            self.asked += 1
            if self.faults:
                raise self.faults.pop(0)
            self.jobs.append(job)
            return f"handle-{len(self.jobs)}"

    @property
    def runs(self) -> list[tuple[str, int]]:
        return [(job.id, job.attempt) for job in self.jobs]


class Lambdas(LambdaTarget):
    """Only the submits are not Lambda's."""

    def __init__(self, account: Account) -> None:
        super().__init__(TargetSpec("aws-lambda", "lambda"), account, {})
        self.noted = Noted()

    def submit(self, job: Job) -> str:
        return self.noted.submit(job)


class Batches(BatchTarget):
    """Only the submits and descriptions are not Batch's."""

    def __init__(self, account: Account) -> None:
        super().__init__(TargetSpec("aws-batch", "batch"), account, {})
        self.noted = Noted()
        self.described: dict[str, Mapping[str, Any]] = {}

    def submit(self, job: Job) -> str:
        return self.noted.submit(job)

    def describe(self, handles: Any) -> Any:
        return iter([self.described[one] for one in handles if one in self.described])


class Queue:
    """What Batch itself has: jobs that were submitted and wait, and those that were cancelled."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.cancelled: list[str] = []
        self.running: set[str] = set()
        self._lock = threading.Lock()

    def submit_job(self, **call: Any) -> dict[str, str]:
        with self._lock:
            self.jobs.append({**call, "jobId": f"b-{len(self.jobs)}"})
            return {"jobId": self.jobs[-1]["jobId"]}

    def list_jobs(self, *, filters: list[dict[str, Any]], **_: Any) -> dict[str, Any]:
        (name,) = filters[0]["values"]
        found = [one for one in self.jobs if one["jobName"] == name]
        return {"jobSummaryList": [{"jobId": one["jobId"], "status": "RUNNABLE"} for one in found]}

    def cancel_job(self, *, jobId: str, **_: Any) -> None:
        self.cancelled.append(jobId)

    def describe_jobs(self, *, jobs: list[str]) -> dict[str, Any]:
        names = {one["jobId"]: one["jobName"] for one in self.jobs}
        return {"jobs": [self.described(one, names[one.partition(":")[0]]) for one in jobs]}

    def described(self, handle: str, name: str) -> dict[str, Any]:
        status = "FAILED" if handle in self.cancelled else "RUNNABLE"
        status = "RUNNING" if handle in self.running else status
        index = handle.partition(":")[2]
        shape = {"arrayProperties": {"index": int(index), "size": 9}} if index else {}
        return {"jobId": handle, "jobName": name, "status": status, **shape}


class Lab:
    """An account with the dispatcher's resources. `now` is its clock.

    With a `queue` its Batch target is the real one, and that stands behind it.
    """

    def __init__(self, account: Account, settings: Settings = QUICK) -> None:
        self.account = account
        self.settings = settings
        self.now = 1_800_000_000.0
        sqs = account.client("sqs")
        self.states = sqs.create_queue(QueueName="lab-states")["QueueUrl"]
        self.dead = sqs.create_queue(QueueName=LETTERS)["QueueUrl"]
        account.ensure_bucket(account.bucket)
        self.environment = Environment(
            prefix=account.settings.name,
            table="lab-jobs",
            bucket=account.bucket,
            states=self.states,
            dead=self.dead,
            region=account.region,
            tokens="lab/tokens",
        )
        self.numbers = itertools.count(1)
        self.queue: Queue | None = None
        self.restart()
        self.world.table.create()

    def restart(self) -> None:
        """A new process: nothing is remembered but what AWS knows."""
        self.world = World(
            self.environment,
            account=self.account,
            settings=self.settings,
            clock=lambda: self.now,
        )
        self.lambdas, self.batches = Lambdas(self.account), Batches(self.account)
        self.world.lambdas, self.world.batches = self.lambdas, self.batches
        if self.queue is not None:
            self.account._clients["batch"] = self.queue
            spec = TargetSpec("aws-batch", "batch")
            self.world.batches = BatchTarget(spec, self.account, {})
        self.world.registry._least = 0.0
        self.dispatcher = Dispatcher(self.world)

    def deploy(
        self,
        name: str,
        *,
        fdl: str = FDL,
        targets: tuple[str, ...] = ("aws-lambda",),
        fallback: tuple[str, ...] = (),
        sides: tuple[str, ...] = ("lambda", "batch"),
        path: str = "",
        arrays: bool = False,
    ) -> str:
        """Write a service down as its stack does; its name."""
        text = fdl.format(
            name=name,
            path=path or f"data/{name}",
            targets=json.dumps(list(targets)),
            fallback=json.dumps(list(fallback)),
        )
        document = {"service": {"name": name}, "script": "true", "fdl": text}
        number = next(self.numbers)
        url = self.account.put(f"services/{number}.json", json.dumps(document).encode())
        batch = "batch" in sides
        value = {
            "service": name,
            "deployment": "lab",
            "document": url,
            "function": name if "lambda" in sides else "",
            "queue": "lab-queue" if batch else "",
            "definition": name if batch else "",
            "arrays": arrays,
            "secret": "",
            "targets": list(targets) + [one for one in fallback if one not in targets],
        }
        self.account.client("ssm").put_parameter(
            Name=f"/{self.environment.prefix}/services/{name}",
            Value=json.dumps(value),
            Type="String",
            Overwrite=True,
        )
        return name

    def remove(self, name: str) -> None:
        self.account.client("ssm").delete_parameter(
            Name=f"/{self.environment.prefix}/services/{name}"
        )

    # --- asking -----------------------------------------------------------------------------

    def jobs(self) -> list[JobRecord]:
        return self.world.table.jobs()

    def job(self) -> JobRecord:
        """The only one."""
        (found,) = self.jobs()
        whole = self.world.table.job(found.id)
        assert whole is not None
        return whole

    def letters(self) -> list[dict[str, Any]]:
        return [json.loads(one) for one in self.messages(self.dead)]

    def messages(self, url: str, wait: int = 0) -> list[str]:
        """The bodies in a queue, taken out of it."""
        sqs, found = self.account.client("sqs"), []
        while got := sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=wait
        ).get("Messages"):
            for message in got:
                found.append(message["Body"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    @property
    def runs(self) -> list[tuple[str, int]]:
        return self.lambdas.noted.runs + self.batches.noted.runs


def created(key: str, *, bucket: str = "data", sequencer: str = "1") -> dict[str, Any]:
    """What S3 tells EventBridge of a new object."""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "123456789012",
        "time": "2026-11-22T00:00:00Z",
        "region": "us-east-1",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {"key": key, "size": 5, "etag": "e1", "sequencer": sequencer},
            "request-id": "C3D13FE58DE4C810",
            "requester": "123456789012",
            "reason": "PutObject",
        },
    }


def burst(number: int, *services: str) -> list[dict[str, Any]]:
    """So many new objects for each service."""
    return [created(f"{name}/in/{one}") for name in services for one in range(number)]


def queued(*bodies: Any, number: int = 1) -> dict[str, Any]:
    """An invocation by SQS. `number` counts deliveries."""
    return {
        "Records": [
            {
                "messageId": f"message-{place}",
                "receiptHandle": "handle",
                "body": body if isinstance(body, str) else json.dumps(body),
                "attributes": {"ApproximateReceiveCount": str(number)},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:lab-events",
                "awsRegion": "us-east-1",
            }
            for place, body in enumerate(bodies)
        ]
    }


def failed(answer: Mapping[str, Any]) -> list[str]:
    """The messages that come again."""
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


def ended(job: JobRecord, *, error: str = "", handle: str = "") -> dict[str, Any]:
    """What Lambda sends to a function's destination."""
    response: dict[str, Any] = {"statusCode": 200, "executedVersion": "$LATEST"}
    if error:
        response["functionError"] = "Unhandled"
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{job.service}:$LATEST"
    return {
        "version": "1.0",
        "timestamp": "2026-11-22T00:00:00.000Z",
        "requestContext": {
            "requestId": handle or job.handle,
            "functionArn": arn,
            "condition": "RetriesExhausted" if error else "Success",
            "approximateInvokeCount": 1,
        },
        "requestPayload": {"event": {}, "job_id": job.id, "attempt": job.attempt},
        "responseContext": response,
        "responsePayload": {"errorMessage": error, "errorType": "ScriptError"}
        if error
        else {"statusCode": 200},
    }


def batch_event(job: JobRecord, status: str, **container: Any) -> dict[str, Any]:
    """What EventBridge sends of a Batch job."""
    return {
        "version": "0",
        "detail-type": "Batch Job State Change",
        "source": "aws.batch",
        "detail": {
            "jobName": job.id,
            "jobId": job.handle,
            "jobQueue": "arn:aws:batch:us-east-1:123456789012:job-queue/lab-queue",
            "status": status,
            "container": {"logStreamName": "stream", **container},
        },
    }


def report(lab: Lab, job: JobRecord, state: str = "succeeded", **more: Any) -> None:
    """What a supervisor leaves."""
    value = {
        "job": job.id,
        "attempt": job.attempt,
        "service": job.service,
        "state": state,
        "exit_code": 0 if state == "succeeded" else 3,
        "reason": "" if state == "succeeded" else "the script ended with 3",
        "started": lab.now,
        "ended": lab.now + 1,
        "outputs": [],
        **more,
    }
    lab.account.put(f"reports/{job.id}.json", json.dumps(value).encode())


Deploy = Callable[..., str]
