"""A burst as one array job of Batch: each child is a job of its own, and is submitted once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.dispatch import Dispatcher, JobRecord, NewJob, SqliteStore
from bridge.fdl.model import Service, TargetSpec
from bridge.scheduler import Decision, Estimate, Snapshot, TargetState, decide
from bridge.targets import JobState, Target
from bridge.targets.aws import Account, AccountSettings, BatchTarget, submission
from tests.conformance.places import Place, places
from tests.dispatch.world import FAST, PATIENCE, FolderRoutes, decide_for, open_store, until
from tests.dispatch.world import service as a_service

REPO = Path(__file__).parents[3]
SCRIPT = """
name=$(basename "$INPUT_FILE_PATH")
case "$name" in
  bad*) exit 7;;
  slow*) sleep 300;;
esac
cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/$name"
"""


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Place]]:
    with places("process", tmp_path_factory.mktemp("places")) as found:
        yield found


@pytest.fixture
def place(sides: Mapping[str, Place]) -> Place:
    return sides["batch"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with open_store(tmp_path) as opened:
        yield opened


def dispatcher(store: SqliteStore, target: Target, *services: Service) -> Dispatcher:
    snapshot = Snapshot((TargetState(target.spec),))
    return Dispatcher(
        store,
        services,
        FolderRoutes(()),
        {target.spec.name: target},
        decide=decide_for(target.spec.name),
        snapshot=lambda: snapshot,
        settings=replace(FAST, poll_max=0.1, backoff=0.05, backoff_cap=0.2, max_submits=100),
    )


def accept(store: SqliteStore, place: Place, service: Service, *keys: str) -> list[str]:
    """Jobs of objects with these names, which are their content too; the jobs' names."""
    jobs = [place.job(service, key, key.encode()) for key in keys]
    store.accept([NewJob(job.id, job.service, job.event) for job in jobs], 0.0)
    return [job.id for job in jobs]


def in_batch(place: Place, service: Service) -> list[dict[str, Any]]:
    """What was submitted to Batch for a service."""
    batch = place.account.client("batch")
    found = []
    for queue in batch.describe_job_queues()["jobQueues"]:
        asked = {"name": "JOB_DEFINITION", "values": [f"{service.name}*"]}
        found += batch.list_jobs(jobQueue=queue["jobQueueName"], filters=[asked])["jobSummaryList"]
    return found


def test_a_burst_is_one_array_and_each_child_its_own_job(store: SqliteStore, place: Place) -> None:
    service = place.service(SCRIPT)
    other = place.service("true")
    keys = ["a", "b", "c", "bad", "slow"]
    names = accept(store, place, service, *keys)
    (alone,) = accept(store, place, other, "one")
    with dispatcher(store, place.target, service, other) as running:
        slow = names[-1]
        until(lambda: _state(store, slow) is JobState.RUNNING)
        assert running.cancel(slow)
        assert running.wait_quiet(PATIENCE)
        found = {name: record for name in names if (record := store.job(name))}
    (array,) = in_batch(place, service)
    assert array["arrayProperties"]["size"] == len(keys)
    handles = {f"{array['jobId']}:{number}" for number in range(len(keys))}
    assert {record.handle for record in found.values()} == handles
    assert [found[name].state.value for name in names] == [
        *["succeeded"] * 3,
        "failed",
        "cancelled",
    ]
    assert found[names[3]].exit_code == 7
    for name, key in zip(names[:3], keys, strict=False):
        detail = store.detail(name)
        assert detail is not None
        assert (detail.job.report["job"], detail.job.report["attempt"]) == (name, 1)
        assert [output.key.rpartition("/")[2] for output in detail.outputs] == [key]
        assert "/" in detail.job.log
    # One alone is a plain job, which carries its event.
    (single,) = in_batch(place, other)
    assert "arrayProperties" not in single
    assert (single["jobName"], _state(store, alone)) == (alone, JobState.SUCCEEDED)
    until(lambda: _status(place, found[slow].handle) == "FAILED")


def _state(store: SqliteStore, name: str) -> JobState | None:
    record = store.job(name)
    return record.state if record else None


def _status(place: Place, handle: str) -> str:
    (found,) = place.account.client("batch").describe_jobs(jobs=[handle])["jobs"]
    return str(found["status"])


def test_a_child_that_waits_is_given_back(store: SqliteStore, place: Place) -> None:
    service = place.service("true")
    names = accept(store, place, service, "a", "b", "c")
    with environment_disabled(place):
        with dispatcher(store, place.target, service):
            until(lambda: all(_state(store, name) is JobState.SUBMITTED for name in names))
        (first, *others) = [record for name in names if (record := store.job(name))]
        job = place.job(service, "a")
        job = replace(job, id=first.id)
        until(lambda: place.target.withdraw(job, first.handle) is True)  # type: ignore[attr-defined]
    with dispatcher(store, place.target, service) as running:
        until(lambda: all(_final(store, record) for record in others))
        running.cancel(first.id)
        assert running.wait_quiet(PATIENCE)
    assert [_state(store, record.id) for record in others] == [JobState.SUCCEEDED] * 2
    # It has begun: nothing is given back.
    done = replace(job, id=others[0].id)
    assert place.target.withdraw(done, others[0].handle) is False  # type: ignore[attr-defined]


@contextmanager
def environment_disabled(place: Place) -> Iterator[None]:
    """What is submitted meanwhile waits in its queue."""
    batch, name = place.account.client("batch"), f"{place.account.settings.name}-fargate"
    batch.update_compute_environment(computeEnvironment=name, state="DISABLED")
    try:
        yield
    finally:
        batch.update_compute_environment(computeEnvironment=name, state="ENABLED")


