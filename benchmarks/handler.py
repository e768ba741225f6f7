"""The dispatcher's handler on AWS: events per second of one process, without any network.

boto3 does all its work, but every answer comes at once. So the baselines are an empty handler, and
one that makes the same four calls for each event and nothing else.
"""

from __future__ import annotations

import io
import itertools
import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from _measure import Measure, report
from botocore.awsrequest import AWSResponse
from chalice.app import Chalice

from bridge.targets.aws import Account, AccountSettings
from lambda_runtime.dispatcher import Dispatcher, Environment, World

EVENTS = 1000
TOGETHER = 10
KEYS = {"aws_access_key_id": "AKIABENCHMARK", "aws_secret_access_key": "not-a-secret"}
FDL = """
functions:
  bridge:
  - name: grey
    image: docker.io/library/busybox:1.36
    cpu: "0.25"
    memory: 256Mi
    script: script.sh
    input: [{storage_provider: s3, path: data/in}]
    placement: {targets: %s}
"""
SERVICE = {
    "service": "grey",
    "document": "s3://work/grey.json",
    "function": "grey",
    "queue": "queue",
    "definition": "grey",
}
sequence = itertools.count(1)


class Raw(io.BytesIO):
    """What urllib3 would give."""

    def stream(self, **_: object) -> Iterator[bytes]:
        while found := self.read(65536):
            yield found


class Instant(Account):
    """An account that answers at once. `known` makes every job one that was accepted before."""

    def __init__(self, targets: tuple[str, ...], *, known: bool = False) -> None:
        settings = AccountSettings(name="bench", bucket="work", credentials=KEYS)
        super().__init__(settings)
        document = {"fdl": FDL % json.dumps(list(targets)), "script": "true"}
        value = json.dumps({**SERVICE, "targets": list(targets)})
        parameter = {"Name": "/bench/services/grey", "Value": value}
        refusal = {"__type": "com.amazonaws#ConditionalCheckFailedException", "message": "known"}
        self._answers: dict[str, tuple[int, dict[str, Any]]] = {
            "GetParametersByPath": (200, {"Parameters": [parameter]}),
            "GetObject": (200, document),
            "PutItem": (400, refusal) if known else (200, {}),
            "UpdateItem": (200, {}),
            "Query": (200, {"Items": []}),
            "Invoke": (202, {}),
        }

    def _make_client(self, service: str, **settings: Any) -> Any:
        client = super()._make_client(service, **settings)
        client.meta.events.register("before-send", self._answer)
        return client

    def _answer(self, request: Any, event_name: str, **_: Any) -> AWSResponse:
        status, value = self._answers[event_name.rpartition(".")[2]]
        body = json.dumps(value).encode()
        headers = {"x-amzn-requestid": "1", "content-length": str(len(body))}
        return AWSResponse(request.url, status, headers, Raw(body))


def batches() -> list[dict[str, Any]]:
    """Invocations by SQS with objects that were not seen before."""
    records = [
        {
            "messageId": str(number),
            "body": json.dumps(created(f"in/{next(sequence)}.txt")),
            "attributes": {"ApproximateReceiveCount": "1"},
            "eventSource": "aws:sqs",
        }
        for number in range(EVENTS)
    ]
    return [{"Records": records[at : at + TOGETHER]} for at in range(0, EVENTS, TOGETHER)]


def created(key: str) -> dict[str, Any]:
    """What S3 tells EventBridge."""
    item = {"key": key, "size": 10_000, "etag": "e1", "sequencer": "1"}
    return {
        "detail-type": "Object Created",
        "source": "aws.s3",
        "time": "2026-11-22T00:00:00Z",
        "detail": {"bucket": {"name": "data"}, "object": item, "reason": "PutObject"},
    }


def measured(name: str, handle: Callable[[Any], object], note: str = "") -> Measure:
    """Seconds of an event, after some that warm up."""
    handle(batches()[0])
    work = batches()
    start, cpu = time.perf_counter(), time.process_time()
    for one in work:
        handle(one)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    note = f"{EVENTS / seconds:,.0f} events/s" + (f", {note}" if note else "")
    return Measure(name, seconds / EVENTS, runs=EVENTS, note=note, cpu=cpu / EVENTS)


def empty() -> Callable[[Any], object]:
    """A Chalice function that does nothing."""
    app = Chalice(app_name="empty")

    @app.lambda_function()
    def nothing(event: Any, context: Any) -> Any:
        return {"batchItemFailures": []}

    return lambda event: nothing(event, None)


def bare() -> Callable[[Any], object]:
    """The calls that an event needs, and nothing else."""
    account = Instant(("aws-lambda",))
    table, functions = account.client("dynamodb"), account.client("lambda")

    def handle(event: Any) -> None:
        for record in event["Records"]:
            key = {"job": {"S": record["messageId"]}}
            table.put_item(TableName="jobs", Item={**key, "event": {"S": record["body"]}})
            table.update_item(TableName="jobs", Key=key)
            functions.invoke(FunctionName="grey", InvocationType="Event", Payload=b"{}")
            table.update_item(TableName="jobs", Key=key)

    return handle


def ours(*targets: str, known: bool = False) -> Callable[[Any], object]:
    """The dispatcher's handler."""
    where = Environment("bench", "jobs", "work", "states", "dead", "us-east-1")
    world = World(where, account=Instant(targets, known=known))
    # Its claims are not boto3's, so they would go to the network.
    world.batches.submit = lambda job: job.id
    return Dispatcher(world).events


def main() -> None:
    """One table."""
    logging.disable(logging.CRITICAL)
    rows = [
        measured("empty handler", empty()),
        measured("four bare calls", bare(), "one after the other"),
        measured("accepted, placed, submitted", ours("aws-lambda")),
        measured(
            "the same, of two targets", ours("aws-lambda", "aws-batch"), "no submits to Batch"
        ),
        measured("delivered before", ours("aws-lambda", known=True)),
    ]
    report("The handler on AWS: seconds per event, ten to an invocation", rows, "four bare calls")
    first, third = rows[0].seconds, rows[2].seconds
    print(f"  to the empty handler: {third / first:,.0f} times")


if __name__ == "__main__":
    main()
