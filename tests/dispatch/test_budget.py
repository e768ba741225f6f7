"""A budget holds: over restarts, among several dispatchers, in a burst, and when a target fails."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from bridge.dispatch import Change, Dispatcher, SqliteStore
from bridge.dispatch.testing import FakeTarget, Outcome
from bridge.errors import TargetUnavailable
from bridge.fdl.model import Placement, TargetSpec
from bridge.scheduler import Snapshot, TargetState, decide
from bridge.targets import Job, JobState
from tests.dispatch.world import (
    FAST,
    NOW,
    PATIENCE,
    PROVIDER,
    FolderRoutes,
    body,
    new_job,
    open_store,
    outcomes,
    service,
    until,
)

# A run is taken for 30 seconds, at a cent for each: the money is for three jobs.
BUDGET = Placement(policy="fastest", budget={"day": Decimal("1.00")})
HELD = outcomes(Outcome(hold=True))


def place(name: str, usd: int, **more: Any) -> FakeTarget:
    """A target that costs so much an hour."""
    made = FakeTarget(name, **more)
    made.spec = TargetSpec(name, "local", slots=64, cost_per_hour=Decimal(usd))
    return made


def begin(
    store: SqliteStore, *places: FakeTarget, placement: Placement = BUDGET, decided: Any = decide
) -> Dispatcher:
    wanted = replace(service("s", "in"), placement=placement)
    snapshot = Snapshot(tuple(TargetState(one.spec) for one in places))
    return Dispatcher(
        store,
        [wanted],
        FolderRoutes([wanted]),
        {one.name: one for one in places},
        decide=decided,
        snapshot=lambda: snapshot,
        settings=FAST,
    )


def on(store: SqliteStore, target: str) -> int:
    return Counter(record.target for record in store.jobs())[target]


def test_a_restart_does_not_forget_what_is_promised(tmp_path: Path) -> None:
    cloud = place("cloud", 36, script=HELD)
    with open_store(tmp_path) as store, begin(store, cloud) as first:
        for number in range(9):
            first.ingest(PROVIDER, body(f"in/{number}"))
        until(lambda: first.running("cloud") == 3)
        assert store.promised("s", "").service == Decimal("0.90")
    with open_store(tmp_path) as store:
        again = begin(store, cloud)
        again.restore()
        again.ingest(PROVIDER, body("in/more"))
        again._placer._step()
        assert on(store, "cloud") == 3
        waits = [record.reason for record in store.jobs(states=[JobState.ACCEPTED])]
        assert any("0.10 USD is left" in reason for reason in waits), waits
        again.close()


def test_two_dispatchers_do_not_spend_the_same_money(store: SqliteStore) -> None:
    """One decides while the other places: what it has seen is not so any more when it commits."""
    cloud = place("cloud", 36)
    other = begin(store, cloud)
    late: list[Change] = []

    def slow(*given: Any, seed: int = 0) -> Any:
        if not late:
            late.append(Change("", 1, JobState.ACCEPTED, NOW))
            store.accept([new_job(f"in/late{n}") for n in range(4)], other._core.clock())
            other._placer._step()
        return decide(*given, seed=seed)

    one = begin(store, cloud, decided=slow)
    for each in (one, other):
        each.restore()
    store.accept([new_job(f"in/{n}") for n in range(4)], one._core.clock())
    one._placer._step()
    assert on(store, "cloud") == 3
    # Those that it had claimed are nobody's again.
    until(lambda: (store.next_due(JobState.ACCEPTED, 0.0) or 1e99) <= one._core.clock())
    assert store.claim(other._core.owner, JobState.ACCEPTED, one._core.clock(), 64)
    for each in (one, other):
        each.close()


def test_jobs_that_fall_back_do_not_spend_more_than_there_is(store: SqliteStore) -> None:
    """They were placed where nothing is paid; where they go then, it is."""
    down = outcomes(Outcome(refuse=TargetUnavailable("down", delay=0)))
    free, cloud = place("free", 0, script=down), place("cloud", 36, script=HELD)
    wanted = replace(BUDGET, policy="cheapest", fallback=("cloud",))
    store.accept([new_job(f"in/{n}") for n in range(9)], NOW)
    with begin(store, free, cloud, placement=wanted):
        until(lambda: len(cloud.runs) == 3)
        until(lambda: all(record.attempt > 1 for record in store.jobs()))
        until(lambda: not store.lessons(1))
        assert len(cloud.runs) == 3
        assert store.promised("s", "").service == Decimal("0.90")


def test_jobs_that_begin_again_together_see_each_other(store: SqliteStore) -> None:
    free, cloud = place("free", 0), place("cloud", 36)
    running = begin(store, free, cloud, placement=replace(BUDGET, policy="cheapest"))
    running.restore()
    for one in store.accept([new_job(f"in/{n}") for n in range(9)], NOW):
        store.change([Change(one.job, 1, JobState.PLACED, NOW, target="free")])
        store.change([Change(one.job, 1, JobState.ACCEPTED, NOW, again=True, unrun=True, due=NOW)])
    running._placer._step()
    assert on(store, "cloud") == 3
    running.close()


def test_what_was_learned_is_not_promised_any_more(store: SqliteStore) -> None:
    def script(job: Job) -> Outcome:
        # Of a run that is lost, too: it is paid for.
        lost = job.attempt == 1
        return Outcome(JobState.FAILED if lost else JobState.SUCCEEDED, temporary=lost, polls=1)

    with begin(store, place("cloud", 36, script=script)) as running:
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
        until(lambda: not store.lessons(1))
    assert store.promised("s", "").service == 0
