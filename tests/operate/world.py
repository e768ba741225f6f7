"""Services deployed on the local AWS endpoint, written down as stacks do, with a small dispatcher.

The dispatcher takes events of S3 from the queue, submits jobs, and records their news: what the
real one does, without deciding anything. Commands run as real processes.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bridge.dispatch import JobRecord, NewJob
from bridge.dispatch.model import Change
from bridge.dispatch.table import JobTable
from bridge.events import decode, job_id
from bridge.fdl import dump, parse
from bridge.fdl.model import Document, Service
from bridge.local.aws import AwsEndpoint
from bridge.local.aws import Settings as EndpointSettings
from bridge.pipeline import Routes
from bridge.scheduler import as_json, decide, snapshot_of
from bridge.targets import Job, JobState, JobUpdate, Target
from bridge.targets.aws import Account, AccountSettings, BatchTarget, Buckets, LambdaTarget
from bridge.targets.render import service_document
from tests.command import Done, bridge
from tests.waiting import eventually

BUCKET = "day-two"
SCRIPTS = {
    "shout": 'echo "shouting $(basename "$INPUT_FILE_PATH")"\n'
    'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"\n',
    "count": 'echo "counting"\nwc -c < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/count.txt"\n',
    "answer": 'case "$(head -c 4 "$INPUT_FILE_PATH")" in\n'
    'FILE) cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/file" ;;\n'
    '*) printf "got:"; cat "$INPUT_FILE_PATH" ;;\n'
    "esac\n",
    "broken": 'echo "about to break"\nexit 7\n',
    "broken-batch": 'echo "breaking in batch"\nexit 9\n',
    "slow": 'echo "starting"\nsleep 6\necho "done at last" | tee "$TMP_OUTPUT_DIR/end.txt"\n',
}
_ITEM = """
  - lambda:
      name: {name}
      memory: 256
      timeout: {timeout}
      execution_mode: {mode}
      init_script: {name}.sh
      container: {{image: 'oscar-bridge/busybox:local', timeout_threshold: 2}}
      {paths}
    batch: {{platform: FARGATE, vcpus: 0.25, memory: 512}}
