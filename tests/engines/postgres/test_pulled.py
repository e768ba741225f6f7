"""Two managers that pull one queue of S3's events, on one PostgreSQL."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from bridge.dispatch import IngestResult
from bridge.local._cloud import account_of
from bridge.local.aws import AwsEndpoint
from manager.core import Manager
from tests.manager.conftest import echo, serve
from tests.waiting import eventually

from .server import Server

OBJECTS = 24


def test_each_object_is_one_job_whichever_manager_pulls_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulled: list[tuple[int, bytes]] = []
    meet, ingest = threading.Barrier(2, timeout=60), Manager.ingest

    def seen(self: Manager, provider: str, body: bytes, headers: Mapping[str, str]) -> IngestResult:
        first = id(self) not in {who for who, _ in pulled}
        pulled.append((id(self), body))
        if first:
            # Nobody has all of the queue before the other has something of it.
            meet.wait()
        return ingest(self, provider, body, headers)

    monkeypatch.setattr(Manager, "ingest", seen)
    url = server.url(server.schema())
    with ExitStack() as stack:
        endpoint = stack.enter_context(AwsEndpoint(tmp_path / "aws"))
        account = account_of(endpoint, "of-both")
        one, other = (
            serve(tmp_path / name, stack, account=account, database=url) for name in ("1", "2")
        )
        told = endpoint.environment()
        keys = {"access_key": told["AWS_ACCESS_KEY_ID"], "region": told["AWS_REGION"]}
        keys |= {"secret_key": told["AWS_SECRET_ACCESS_KEY"], "endpoint": endpoint.url}
        service = echo(
            name="both",
            script="true",
            input=[{"storage_provider": "s3", "path": "far/in"}],
            storage_providers={"s3": {"default": keys}},
        )
        assert one.ask("POST", "/system/services", service).status == 201
        assert other.ask("GET", "/system/services/both").status == 200
        s3, sqs = account.client("s3"), account.client("sqs")
        for number in range(OBJECTS):
            s3.put_object(Bucket="far", Key=f"in/{number}", Body=b"x")
        jobs = one.manager.parts.jobs
        assert eventually(lambda: len(jobs.jobs()) == OBJECTS and jobs.quiet())
        assert len({who for who, _ in pulled}) == 2
        # A queue delivers at least once; what was not deleted in time goes to anybody.
        for _, body in pulled[:6]:
            sqs.send_message(QueueUrl=account.queue("events")[0], MessageBody=body.decode())
        assert eventually(lambda: len(pulled) >= OBJECTS + 6)
        assert eventually(jobs.quiet)
        assert Counter(job.state.value for job in jobs.jobs()) == {"succeeded": OBJECTS}
        assert len({job.event.key for job in jobs.jobs()}) == OBJECTS
