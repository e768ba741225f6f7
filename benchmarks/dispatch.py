"""The durable queue: events accepted per second, and jobs through a target that runs nothing.

Each table divides by a baseline of the same run: what a list in memory takes, what one commit for
each event costs, what a bare call of the target costs, what a submit of its own for each job costs.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import cast

from _measure import Measure, report

from bridge.dispatch import Dispatcher, NewJob, SqliteStore
from bridge.dispatch.testing import FakeTarget, Outcome
from bridge.events import Event, EventKind, job_id, minio_record
from bridge.fdl.model import (
    Document,
    Placement,
    ProviderRef,
    Resources,
    Service,
    StoragePath,
    TargetSpec,
)
from bridge.local.aws import AwsEndpoint
from bridge.pipeline import Routes
from bridge.scheduler import decide, snapshot_of
from bridge.targets import Job, JobState, Target
from bridge.targets.aws import Account, AccountSettings, BatchTarget

ACCEPTS = 2000
JOBS = 2000
BURST = 500
PROVIDER = "minio.default"
SERVICE = Service(
    "thumbnails",
    "bridge",
    "image",
    Resources(Decimal(1), 2**28),
    inputs=(StoragePath(ProviderRef("minio"), "photos/in"),),
    placement=Placement(targets=("null",)),
    script_text="true",
)
DOCUMENT = Document(
    "bench.yaml", (SERVICE,), targets={"null": TargetSpec("null", "local", implied=False)}
)


def items(count: int, name: str) -> list[NewJob]:
    """Distinct events as MinIO would send them."""
    found = []
    for number in range(count):
        key = f"in/{name}-{number}.jpg"
        record = minio_record("photos", key, size=10_000, etag=f"{number:032x}", sequencer="1")
        event = Event(
            EventKind.MINIO,
            PROVIDER,
            "photos",
            key,
            10_000,
            f"{number:032x}",
            sequencer="1",
            record=record["Records"][0],
        )
        found.append(NewJob(job_id(SERVICE.name, event), SERVICE.name, event))
    return found


@contextmanager
def new_store() -> Iterator[SqliteStore]:
    """A store in a folder of its own, on this machine's disk."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-dispatch-", dir=Path.cwd()) as folder,
        SqliteStore(Path(folder) / "jobs.db") as store,
    ):
        yield store


