"""A running endpoint with its clients, and a function that is a plain Runtime API client."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from bridge.local.aws import AwsEndpoint, Settings
from tests.waiting import eventually

FAST = Settings(
    environments=16,
    async_workers=4,
    idle=30.0,
    init_timeout=6.0,
    retry_delays=(0.02, 0.04),
    batch_workers=4,
    grace=0.5,
    job_timeout=1,
)
ROLE = "arn:aws:iam::000000000000:role/test"

# What the event says, the function does. It knows nothing but HTTP.
CLIENT = """
import http.client, json, os, subprocess, sys, time
from pathlib import Path
if os.environ.get("INIT") == "exit":
    print("no start", flush=True)
    sys.exit(9)
if os.environ.get("INIT") == "hang":
    time.sleep(600)
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
base = "/2018-06-01/runtime"
def post(path, body, headers={}):
    api.request("POST", base + path, body, headers)
    return api.getresponse().read()
if os.environ.get("INIT") == "error":
    post("/init/error", json.dumps({"errorType": "My.Init", "errorMessage": "bad start"}))
    sys.exit(1)
count = 0
while True:
    api.request("GET", base + "/invocation/next")
    answer = api.getresponse()
    event = json.loads(answer.read())
    number = answer.headers["Lambda-Runtime-Aws-Request-Id"]
    count += 1
    if not isinstance(event, dict):
        event = {"echo": event}
    if "say" in event:
        print(event["say"], flush=True)
    if "write" in event:
        with open(event["write"], "a") as f:
            f.write(number + "\\n")
    if "daemon" in event:
        code = "import os,time;os.setsid();open(%r,'w').write(str(os.getpid()));time.sleep(600)"
        subprocess.Popen([sys.executable, "-c", code % event["daemon"]])
        while not os.path.exists(event["daemon"]) or not Path(event["daemon"]).read_text():
            time.sleep(0.01)
    if "sleep" in event:
        time.sleep(event["sleep"])
    if "hold" in event:
        while os.path.exists(event["hold"]):
            time.sleep(0.01)
    if "eat" in event:
        eaten = bytearray(event["eat"])
        time.sleep(600)
    if "exit" in event:
        sys.exit(event["exit"])
    if event.get("fail"):
        body = {"errorType": "My.Error", "errorMessage": event["fail"]}
        post(f"/invocation/{number}/error", json.dumps(body),
             {"Lambda-Runtime-Function-Error-Type": "Unhandled"})
        continue
    reply = {
        "event": event, "count": count, "pid": os.getpid(),
        "headers": dict(answer.headers), "env": dict(os.environ),
    }
    if "text" in event:
        post(f"/invocation/{number}/response", event["text"])
    elif "size" in event:
        post(f"/invocation/{number}/response", '"' + "x" * event["size"] + '"')
    else:
        post(f"/invocation/{number}/response", json.dumps(reply))
"""


class Aws:
    """An endpoint and its clients."""

    def __init__(self, endpoint: AwsEndpoint, folder: Path) -> None:
        self.endpoint = endpoint
        self.folder = folder
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self.elsewhere(service, "us-east-1")
        return self._clients[service]

    def elsewhere(self, service: str, region: str) -> Any:
        """A client of another region."""
        env = self.endpoint.environment()
        return boto3.client(
            service,
            endpoint_url=self.endpoint.url,
            region_name=region,
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            # The endpoint must refuse by itself what a client would not even send.
            config=Config(
                retries={"total_max_attempts": 1}, read_timeout=120, parameter_validation=False
            ),
        )

    def function(
        self, name: str, command: list[str] | None = None, image: str = "none", **settings: Any
    ) -> str:
        """An image function that runs CLIENT; its name."""
        program = self.folder / "client.py"
        program.write_text(CLIENT)
        config = {"EntryPoint": command or [sys.executable, str(program)], "Command": ["handler"]}
        self.client("lambda").create_function(
            FunctionName=name,
            Role=ROLE,
            PackageType="Image",
            Code={"ImageUri": image},
            ImageConfig=config,
            **{"Timeout": 30, "MemorySize": 512, **settings},
        )
        return name

    def invoke(self, name: str, event: Any, **settings: Any) -> tuple[Any, str]:
        """The decoded answer and the function error or ""."""
        answer = self.client("lambda").invoke(
            FunctionName=name, Payload=json.dumps(event), **settings
        )
        body = answer["Payload"].read()
        return (json.loads(body) if body else None), answer.get("FunctionError", "")

    def lines(self, group: str, stream: str = "") -> list[str]:
        """What is in a log group, or in one stream."""
        logs = self.client("logs")
        names = [stream] if stream else []
        try:
            events = logs.filter_log_events(
                logGroupName=group, **({"logStreamNames": names} if names else {})
            )["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in events]

    def messages(self, queue: str, count: int) -> list[Any]:
        """The bodies of the next messages of a queue, waiting for them."""
        found: list[Any] = []

        def enough() -> bool:
            got = self.client("sqs").receive_message(
                QueueUrl=queue,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=0,
                MessageAttributeNames=["All"],
            )
            for message in got.get("Messages", ()):
                body = json.loads(message["Body"])
                found.append((body, message.get("MessageAttributes", {})))
                self.client("sqs").delete_message(
                    QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"]
                )
            return len(found) >= count

        eventually(enough)
        return found

    def queue(self, name: str) -> tuple[str, str]:
        """A new queue: URL and ARN."""
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, attributes["Attributes"]["QueueArn"]


@contextlib.contextmanager
def running(folder: Path, **settings: Any) -> Iterator[Aws]:
    """An endpoint for as long as the block lasts."""
    with AwsEndpoint(folder / "aws", **{"settings": FAST, **settings}) as endpoint:
        yield Aws(endpoint, folder)


def alive(pid: int) -> bool:
    """True while a process runs and is no zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"
