"""Places that run services, each behind the same few calls, so that one suite tries them all."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from bridge.events import decode, job_id, minio_record, s3_record
from bridge.fdl.model import ProviderRef, Resources, Service, StoragePath, TargetSpec
from bridge.local.aws import AwsEndpoint
from bridge.local.aws import Settings as EndpointSettings
from bridge.local.executors import choose, gateway
from bridge.local.objectstore import ObjectStore
from bridge.local.target import LocalTarget
from bridge.runtime import cached
from bridge.secret import Secret
from bridge.storage import Store, open_store
from bridge.targets import Job, JobState, JobUpdate, Target
from bridge.targets.aws import Account, AccountSettings, BatchTarget, LambdaTarget
from bridge.targets.render import ProviderAccess
from tests.waiting import pauses

IMAGE = "oscar-bridge/python:local"
BUCKET = "conformance"
MIB = 2**20
NAMES = ("cluster", "lambda", "batch")


@dataclass(frozen=True)
class Run:
    """What became of one job: its last news, its log, and the objects that it wrote."""

    job: Job
    update: JobUpdate
    log: list[str]
    outputs: dict[str, bytes]

    @property
    def ok(self) -> bool:
        return self.update.state is JobState.SUCCEEDED


@dataclass
class Place:
    """One target on one engine. `name` is cluster, lambda or batch.

    `store` is what its services read and write, `other` a provider of another kind.
    """

    name: str
    engine: str
    target: Target
    store: Store
    provider: ProviderRef
    folder: Path
    account: Account | None
    other: tuple[ProviderRef, Store]
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def limits_memory(self) -> bool:
        """Warm supervisors run scripts as this user, without limits; all others enforce them."""
        return (self.name, self.engine) != ("cluster", "process")

    def service(self, script: str, **changes: Any) -> Service:
        """A deployed service with a name of its own."""
        name = f"{self.name}-{self.engine}-{next(self.numbers)}"
        path = StoragePath(self.provider, f"{BUCKET}/{name}/in")
        made = Service(
            name=name,
            origin="bridge",
            image=IMAGE,
            resources=Resources(cpu=Decimal("0.25"), memory=256 * MIB),
            script="script.sh",
            script_text=script,
            inputs=(path,),
            outputs=(replace(path, path=f"{BUCKET}/{name}/out"),),
            timeout=30.0,
        )
        made = replace(made, **changes)
        self.target.deploy([made])
        return made

    def job(self, service: Service, key: str = "input.txt", data: bytes = b"data") -> Job:
        """The job of an object that is put under the service's input."""
        path = service.inputs[0]
        source = self.folder / secrets.token_hex(4)
        source.write_bytes(data)
        info = self.store.put(path.bucket, path.key_for(key), source)
        record = s3_record if self.provider.type == "s3" else minio_record
        body = record(
            path.bucket,
            path.key_for(key),
            size=len(data),
            etag=info.etag.strip('"'),
            sequencer=secrets.token_hex(8),
        )
        (event,) = decode(body)
        return Job(job_id(service.name, event), service.name, event)

    def run(
        self, script: str, key: str = "input.txt", data: bytes = b"data", **changes: Any
    ) -> Run:
        """Deploy, submit, wait, and look."""
        service = self.service(script, **changes)
        return self.finish(service, self.job(service, key, data))

    def finish(self, service: Service, job: Job) -> Run:
        """Submit a job and wait for its end."""
        self.target.submit(job)
        return self.ended(service, job)

    def ended(self, service: Service, job: Job, within: float = 60.0) -> Run:
        """Wait for the end of a job that was submitted."""
        for _ in pauses(within, lambda: (job.id, self.name)):
            for update in self.target.poll():
                if update.job == job.id and update.state.final:
                    forget = getattr(self.target, "forget", None)
                    if forget is not None:
                        forget(job.id)
                    return Run(job, update, list(self.target.logs(job.id)), self.outputs(service))
        raise AssertionError

    def outputs(self, service: Service) -> dict[str, bytes]:
        """Everything under the service's outputs, by name relative to the first of them."""
        found = {}
        for path in service.outputs:
            for info in self.store.list(path.bucket, path.key_for("")):
                target = self.folder / secrets.token_hex(4)
                self.store.get(path.bucket, info.key, target)
                found[info.key.removeprefix(f"{BUCKET}/").removeprefix(path.key_for(""))] = (
                    target.read_bytes()
                )
        return found


@contextmanager
def places(engine: str, folder: Path) -> Iterator[Mapping[str, Place]]:
    """All places on one engine; everything ends with the block."""
    contained = engine == "container"
    address = gateway() if contained else "127.0.0.1"
    runtime = cached() if contained else None
    session = secrets.token_hex(6)
    with ExitStack() as stack:
        executor = choose(engine, session, folder=folder / "tasks", runtime=runtime)
        stack.callback(executor.close)
        minio = stack.enter_context(ObjectStore(folder / "objects", address=address))
        minio.ensure_bucket(BUCKET)
        endpoint = stack.enter_context(
            AwsEndpoint(
                folder / "aws",
                engine=engine,
                session=session,
                address=address,
                runtime=runtime,
                settings=EndpointSettings(job_timeout=1),
            )
        )
        keys = endpoint.environment()
        account = Account(
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
        account.prepare()
        account.ensure_bucket(BUCKET)
        work = folder / "work"
        work.mkdir()
        on_cluster, on_aws = ProviderRef("minio"), ProviderRef("s3")
        access = {on_cluster: ProviderAccess(*minio.provider())}
        secrets_of_aws = {
            "access_key": Secret(keys["AWS_ACCESS_KEY_ID"]),
            "secret_key": Secret(keys["AWS_SECRET_ACCESS_KEY"]),
        }
        from_outside = ProviderAccess({"endpoint": endpoint.url}, secrets_of_aws)
        cluster = LocalTarget(
            TargetSpec("my-cluster", "oscar"),
            executor,
            session=session,
            folder=folder / "cluster",
            access=access | {on_aws: from_outside},
            slots=2,
        )
        stack.callback(cluster.close)
        in_minio = open_store("minio.default", *minio.provider())
        in_s3 = open_store("s3.default", {"endpoint": endpoint.url}, secrets_of_aws)
        to_aws, to_cluster = (on_aws, in_s3), (on_cluster, in_minio)
        functions = LambdaTarget(TargetSpec("aws-lambda", "lambda"), account, access)
        jobs = BatchTarget(TargetSpec("aws-batch", "batch"), account, access)
        yield {
            "cluster": Place(
                "cluster", engine, cluster, in_minio, on_cluster, work, account, to_aws
            ),
            "lambda": Place("lambda", engine, functions, in_s3, on_aws, work, account, to_cluster),
            "batch": Place("batch", engine, jobs, in_s3, on_aws, work, account, to_cluster),
        }