"""
_PATHS = """input:
      - {{storage_provider: s3, path: day-two/{name}/in{more}}}
      output:
      - {{storage_provider: s3, path: day-two/{name}/out}}"""


def _item(name: str, mode: str, *, timeout: int = 60, paths: bool = True, more: str = "") -> str:
    written = _PATHS.format(name=name, more=more) if paths else ""
    return _ITEM.format(name=name, mode=mode, timeout=timeout, paths=written)


FDL = "functions:\n  aws:" + "".join(
    (
        _item("shout", "lambda", more=", suffix: [.txt]"),
        _item("count", "batch"),
        _item("answer", "lambda", paths=False),
        _item("broken", "lambda"),
        _item("broken-batch", "batch"),
        _item("slow", "lambda-batch", timeout=5),
    )
)


@dataclass
class World:
    """The account, its services, and the command."""

    endpoint: AwsEndpoint
    account: Account
    table: JobTable
    document: Document
    targets: Mapping[str, Target]
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        return self.endpoint.environment()

    def run(self, *arguments: str | Path) -> Done:
        """The command, against the endpoint."""
        return bridge(*arguments, env=self.env)

    def ok(self, *arguments: str | Path) -> Any:
        """What the command printed as JSON; it must succeed."""
        done = self.run(*arguments, "--json")
        assert done.status == 0, (done.err, done.out)
        return done.json

    def file(self, name: str, data: bytes = b"data") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def client(self, service: str) -> Any:
        return self.account.client(service)

    def objects(self, prefix: str) -> dict[str, bytes]:
        s3 = self.client("s3")
        found = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return {
            one["Key"]: s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read() for one in found
        }

    def ended(self, service: str, name: str, *, within: float = 90) -> JobRecord:
        """The ended job of an object that is put now."""
        before = {job.id for job in self.table.jobs(service)}
        key = f"{service}/in/{name}"
        self.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"some data")

        def found() -> JobRecord | None:
            new = (job for job in self.table.jobs(service) if job.id not in before)
            return next((job for job in new if job.event.key == key and job.state.final), None)

        return eventually(found, within)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """All services deployed, and their dispatcher running, for as long as the block lasts."""
    settings = EndpointSettings(job_timeout=1)
    with AwsEndpoint(folder / "aws", settings=settings) as endpoint:
        keys = endpoint.environment()
        account = Account(
            AccountSettings(
                endpoint=endpoint.url,
                credentials={
                    "aws_access_key_id": keys["AWS_ACCESS_KEY_ID"],
                    "aws_secret_access_key": keys["AWS_SECRET_ACCESS_KEY"],
                },
                role="arn:aws:iam::000000000000:role/test",
                poll=0.1,
            )
        )
        account.prepare()
        account.ensure_bucket(BUCKET)
        table = JobTable(account)
        table.create()
        document = parse(FDL, read_script=lambda path: SCRIPTS[path.removesuffix(".sh")])
        targets = _deploy(account, document)
        made = World(endpoint, account, table, document, targets, folder)
        stop = threading.Event()
        thread = threading.Thread(target=_dispatch, args=(made, stop), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            stop.set()
            thread.join(30)


def _deploy(account: Account, document: Document) -> dict[str, Target]:
    functions = LambdaTarget(document.targets["aws-lambda"], account, {})
    batch = BatchTarget(document.targets["aws-batch"], account, {})
    on_batch = [one for one in document.services if one.execution_mode == "batch"]
    batch.deploy(on_batch)
    functions.deploy([one for one in document.services if one not in on_batch])
    for service in document.services:
        write_down(account, document, service)
    (rules,) = Routes(document).inputs().values()
    Buckets(account).ensure_rules(BUCKET, rules)
    return {"aws-lambda": functions, "aws-batch": batch}


def write_down(account: Account, document: Document, service: Service) -> None:
    """The service's document and its parameter, as its stack makes them."""
    alone = replace(document, services=(service,))
    value = {
        "service": service_document(service, {}),
        "script": service.script_text,
        "fdl": dump(alone),
    }
    url = account.put(f"documents/{service.name}.json", json.dumps(value).encode())
    mode = service.execution_mode
    parameter = {
        "service": service.name,
        "deployment": "day-two",
        "document": url,
        "function": "" if mode == "batch" else service.name,
        "queue": "" if mode == "lambda" else f"{account.settings.name}-fargate",
        "definition": "" if mode == "lambda" else service.name,
        "secret": "",
        "targets": ["aws-batch" if mode == "batch" else "aws-lambda"],
    }
    account.client("ssm").put_parameter(
        Name=f"/{account.settings.name}/services/{service.name}",
        Value=json.dumps(parameter),
        Type="String",
        Overwrite=True,
    )


def _dispatch(world: World, stop: threading.Event) -> None:
    routes = Routes(world.document)
    events = world.account.queue("events")[0]
    while not stop.is_set():
        for event in (e for body in _messages(world, events) for e in decode(body)):
            for service in routes.match("s3.default", event.bucket, event.key):
                new = NewJob(job_id(service, event), service, event)
                world.table.accept(new, time.time())
        for job in world.table.open_since(time.time()):
            if job.state is JobState.ACCEPTED:
                _submit(world, NewJob(job.id, job.service, job.event))
        for target in world.targets.values():
            for update in target.poll():
                _record(world, update)
        stop.wait(0.1)


def _messages(world: World, url: str) -> list[Any]:
    """Bodies of a queue, taken from it."""
    client = world.client("sqs")
    found = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    for message in found:
        client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return [json.loads(message["Body"]) for message in found]


def _submit(world: World, new: NewJob) -> None:
    service = world.document.service(new.service)
    decision = decide(service, new.event, snapshot_of(world.document))
    placed = Change(
        new.id,
        1,
        JobState.PLACED,
        time.time(),
        target=decision.target,
        decision=as_json(decision),
    )
    world.table.change(placed)
    handle = world.targets[decision.target].submit(Job(new.id, new.service, new.event))
    world.table.change(Change(new.id, 1, JobState.SUBMITTED, time.time(), handle=handle))


def _record(world: World, update: JobUpdate) -> None:
    world.table.change(
        Change(
            update.job,
            1,
            update.state,
            time.time(),
            handle=update.handle or None,
            started=update.started,
            ended=update.ended,
            exit_code=update.exit_code,
            reason=update.reason or None,
            report=update.report or None,
            log=update.log or None,
        )
    )