def _final(store: SqliteStore, record: JobRecord) -> bool:
    state = _state(store, record.id)
    return state is not None and state.final


def test_a_long_run_begins_in_batch_and_a_surprise_ends_there(
    store: SqliteStore, sides: Mapping[str, Place]
) -> None:
    """What is foreseen is placed on Batch, what is not is handed over: one Batch job each."""
    function, place = sides["lambda"], sides["batch"]
    script = (
        '[ -z "$AWS_LAMBDA_FUNCTION_NAME" ] || sleep 300; cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR"'
    )
    service = function.service(script, execution_mode="lambda-batch", timeout=2.0)
    place.target.deploy([service])
    (surprise,), (foreseen,) = (accept(store, place, service, key) for key in ("short", "long"))
    known = {"short": 1.0, "long": 2000.0}
    targets = {one.target.spec.name: one.target for one in (function, place)}

    def snapshot_for(key: str) -> Snapshot:
        run = Estimate(known[key], 1.0, late=known[key])
        return Snapshot(
            tuple(TargetState(t.spec, runs={service.name: run}) for t in targets.values())
        )

    def by_size(*given: Any, seed: int = 0) -> Decision:
        key = given[1].key.rpartition("/")[2]
        return decide(given[0], given[1], snapshot_for(key), policy="cheapest", seed=seed)

    running = Dispatcher(
        store,
        [service],
        FolderRoutes(()),
        targets,
        decide=by_size,
        snapshot=lambda: snapshot_for("short"),
        settings=replace(FAST, poll_max=0.1),
    )
    with running:
        assert running.wait_quiet(PATIENCE)
    handed, direct = store.job(surprise), store.job(foreseen)
    assert handed is not None
    assert direct is not None
    assert [one.state for one in (handed, direct)] == [JobState.SUCCEEDED] * 2
    assert [one.target for one in (handed, direct)] == ["aws-lambda", "aws-batch"]
    assert [one.attempt for one in (handed, direct)] == [1, 1]
    assert [run["place"] for run in handed.report["runs"]] == ["lambda", "batch"]
    assert "runs" not in direct.report
    in_queue = {one["jobName"]: one["jobId"] for one in in_batch(place, service)}
    assert in_queue == {one.id: one.handle for one in (handed, direct)}


# --- killed on the way ---------------------------------------------------------------------------

# Each life ends at one line; they are forks, so that boto3 is imported once.
DRIVER = """
import json, os, signal, sys
from pathlib import Path

from bridge.targets.aws import BatchTarget, submission
from tests.dispatch.world import open_store
from tests.targets.aws.test_arrays import other_dispatcher

submission._PATIENCE = 0.2
POINTS = {
    "prepared": (BatchTarget, "prepare", "after"),
    "marked": (BatchTarget, "launch", "before"),
    "claimed": (submission, "_submit", "before"),
    "submitted": (submission, "_submit", "after"),
    "launched": (BatchTarget, "launch", "after"),
    "settled": (BatchTarget, "settle", "after"),
}

def live(folder, owner, name, when):
    real = getattr(owner, name)
    def wrapped(*args, **kwargs):
        if when == "after":
            real(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, wrapped)
    with other_dispatcher(open_store(folder), *sys.argv[1:4]):
        signal.pause()

for folder, points in json.loads(sys.argv[4]):
    for point in points:
        child = os.fork()
        if not child:
            live(Path(folder), *POINTS[point])
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, point
"""
LIVES = (
    ("prepared", "marked", "settled", "claimed", "submitted"),
    ("launched",),
)


def other_dispatcher(store: SqliteStore, url: str, key: str, service: str) -> Dispatcher:
    """A dispatcher of another process, with the same endpoint."""
    keys = {"aws_access_key_id": key, "aws_secret_access_key": key}
    account = Account(AccountSettings(endpoint=url, credentials=keys, poll=0.05))
    target = BatchTarget(TargetSpec("aws-batch", "batch"), account, {})
    target._queues = {service: "oscar-bridge-fargate"}
    return dispatcher(store, target, replace(a_service("s", "in"), name=service))


def test_killed_at_any_line_each_job_is_submitted_once(
    tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = place.service("true")
    settings = place.account.settings
    monkeypatch.setattr(submission, "_PATIENCE", 0.2)
    with environment_disabled(place):
        stores = []
        for number, _ in enumerate(LIVES):
            (folder := tmp_path / str(number)).mkdir()
            with open_store(folder) as store:
                accept(store, place, service, *(f"{number}-{one}" for one in range(4)))
            stores.append(str(folder))
        lives = json.dumps(list(zip(stores, LIVES, strict=True)))
        key = settings.credentials["aws_access_key_id"]
        command = [sys.executable, "-c", DRIVER, settings.endpoint, key, service.name, lives]
        subprocess.run(command, cwd=REPO, env={**os.environ, "PYTHONPATH": str(REPO)}, check=True)
    for folder in stores:
        with open_store(Path(folder)) as store, dispatcher(store, place.target, service) as running:
            assert running.wait_quiet(PATIENCE)
            records = store.jobs()
            assert {record.state for record in records} == {JobState.SUCCEEDED}
            assert len({record.handle for record in records}) == 4
    # Nothing else was ever submitted.
    arrays = in_batch(place, service)
    assert [one["arrayProperties"]["size"] for one in arrays] == [4] * len(LIVES)