def timed(work: Callable[[], object]) -> float:
    """Wall seconds of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def accept_all(name: str, threads: int, accept: Callable[[NewJob], object]) -> Measure:
    """Seconds for one event when this many clients accept at the same time."""
    work = items(ACCEPTS, name)
    with ThreadPoolExecutor(threads) as pool:
        seconds = timed(lambda: list(pool.map(accept, work)))
    return Measure(name, seconds / ACCEPTS, runs=ACCEPTS, note=f"{ACCEPTS / seconds:,.0f}/s")


def accepts() -> None:
    """How fast events are acknowledged durably."""
    rows = [accept_all("list append, 1 client", 1, list[NewJob]().append)]
    with new_store() as store:
        lock = threading.Lock()

        def alone(item: NewJob) -> None:
            with lock:
                store.accept([item], 0.0)

        rows.append(accept_all("a commit each, 16 clients", 16, alone))
        for clients in (1, 16, 64):
            name = f"group commit, {clients} client{'s' * (clients > 1)}"
            rows.append(accept_all(name, clients, lambda i: store.accept([i], 0.0)))
        batch = items(ACCEPTS, "batch")
        seconds = timed(lambda: store.accept(batch, 0.0))
        note = f"{ACCEPTS / seconds:,.0f}/s"
        rows.append(Measure("one call for all", seconds / ACCEPTS, runs=ACCEPTS, note=note))
        again = timed(lambda: [store.accept([i], 0.0) for i in batch[:500]]) / 500
        rows.append(Measure("duplicates, 1 client", again, runs=500, note=f"{1 / again:,.0f}/s"))
    report("Durable accepts: seconds per event", rows, "a commit each, 16 clients")


def dispatcher(store: SqliteStore, target: Target) -> Dispatcher:
    """With the real scheduler and routes."""
    snapshot = snapshot_of(DOCUMENT)
    return Dispatcher(
        store,
        DOCUMENT.services,
        Routes(DOCUMENT),
        {"null": target},
        decide=decide,
        snapshot=lambda: snapshot,
    )


def through() -> None:
    """How fast accepted jobs are placed, submitted, followed and ended."""
    target = FakeTarget("null", script=lambda job: Outcome(polls=1), push=True)
    work = items(JOBS, "through")
    bare = FakeTarget("null", script=lambda job: Outcome(polls=1))

    def call_bare() -> None:
        for item in work:
            bare.submit(Job(item.id, item.service, item.event))
            for update in bare.poll():
                bare.forget(update.job)

    rows = [Measure("submit + poll, no queue", timed(call_bare) / JOBS, runs=JOBS)]
    with new_store() as store:
        store.accept(work, time.time())
        with dispatcher(store, target) as running:
            seconds = timed(lambda: running.wait_quiet(600))
        note = f"{JOBS / seconds:,.0f} jobs/s"
        rows.append(Measure("accepted to succeeded", seconds / JOBS, runs=JOBS, note=note))
        records = store.jobs(limit=JOBS)
        submitted = max(r.submitted or 0.0 for r in records) - min(r.placed or 0.0 for r in records)
        note = f"{JOBS / submitted:,.0f} jobs/s"
        rows.append(Measure("placed to submitted", submitted / JOBS, runs=JOBS, note=note))
    report("Jobs through a null target: seconds per job", rows, "accepted to succeeded")


def latency() -> None:
    """From one event, on an idle dispatcher, to the submit and to the end of its job."""
    target = FakeTarget("null", script=lambda job: Outcome(polls=1), push=True)
    ingest, submit, done = [], [], []
    with new_store() as store, dispatcher(store, target) as running:
        for item in items(100, "latency"):
            start = time.time()
            store.accept([item], start)
            ingest.append(time.time() - start)
            record = running.wait(item.id, 60)
            assert record is not None
            submit.append((record.submitted or record.ended or 0.0) - start)
            done.append((record.ended or 0.0) - start)
    rows = [
        Measure(name, sorted(values)[len(values) // 2], runs=len(values))
        for name, values in (
            ("event to answer", ingest),
            ("event to submitted", submit),
            ("event to succeeded", done),
        )
    ]
    report("One event on an idle queue", rows, "event to answer")


class Alone:
    """The Batch target without what it can do with many jobs at once."""

    def __init__(self, target: BatchTarget) -> None:
        for name in ("spec", "submit", "poll", "cancel"):
            setattr(self, name, getattr(target, name))


def bursts() -> None:
    """A burst placed on AWS Batch, until the local endpoint has all of it; nothing is run there."""
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-aws-") as folder,
        AwsEndpoint(Path(folder), engine="process", session="bench") as endpoint,
    ):
        keys = endpoint.environment()
        named = {n.lower(): keys[n] for n in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        role = "arn:aws:iam::000000000000:role/bench"
        account = Account(AccountSettings(endpoint=endpoint.url, credentials=named, role=role))
        account.prepare()
        target = BatchTarget(TargetSpec("null", "batch"), account, {})
        target.deploy([SERVICE])
        environment = f"{account.settings.name}-fargate"
        account.client("batch").update_compute_environment(
            computeEnvironment=environment, state="DISABLED"
        )
        for name, one in (("a submit each, 8 at once", Alone(target)), ("array jobs", target)):
            work = items(BURST, name)
            with new_store() as store:
                store.accept(work, time.time())
                with dispatcher(store, cast("Target", one)) as running:
                    seconds = timed(lambda: _all_submitted(running, BURST))
                calls = len({r.handle.partition(":")[0] for r in store.jobs(limit=BURST)})
            note = f"{BURST / seconds:,.0f} jobs/s, {calls} submits"
            rows.append(Measure(name, seconds / BURST, runs=BURST, note=note))
    report("A burst to AWS Batch: seconds per job", rows, "a submit each, 8 at once")


def _all_submitted(running: Dispatcher, count: int) -> None:
    pause = threading.Event()
    while running.store.loads().get(("null", JobState.SUBMITTED), 0) < count:
        pause.wait(0.01)


if __name__ == "__main__":
    accepts()
    through()
    latency()
    bursts()
