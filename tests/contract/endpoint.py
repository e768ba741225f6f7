"""An AWS endpoint as the contract sees it: where it is, who it is for, what it leaves behind."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.contract.program import FUNCTION
from tests.waiting import eventually

IMAGE = "oscar-bridge/python:local"
OTHER_IMAGE = "oscar-bridge/busybox:local"
REGION = "us-east-1"


@dataclass(frozen=True)
class Mark:
    """An object that a function or a job writes or waits for, by URLs that need no credentials."""

    aws: Endpoint
    key: str

    @property
    def put(self) -> str:
        return self._url("put_object")

    @property
    def get(self) -> str:
        return self._url("get_object")

    def release(self) -> None:
        """Let go on whoever holds."""
        self.aws.client("s3").put_object(Bucket=self.aws.bucket, Key=self.key, Body=b"go")

    def text(self) -> str | None:
        """What was written, None as long as nothing was."""
        s3 = self.aws.client("s3")
        try:
            return s3.get_object(Bucket=self.aws.bucket, Key=self.key)["Body"].read().decode()
        except s3.exceptions.NoSuchKey:
            return None

    def _url(self, operation: str) -> str:
        where = {"Bucket": self.aws.bucket, "Key": self.key}
        return self.aws.client("s3").generate_presigned_url(operation, Params=where)


@dataclass
class Endpoint:
    """`kind` is `process` or `container` (ours), `moto`, or `given` (by URL).

    `program` starts the contract's function in `image`; `patience` is how long, in seconds, an
    effect may take to show.
    """

    kind: str
    url: str
    key: str
    secret: str
    account: str
    image: str = IMAGE
    program: list[str] = field(default_factory=lambda: ["python3", "-c", FUNCTION])
    patience: float = 60.0
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def bounded(self) -> bool:
        """True for ours, which run few things at once whatever they are asked for."""
        return self.kind in {"process", "container"}

    @cached_property
    def job_name(self) -> str:
        """The name of all jobs that are submitted to it."""
        return name("job")

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.url,
                region_name=REGION,
                aws_access_key_id=self.key,
                aws_secret_access_key=self.secret,
                # The endpoint must refuse by itself what this client would not even send.
                config=Config(
                    retries={"total_max_attempts": 1},
                    read_timeout=120,
                    parameter_validation=False,
                    signature_version="s3v4" if service == "s3" else None,
                    s3={"addressing_style": "path"},
                ),
            )
        return self._clients[service]

    @cached_property
    def bucket(self) -> str:
        """For the marks."""
        return self.new_bucket()

    @cached_property
    def role(self) -> str:
        """A role that functions and jobs may take."""
        who = ["lambda.amazonaws.com", "batch.amazonaws.com", "ecs-tasks.amazonaws.com"]
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": who}}
            ],
        }
        answer = self.client("iam").create_role(
            RoleName=name("role"), AssumeRolePolicyDocument=json.dumps(trust)
        )
        return answer["Role"]["Arn"]

    def new_bucket(self) -> str:
        bucket = name("bucket")
        self.client("s3").create_bucket(Bucket=bucket)
        return bucket

    def mark(self) -> Mark:
        return Mark(self, name("mark"))

    def eventually(self, condition: Callable[[], Any], seconds: float | None = None) -> Any:
        """The first true answer."""
        return eventually(condition, seconds or self.patience)

    # Functions

    def function(self, image: str = "", **settings: Any) -> str:
        """An image function that runs the contract's program; its name."""
        function = name("function")
        self.client("lambda").create_function(
            **{
                "FunctionName": function,
                "Role": self.role,
                "PackageType": "Image",
                "Code": {"ImageUri": image or self.image},
                "ImageConfig": {"EntryPoint": self.program, "Command": ["the.handler"]},
                "Timeout": 30,
                "MemorySize": 256,
                **settings,
            }
        )
        return function

    def invoke(self, function: str, event: Any, **settings: Any) -> tuple[Any, str]:
        """The decoded answer, and the function error or ""."""
        answer = self.client("lambda").invoke(
            FunctionName=function, Payload=json.dumps(event), **settings
        )
        body = answer["Payload"].read()
        return (json.loads(body) if body else None), answer.get("FunctionError", "")

    def function_lines(self, function: str) -> list[str]:
        return self.lines(f"/aws/lambda/{function}")

    # Queues and logs

    def queue(self, service: str = "s3.amazonaws.com") -> tuple[str, str]:
        """A queue that a service may send to: URL and ARN."""
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=name("queue"))["QueueUrl"]
        names = ["QueueArn"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]["QueueArn"]
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": service},
                    "Action": "sqs:SendMessage",
                    "Resource": arn,
                }
            ],
        }
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
        return url, arn

    def received(self, queue: str) -> list[dict[str, Any]]:
        """The messages that are there now, taken out of the queue; `Body` is decoded."""
        found = self.client("sqs").receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        for message in found.get("Messages", ()):
            self.client("sqs").delete_message(
                QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"]
            )
        return [one | {"Body": json.loads(one["Body"])} for one in found.get("Messages", ())]

    def messages(self, queue: str, count: int = 1) -> list[dict[str, Any]]:
        """The next messages, waiting for them."""
        found: list[dict[str, Any]] = []

        def enough() -> bool:
            found.extend(self.received(queue))
            return len(found) >= count

        self.eventually(enough)
        return found

    def lines(self, group: str, stream: str = "") -> list[str]:
        """What is in a log group, or in one of its streams."""
        logs = self.client("logs")
        pages = logs.get_paginator("filter_log_events")
        names = {"logStreamNames": [stream]} if stream else {}
        try:
            return [
                event["message"].rstrip("\n")
                for page in pages.paginate(logGroupName=group, **names)
                for event in page["events"]
            ]
        except logs.exceptions.ResourceNotFoundException:
            return []


def name(kind: str) -> str:
    """A new name that every service takes."""
    return f"contract-{kind}-{uuid.uuid4().hex[:12]}"


def code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def message(error: ClientError) -> str:
    return str(error.response["Error"].get("Message", ""))


def on_this_machine() -> list[str]:
    """How the contract's function starts as a process of this machine."""
    return [sys.executable, "-c", FUNCTION]
