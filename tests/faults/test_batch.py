"""Batch jobs whose machine is taken away: told as such, and tried again by the dispatcher."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from bridge.dispatch import Dispatcher, Settings, SqliteStore
from bridge.events import s3_record
from bridge.fdl.model import Service
from bridge.scheduler.model import Candidate, Decision, Offer, Snapshot
from bridge.targets import JobState
from tests.conformance.places import Place
from tests.conformance.suite import running

PATIENCE = 90.0


@pytest.fixture
def place(all_places: Mapping[str, Place]) -> Place:
    found: Place = all_places["batch"]
    return found


def until(check: Callable[[], object]) -> None:
    limit = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < limit
        time.sleep(0.02)


def entry_of(pid: int) -> int:
    """The Batch entry that a process of a script descends from."""
    while b"batch" not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
        stat = Path(f"/proc/{pid}/stat").read_text()
        pid = int(stat.rpartition(")")[2].split()[1])
        assert pid > 1
    return pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_reclaimed_job_is_temporary(place: Place, number: signal.Signals) -> None:
    mark = secrets.token_hex(8)
    service = place.service(f"echo it began\nsh -c 'sleep 300; : {mark}'\n", timeout=None)
    job = place.job(service)
    place.target.submit(job)
    until(lambda: running(mark))
    os.kill(entry_of(running(mark)[0]), number)
    run = place.ended(service, job)
    assert (run.update.state, run.update.temporary) == (JobState.FAILED, True)
    assert "it began" in run.log
    assert run.outputs == {}
    assert running(mark) == []


def test_a_job_that_was_cancelled_is_not_temporary(place: Place) -> None:
    mark = secrets.token_hex(8)
    service = place.service(f"sh -c 'sleep 300; : {mark}'\n", timeout=None)
    job = place.job(service)
    place.target.submit(job)
    until(lambda: running(mark))
    place.target.cancel(job.id)
    update = place.ended(service, job).update
    assert update.state in (JobState.FAILED, JobState.CANCELLED)


class Routes:
    """Everything is for one service."""

    def __init__(self, service: str) -> None:
        self._service = service

    def match(self, provider: str, bucket: str, key: str) -> tuple[str, ...]:
        return (self._service,) if "/in/" in key else ()

    def inputs(self) -> Mapping[str, tuple[object, ...]]:
        return {}


@pytest.fixture
def dispatched(place: Place, tmp_path: Path) -> Iterator[Callable[[Service], Dispatcher]]:
    """A dispatcher that puts every job of a service on the place; closed after the test."""
    open_ones: list[Dispatcher] = []
    with SqliteStore(tmp_path / "jobs.sqlite") as store:

        def make(service: Service) -> Dispatcher:
            def decide(
                one: Service, event: object, snapshot: Snapshot, /, *, seed: int = 0
            ) -> Decision:
                offer = Candidate(Offer("aws-batch", "batch", feasible=True))
                return Decision(one.name, "pinned", seed, "aws-batch", "", (offer,))

            made = Dispatcher(
                store,
                [service],
                Routes(service.name),
                {"aws-batch": place.target},
                decide=decide,
                snapshot=lambda: Snapshot(()),
                settings=Settings(backoff=0.05),
            )
            made.start()
            open_ones.append(made)
            return made

        yield make
        for one in open_ones:
            one.close()


def test_the_dispatcher_tries_a_reclaimed_job_again(
    place: Place, dispatched: Callable[[Service], Dispatcher], tmp_path: Path
) -> None:
    mark = secrets.token_hex(8)
    flag = tmp_path / "second"
    service = place.service(
        f"[ -e {flag} ] || {{ touch {flag}; sh -c 'sleep 300; : {mark}'; }}\n"
        'echo done > "$TMP_OUTPUT_DIR/done-$$"\n',
        timeout=None,
    )
    dispatcher = dispatched(service)
    job = place.job(service)
    path = service.inputs[0]
    body = s3_record(
        path.bucket, job.event.key, size=4, etag=job.event.etag, sequencer=job.event.sequencer
    )
    for _ in range(5):
        dispatcher.ingest("s3.default", body, {})
    until(lambda: running(mark))
    os.kill(entry_of(running(mark)[0]), signal.SIGTERM)
    (record,) = dispatcher.store.jobs()
    dispatcher.wait(record.id, PATIENCE)
    detail = dispatcher.store.detail(record.id)
    assert detail is not None
    assert detail.job.state is JobState.SUCCEEDED, detail
    assert [attempt.number for attempt in detail.attempts] == [1, 2]
    assert "terminated" in detail.attempts[0].reason
    assert len(place.outputs(service)) == 1
    assert running(mark) == []
