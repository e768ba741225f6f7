"""The dispatcher on the local AWS endpoint, where functions and Batch jobs really run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from bridge.dispatch import JobRecord, Settings
from bridge.fdl.model import ProviderRef, Resources, Service, StoragePath, TargetSpec
from bridge.local.aws import AwsEndpoint
from bridge.local.aws import Settings as EndpointSettings
from bridge.targets.aws import Account, AccountSettings, BatchTarget, LambdaTarget
from lambda_runtime.dispatcher import Dispatcher, Environment, World
from tests.lambda_runtime.dispatcher.world import FDL, HYBRID, queued
from tests.waiting import eventually

DATA = "data"
QUICK = Settings(max_submits=3, max_attempts=2, backoff=1.0, backoff_cap=2.0, patience=0.2)


class Real:
    """An account with the dispatcher's resources, its queues delivered by `turn`."""

    def __init__(self, account: Account) -> None:
        self.account = account
        account.prepare()
        account.ensure_bucket(DATA)
        sqs = account.client("sqs")
        self.states, states_arn = account.queue("states")
        self.events = sqs.create_queue(QueueName="objects")["QueueUrl"]
        self.dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
        self.world = World(
            Environment(
                prefix=account.settings.name,
                table="jobs",
                bucket=account.bucket,
                states=self.states,
                dead=self.dead,
                region=account.region,
            ),
            account=account,
            settings=QUICK,
        )
        self.world.table.create()
        self.dispatcher = Dispatcher(self.world)
        self._follow_buckets()
        rules = account.client("events")
        rules.put_rule(
            Name="batch", EventPattern=json.dumps({"detail-type": ["Batch Job State Change"]})
        )
        rules.put_targets(Rule="batch", Targets=[{"Id": "states", "Arn": states_arn}])

    def _follow_buckets(self) -> None:
        s3, rules = self.account.client("s3"), self.account.client("events")
        s3.put_bucket_notification_configuration(
            Bucket=DATA, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        pattern = {
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {"bucket": {"name": [DATA]}, "object": {"key": [{"wildcard": "*/in/*"}]}},
        }
        rules.put_rule(Name="objects", EventPattern=json.dumps(pattern))
        arn = self.account.client("sqs").get_queue_attributes(
            QueueUrl=self.events, AttributeNames=["QueueArn"]
        )["Attributes"]["QueueArn"]
        rules.put_targets(Rule="objects", Targets=[{"Id": "events", "Arn": arn}])

    def deploy(
        self,
        name: str,
        script: str,
        *,
        mode: str = "lambda",
        targets: tuple[str, ...] = ("aws-lambda",),
        timeout: float = 30.0,
        placement: str = "",
    ) -> None:
        """A service on the sides that its targets need, written down as a stack does."""
        path = StoragePath(ProviderRef("s3"), f"{DATA}/{name}/in")
        service = Service(
            name=name,
            origin="bridge",
            image="none",
            resources=Resources(cpu=Decimal("0.25"), memory=256 << 20),
            script_text=script,
            inputs=(path,),
            outputs=(replace(path, path=f"{DATA}/{name}/out"),),
            timeout=timeout,
            execution_mode="lambda-batch" if mode == "lambda-batch" else None,
        )
        lambdas = LambdaTarget(TargetSpec("aws-lambda", "lambda"), self.account, {})
        batches = BatchTarget(TargetSpec("aws-batch", "batch"), self.account, {})
        both = mode == "lambda-batch"
        if "aws-lambda" in targets:
            lambdas.deploy([service])
        if "aws-batch" in targets:
            batches.deploy([service])
        fdl = HYBRID if both else FDL
        if placement:
            fdl = fdl.replace("placement: {{", f"placement: {{{{{placement}, ")
        text = fdl.format(
            name=name, path=f"{DATA}/{name}", targets=json.dumps(list(targets)), fallback="[]"
        )
        document = {"service": {"name": name}, "script": script, "fdl": text}
        batch = both or "aws-batch" in targets
        value = {
            "service": name,
            "document": self.account.put(f"fdl/{name}.json", json.dumps(document).encode()),
            "function": name if "aws-lambda" in targets else "",
            "queue": f"{self.account.settings.name}-fargate" if batch else "",
            "definition": name if batch else "",
            "arrays": batch,
            "targets": list(targets),
        }
        self.account.client("ssm").put_parameter(
            Name=f"/{self.account.settings.name}/services/{name}",
            Value=json.dumps(value),
            Type="String",
            Overwrite=True,
        )
        self.world.registry._least = 0.0
        self.world.services(again=True)

    def put(self, key: str, body: bytes = b"text") -> None:
        self.account.client("s3").put_object(Bucket=DATA, Key=key, Body=body)

    def get(self, key: str) -> bytes | None:
        s3 = self.account.client("s3")
        found = s3.list_objects_v2(Bucket=DATA, Prefix=key).get("Contents", [])
        if key not in [one["Key"] for one in found]:
            return None
        body: bytes = s3.get_object(Bucket=DATA, Key=key)["Body"].read()
        return body

    def take(self, url: str) -> list[str]:
        """What is in a queue now, taken out of it."""
        sqs, found = self.account.client("sqs"), []
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get(
            "Messages", ()
        ):
            found.append(message["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def turn(self) -> None:
        """Deliver what waits in both queues."""
        if objects := self.take(self.events):
            self.dispatcher.events(queued(*objects))
        if states := self.take(self.states):
            self.dispatcher.states(queued(*states))

    def until(self, count: int, condition: Callable[[JobRecord], Any], seconds: float = 60) -> Any:
        """Go on until that many jobs are as they should; all jobs."""
        jobs: list[JobRecord] = []

        def there() -> bool:
            self.turn()
            jobs[:] = self.world.table.jobs(limit=5000)
            return len(jobs) >= count and all(map(condition, jobs))

        eventually(there, seconds, known=lambda: [(j.id, j.state, j.reason) for j in jobs[:5]])
        return jobs


@contextmanager
def real(folder: Path) -> Iterator[Real]:
    """An endpoint of its own for as long as the block lasts."""
    settings = EndpointSettings(job_timeout=1, batch_workers=4)
    with AwsEndpoint(folder / "aws", settings=settings) as endpoint:
        keys = endpoint.environment()
        yield Real(
            Account(
                AccountSettings(
                    endpoint=endpoint.url,
                    credentials={
                        "aws_access_key_id": keys["AWS_ACCESS_KEY_ID"],
                        "aws_secret_access_key": keys["AWS_SECRET_ACCESS_KEY"],
                    },
                    role="arn:aws:iam::000000000000:role/test",
                    poll=0.05,
                )
            )
        )
