"""The dispatcher with the real scheduler and the real routes: the shapes fit."""

from __future__ import annotations

from decimal import Decimal

from bridge.dispatch import Dispatcher, Output, SqliteStore
from bridge.dispatch.testing import FakeTarget, Outcome
from bridge.fdl.model import (
    Document,
    Placement,
    ProviderRef,
    Resources,
    Service,
    StoragePath,
    TargetSpec,
)
from bridge.pipeline import Routes
from bridge.scheduler import decide, snapshot_of
from bridge.targets import Job, JobState
from tests.dispatch.world import FAST, PATIENCE, PROVIDER, body


def test_a_chain_runs_through_routes_and_scheduler(store: SqliteStore) -> None:
    minio = ProviderRef("minio")

    def made(name: str, source: str, result: str, target: str) -> Service:
        return Service(
            name,
            "bridge",
            "image",
            Resources(Decimal(1), 2**28),
            inputs=(StoragePath(minio, f"b/{source}"),),
            outputs=(StoragePath(minio, f"b/{result}"),),
            placement=Placement(targets=(target,)),
            script_text="true",
        )

    names = ("here", "there")
    document = Document(
        "chain.yaml",
        (made("one", "in", "mid", "here"), made("two", "mid", "out", "there")),
        targets={name: TargetSpec(name, "local", implied=False) for name in names},
    )

    def script(job: Job) -> Outcome:
        done = Output(PROVIDER, "b", f"mid/{job.event.key.rpartition('/')[2]}", 1, "m")
        return Outcome(outputs=(done,))

    targets = {"here": FakeTarget("here", script=script), "there": FakeTarget("there")}
    snapshot = snapshot_of(document)
    with Dispatcher(
        store,
        document.services,
        Routes(document),
        targets,
        decide=decide,
        snapshot=lambda: snapshot,
        settings=FAST,
    ) as running:
        for number in range(5):
            running.ingest("", body(f"in/{number}"))
        assert not running.wait_quiet(0.2)
        for number in range(5):
            running.ingest("", body(f"mid/{number}", etag="m"))
        assert running.wait_quiet(PATIENCE)
    done = JobState.SUCCEEDED
    assert store.counts() == {("one", done): 5, ("two", done): 5}
    assert {job.service for job in targets["there"].runs} == {"two"}
