"""What a dispatcher learns from the jobs that it ran: kept, shared, and used by its decisions."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bridge.dispatch import Dispatcher, SqliteStore
from bridge.dispatch.testing import FakeTarget, Outcome
from bridge.errors import TemporaryError
from bridge.estimates import Estimates
from bridge.fdl.model import Placement, TargetSpec
from bridge.scheduler import Snapshot, TargetState, decide
from bridge.targets import JobState, JobUpdate
from tests.dispatch.world import FAST, FolderRoutes, body, open_store, service, until

SERVICE = replace(service("s", "in"), placement=Placement(policy="fastest"))


@dataclass(slots=True)
class Timed(FakeTarget):
    """A target whose runs say that they took so many seconds."""

    seconds: float = 1.0

    def __post_init__(self) -> None:
        self.longest = 1
        self.spec = TargetSpec(self.name, "local", slots=4, cost_per_hour=Decimal(36))

    def poll(self) -> Iterable[JobUpdate]:
        return [self._timed(u) if u.state.final else u for u in FakeTarget.poll(self)]

    def _timed(self, update: JobUpdate) -> JobUpdate:
        at = time.time() - self.seconds
        phases = {"stage_in": 0.1, "script": self.seconds, "stage_out": 0.1}
        report = {**update.report, "phases": phases, "input": {"size": 3}}
        return replace(update, report=report, started=at, ended=at + self.seconds)


def targets(slow: float = 300.0) -> dict[str, FakeTarget]:
    return {"slow": Timed("slow", seconds=slow), "fast": Timed("fast", seconds=2.0)}


def begin(store: SqliteStore, places: dict[str, FakeTarget], **more: Any) -> Dispatcher:
    snapshot = Snapshot(tuple(TargetState(t.spec) for t in places.values()))
    return Dispatcher(
        store,
        [SERVICE],
        FolderRoutes([SERVICE]),
        places,
        decide=decide,
        snapshot=lambda: snapshot,
        settings=FAST,
        **more,
    )


def feed(work: Dispatcher, first: int, count: int) -> list[str]:
    """Where so many jobs ran, one after the other; what they showed is learned."""
    ran = []
    for number in range(first, first + count):
        (job,) = work.ingest("minio.default", body(f"in/{number}")).accepted
        record = work.wait(job.job, 60)
        assert record is not None
        assert record.state is JobState.SUCCEEDED
        ran.append(record.target)
        work.known.learn()
    until(lambda: not work.store.lessons(1))
    return ran


def test_decisions_rest_on_what_ran_also_after_a_restart(tmp_path: Path) -> None:
    with open_store(tmp_path) as store, begin(store, targets()) as work:
        ran = feed(work, 0, 12)
        assert set(ran[-3:]) == {"fast"}
        (first,) = _decisions(store, 0)
        assert any("guess" in note for note in _of(first, first["target"])["notes"])
        told = {one.target: one for one in work.known.accuracy()}
        assert told["fast"].run == pytest.approx(2.0, rel=0.06)
        assert told["fast"].samples == ran.count("fast")
        assert told["fast"].compared > 0
        # 36 USD an hour, one core: a cent for each second, and nobody owns the service.
        spent = sum(300 if name == "slow" else 2 for name in ran) / 100
    with open_store(tmp_path) as store, begin(store, targets()) as work:
        assert float(work.known.spent("s").month) == pytest.approx(spent, rel=0.01)
        assert feed(work, 100, 1) == ["fast"]
        (second,) = _decisions(store, 12)
        chosen = _of(second, "fast")
        assert chosen["run"] == pytest.approx(2.0, rel=0.06)
        assert not any("guess" in note for note in chosen["notes"])


def _decisions(store: SqliteStore, number: int) -> tuple[Any, ...]:
    detail = store.detail(store.jobs()[number].id)
    assert detail is not None
    return detail.decisions


def _of(decision: dict[str, Any], target: str) -> dict[str, Any]:
    return next(c for c in decision["candidates"] if c["target"] == target)


def test_a_burst_counts_what_it_will_cost_before_any_of_it_is_over(store: SqliteStore) -> None:
    hold = Timed("place", seconds=2.0, script=lambda job: Outcome(hold=True))
    with begin(store, {"place": hold}) as work:
        for number in range(4):
            work.ingest("minio.default", body(f"in/{number}"))
        until(lambda: work.running("place") == 4)
        # Nothing is known of the runs: each is taken for 30 seconds, at a cent for each.
        assert float(work.known.spent("s").day) == pytest.approx(4 * 0.30, rel=0.01)
        assert work.known.spent("other").day == 0
        hold.let_go()
        assert work.wait_quiet(60)
        until(lambda: not store.lessons(1))
        # Both count until it is sure that the one is in the other.
        assert float(work.known.spent("s").day) >= 4 * 0.02
    later = begin(store, {"place": hold})
    later.known.load()
    assert float(later.known.spent("s").day) == pytest.approx(4 * 0.02, rel=0.01)


def test_where_nothing_is_kept_history_is_learned_again(store: SqliteStore) -> None:
    with begin(store, targets()) as work:
        feed(work, 0, 8)
        before = work.known.accuracy()
    # As a newer or an older program leaves it.
    version, _ = store.kept()
    store.relearn((Estimates.MARK[0], "0"))
    assert len(store.lessons(100)) == 8
    assert store.kept()[0] > version
    with begin(store, targets()) as work:
        until(lambda: not store.lessons(1))
        assert [(a.target, a.samples, a.run) for a in work.known.accuracy()] == [
            (a.target, a.samples, a.run) for a in before
        ]


def test_what_cannot_be_read_is_learned_again_and_keeps_nobody_from_work(
    store: SqliteStore,
) -> None:
    with begin(store, targets()) as work:
        feed(work, 0, 4)
    version, kept = store.kept()
    names = sorted(name for name in kept if "runs" in name)
    assert store.learned(version, {names[0]: "{}", '["spent","service","gone"]': ""}, [])
    with begin(store, targets()) as work:
        feed(work, 10, 1)
        assert sum(one.samples for one in work.known.accuracy()) == 5


def test_each_attempt_is_learned_once_by_whoever_is_first(store: SqliteStore) -> None:
    with begin(store, targets()) as one:
        feed(one, 0, 5)
        other = begin(store, targets())
        other.known.load()
        version, kept = store.kept()
        (job,) = one.ingest("minio.default", body("in/9")).accepted
        one.wait(job.job, 60)
        until(lambda: not store.lessons(1))
        # The other one has read an older version: what it would write is refused.
        assert not store.learned(version, kept, [])
        other.known.learn()
        samples = {a.target: a.samples for a in one.known.accuracy()}
        assert {a.target: a.samples for a in other.known.accuracy()} == samples
        assert sum(samples.values()) == 6


def test_a_target_that_lets_jobs_down_and_one_that_refuses_them_are_known(
    store: SqliteStore,
) -> None:
    lost = Outcome(state=JobState.FAILED, exit_code=None, temporary=True)
    own = Outcome(state=JobState.FAILED, exit_code=3)
    away = Outcome(refuse=TemporaryError("not now", delay=0.001))
    outcomes = [lost, lost, own, lost, lost, own, own]
    place = Timed("place", seconds=0.0, script=lambda job: outcomes.pop(0) if outcomes else away)

    def known() -> TargetState:
        return work.known.informed(Snapshot((TargetState(place.spec),)), "s").targets[0]

    with begin(store, {"place": place}) as work:
        for number in range(3):
            (job,) = work.ingest("minio.default", body(f"in/{number}")).accepted
            work.wait(job.job, 60)
        until(lambda: not store.lessons(1))
        # Four attempts of seven were lost, one of them is forgiven; a script's own end is not it.
        assert known().failures == pytest.approx(3 / 11, rel=0.01)
        assert known().breaker == "closed"
        work.ingest("minio.default", body("in/late"))
        until(lambda: known().breaker == "open")
        until(lambda: '"trips":1' in store.kept()[1].get('["target", "place"]', ""))
    with begin(store, {"place": place}) as work:
        assert known().breaker == "open"


def test_decisions_know_whether_a_container_of_lambda_waits_for_the_job(store: SqliteStore) -> None:
    place = Timed("fn")
    place.spec = TargetSpec("fn", "lambda", region="us-east-1")
    with begin(store, {"fn": place}) as work:
        feed(work, 0, 2)
        (second,) = _decisions(store, 1)
        told = second["given"]["targets"]["fn"]
        assert (told["cold"], told["warm"]) == (pytest.approx(0.0, abs=0.01), 1)
        place.script = lambda job: Outcome(hold=True)
        place.seconds = 0.0
        work.ingest("minio.default", body("in/held"))
        until(lambda: work.running("fn") == 1)
        (now,) = work.known.informed(Snapshot((TargetState(place.spec),)), "s").targets
        assert (now.cold["s"], now.warm["s"]) == (1.0, 0)
        place.let_go()
        assert work.wait_quiet(60)
