"""The target against a manager that runs: the whole way of a job on a remote cluster."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import pytest

from bridge.errors import NotFoundError
from bridge.events import decode, job_id
from bridge.fdl.model import ProviderRef, Resources, Service, StoragePath, TargetSpec
from bridge.secret import Secret
from bridge.targets import Job, JobState, JobUpdate
from bridge.targets.oscar import ClusterAccess, OscarClient, OscarTarget
from tests.manager.conftest import PASSWORD, USER, Live, serve
from tests.waiting import eventually

SHOUT = (
    'echo "shouting as $JOB_UUID"\n'
    'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$JOB_UUID"\ncat "$INPUT_FILE_PATH"\n'
)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with ExitStack() as stack:
        yield serve(tmp_path_factory.mktemp("remote"), stack, page=2)


@pytest.fixture
def target(live: Live) -> Iterator[OscarTarget]:
    access = ClusterAccess("remote", live.url, user=USER, password=Secret(PASSWORD))
    made = OscarTarget(TargetSpec("remote", "oscar"), OscarClient(access), {})
    yield made
    made.close()


def service(script: str) -> Service:
    return Service(
        name=f"s{secrets.token_hex(4)}",
        origin="bridge",
        image="oscar-bridge/busybox:local",
        resources=Resources(Decimal("0.1"), 2**26),
        script="s.sh",
        script_text=script,
        outputs=(StoragePath(ProviderRef("minio"), "remote/out"),),
    )


def a_job(name: str, body: bytes) -> Job:
    (event,) = decode(body, nonce=secrets.token_hex(8))
    return Job(job_id(name, event), name, event)


def ended(target: OscarTarget, jobs: list[Job]) -> dict[str, JobUpdate]:
    found: dict[str, JobUpdate] = {}

    def over() -> bool:
        found.update({one.job: one for one in target.poll() if one.state.final})
        return found.keys() >= {job.id for job in jobs}

    eventually(over)
    return found


def test_jobs_of_ours_run_there_once_and_come_back(
    live: Live, target: OscarTarget, tmp_path: Path
) -> None:
    one = service(SHOUT)
    target.deploy([one])
    target.deploy([one])  # an update, which keeps the token
    jobs = [a_job(one.name, f"word {n}".encode()) for n in range(4)]
    # Whoever takes over knows nothing of what this one has submitted, and submits again.
    other = OscarTarget(target.spec, OscarClient(target._client.access), {})
    for job in jobs:
        assert target.submit(job) == job.id
    assert other.submit(jobs[0]) == jobs[0].id
    news = ended(target, jobs)
    assert {one.state for one in news.values()} == {JobState.SUCCEEDED}
    listed = live.manager.parts.jobs.jobs(service=one.name)
    assert {record.id for record in listed} == {job.id for job in jobs}
    assert all(record.attempt == 1 for record in listed)
    keys = {info.key for info in live.store.listing("remote", "out/")}
    assert {f"out/{job.id}" for job in jobs} <= keys
    assert f"shouting as {jobs[0].id}" in list(target.logs(jobs[0].id))
    target.forget(jobs[0].id)
    assert all(one.job != jobs[0].id for one in target.poll())

    target.remove([one.name])
    with pytest.raises(NotFoundError):
        target.submit(a_job(one.name, b"too late"))
    assert {info.key for info in live.store.listing("remote", "out/")} == keys
    other.close()


def test_a_script_that_fails_is_a_failure_and_a_long_one_can_be_stopped(
    live: Live, target: OscarTarget
) -> None:
    bad, slow = service("exit 3\n"), service("sleep 300\n")
    target.deploy([bad, slow])
    failing, sleeping = a_job(bad.name, b"x"), a_job(slow.name, b"y")
    for job in (failing, sleeping):
        target.submit(job)
    assert ended(target, [failing])[failing.id].state is JobState.FAILED
    eventually(lambda: live.manager.parts.jobs.job(sleeping.id).started)
    target.cancel(sleeping.id)
    assert ended(target, [sleeping])[sleeping.id].state is JobState.CANCELLED
    eventually(lambda: live.manager.parts.jobs.job(sleeping.id).state is JobState.CANCELLED)
