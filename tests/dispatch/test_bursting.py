"""Routing at run time: a burst overflows to the cloud, and what comes after it does not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from bridge.dispatch import Dispatcher, SqliteStore
from bridge.dispatch.testing import BusyTarget, Outcome
from bridge.fdl.model import Placement, Service
from bridge.scheduler import Estimate, Snapshot, TargetState, decide
from bridge.targets import JobState
from tests.dispatch.world import FAST, PATIENCE, PROVIDER, FolderRoutes, body, outcomes, until
from tests.dispatch.world import service as a_service

SERVICE = replace(a_service("s", "in"), placement=Placement(policy="fastest"))


def holding(name: str, kind: str, room: int) -> BusyTarget:
    script = outcomes(Outcome(hold=True))
    return BusyTarget(name, kind, slots=room or None, script=script, room=room or 1000)  # type: ignore[arg-type]


def routing(
    store: SqliteStore,
    targets: list[BusyTarget],
    runs: dict[str, Estimate],
    service: Service = SERVICE,
) -> Dispatcher:
    """A dispatcher with the real scheduler, which knows how long runs take."""

    def snapshot() -> Snapshot:
        return Snapshot(
            tuple(
                TargetState(
                    target.spec,
                    made.running(target.name),
                    made.queued(target.name),
                    runs={"s": runs[target.name]},
                    start=1.0,
                )
                for target in targets
            )
        )

    made = Dispatcher(
        store,
        [service],
        FolderRoutes([service]),
        {target.name: target for target in targets},
        decide=decide,
        snapshot=snapshot,
        settings=FAST,
    )
    # How long runs take is ours to say, not what is learned from these.
    made._core.known.learn = lambda: 0  # type: ignore[method-assign]
    return made


def placed(store: SqliteStore) -> Counter[str]:
    return Counter(record.target for record in store.jobs())


def test_a_burst_overflows_and_what_comes_after_it_does_not(store: SqliteStore) -> None:
    cluster, cloud = holding("cluster", "kubernetes", 4), holding("cloud", "lambda", 0)
    runs = {"cluster": Estimate(10.0, 1.0), "cloud": Estimate(25.0, 1.0)}
    dispatcher = routing(store, [cluster, cloud], runs)
    for number in range(40):
        dispatcher.ingest(PROVIDER, body(f"in/{number}"))
    with dispatcher:
        until(lambda: sum(placed(store)[name] for name in ("cluster", "cloud")) == 40)
        burst = placed(store)
        # Four run, and who comes next waits 2.5 s for each before him: as long as 15 s are saved.
        assert 4 < burst["cluster"] <= 12
        assert burst["cloud"] == 40 - burst["cluster"]
        cluster.let_go()
        cloud.let_go()
        assert dispatcher.wait_quiet(PATIENCE)
        for number in range(40, 43):
            dispatcher.ingest(PROVIDER, body(f"in/{number}"))
        assert dispatcher.wait_quiet(PATIENCE)
    assert placed(store) - burst == {"cluster": 3}
    assert store.counts() == {("s", JobState.SUCCEEDED): 43}
    assert Counter(job.id for t in (cluster, cloud) for job in t.runs).most_common(1)[0][1] == 1


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (Estimate(5.0, 1.0, late=9.0), "aws-lambda"),
        (Estimate(400.0, 1.0, late=2000.0), "aws-batch"),
    ],
)
def test_what_will_be_too_long_for_lambda_goes_to_batch_before_it_is_paid_for(
    store: SqliteStore, run: Estimate, expected: str
) -> None:
    function, batch = holding("aws-lambda", "lambda", 0), holding("aws-batch", "batch", 0)
    wanted = replace(SERVICE, execution_mode="lambda-batch")
    runs = {"aws-lambda": run, "aws-batch": run}
    dispatcher = routing(store, [function, batch], runs, wanted)
    dispatcher.ingest(PROVIDER, body("in/a"))
    with dispatcher:
        function.let_go()
        batch.let_go()
        assert dispatcher.wait_quiet(PATIENCE)
    (record,) = store.jobs()
    assert (record.target, record.attempt, record.state) == (expected, 1, JobState.SUCCEEDED)
