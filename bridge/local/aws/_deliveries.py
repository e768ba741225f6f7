"""What to ask of which service so that a queue, topic, function or event bus gets a message."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from bridge.errors import PermanentError

Request = tuple[str, str, dict[str, str], bytes]
"""The service, and path, headers and body of a POST to it."""


def delivery(target: str, body: str, attributes: Mapping[str, str]) -> Request:
    """The request for a target's ARN; PermanentError when nothing can be sent there."""
    service = (target.split(":") + [""] * 3)[2]
    made = _KINDS.get(service)
    if made is None:
        raise PermanentError(f"{target} is no queue, topic, function or event bus")
    return made(target, body, attributes)


def json_request(service: str, target: str, body: Mapping[str, Any]) -> Request:
    """A request to a service that speaks JSON; `target` is its X-Amz-Target."""
    headers = {"x-amz-target": target, "content-type": "application/x-amz-json-1.1"}
    return service, "/", headers, json.dumps(body).encode()


def _to_queue(arn: str, body: str, attributes: Mapping[str, str]) -> Request:
    account, _, name = arn.partition(":sqs:")[2].partition(":")[2].partition(":")
    typed = {k: {"DataType": "String", "StringValue": v} for k, v in attributes.items() if v}
    message = {
        "QueueUrl": f"http://sqs/{account}/{name}",
        "MessageBody": body,
        "MessageAttributes": typed,
    }
    return json_request("sqs", "AmazonSQS.SendMessage", message)


def _to_topic(arn: str, body: str, _: Mapping[str, str]) -> Request:
    form = urlencode({"Action": "Publish", "TopicArn": arn, "Message": body})
    return "sns", "/", {"content-type": "application/x-www-form-urlencoded"}, form.encode()


def _to_function(arn: str, body: str, _: Mapping[str, str]) -> Request:
    path = f"/2015-03-31/functions/{arn}/invocations"
    return "lambda", path, {"x-amz-invocation-type": "Event"}, body.encode()


def _to_bus(arn: str, body: str, _: Mapping[str, str]) -> Request:
    record = json.loads(body)
    ok = record["requestContext"]["condition"] == "Success"
    entry = {
        "Source": "lambda",
        "DetailType": f"Lambda Function Invocation Result - {'Success' if ok else 'Failure'}",
        "Detail": body,
        "EventBusName": arn,
        "Resources": [arn, record["requestContext"]["functionArn"]],
    }
    return json_request("events", "AWSEvents.PutEvents", {"Entries": [entry]})


_KINDS: Final[Mapping[str, Callable[[str, str, Mapping[str, str]], Request]]] = {
    "sqs": _to_queue,
    "sns": _to_topic,
    "lambda": _to_function,
    "events": _to_bus,
}
