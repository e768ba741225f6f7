"""Services of one manager on this machine, on Lambda and on Batch: a real AWS endpoint is behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bridge.local._cloud import account_settings
from bridge.local.aws import AwsEndpoint
from bridge.targets import JobState
from bridge.targets.aws import Account
from tests.waiting import eventually

from .conftest import Live, minio, serve

SHOUT = 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"\n'


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsEndpoint]:
    with AwsEndpoint(tmp_path_factory.mktemp("aws") / "endpoint") as one:
        yield one


def account_at(endpoint: AwsEndpoint) -> Account:
    return Account(account_settings(endpoint, "abroad", "abroad-"))


@pytest.fixture(scope="module")
def live(endpoint: AwsEndpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with ExitStack() as stack:
        yield serve(tmp_path_factory.mktemp("manager"), stack, aws=account_at(endpoint))


def state(live: Live, name: str) -> dict[str, Any]:
    found: dict[str, Any] = live.ask("GET", f"/system/services/{name}/deployment").json
    return found


def ready(live: Live, name: str) -> None:
    def all_there() -> bool:
        told = state(live, name)
        assert told["state"] not in ("failed", "degraded"), told
        return all(one["state"] == "ready" for one in told["targets"].values())

    eventually(all_there, known=lambda: state(live, name))


def jobs(live: Live, name: str) -> list[Any]:
    return list(live.manager.parts.jobs.jobs(service=name, limit=1000))


def over(live: Live, name: str, count: int) -> bool:
    found = jobs(live, name)
    return len(found) == count and all(one.state.final for one in found)


def test_a_burst_goes_to_lambda_what_comes_after_it_does_not_and_nothing_runs_twice(
    live: Live, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    name = live.create(
        script=f'basename "$INPUT_FILE_PATH" >> {ran}\nsleep 0.3\n{SHOUT}',
        input=minio("burst/in"),
        output=minio("burst/out"),
        placement={"targets": ["local", "lambda"], "policy": "fastest"},
    )
    ready(live, name)
    with live.store.client() as s3:
        for number in range(30):
            s3.put_object(Bucket="burst", Key=f"in/{number}", Body=b"hello")
        eventually(lambda: over(live, name, 30), known=lambda: jobs(live, name))
        found = jobs(live, name)
        assert {one.state for one in found} == {JobState.SUCCEEDED}, found
        print(Counter(one.target for one in found), [live.ask("GET", f"/api/v1/jobs/{one.id}").json for one in found[:1]])
        assert sorted(ran.read_text().split()) == sorted(map(str, range(30)))
        for number in range(30):
            assert s3.get_object(Bucket="burst", Key=f"out/{number}")["Body"].read() == b"HELLO"
