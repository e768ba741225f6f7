"""Chains of services: quiet only when every output that must start a job has done so."""

from __future__ import annotations

from bridge.dispatch import Output, SqliteStore
from bridge.dispatch.testing import FakeTarget, Outcome
from bridge.errors import NotFoundError
from bridge.targets import Job, JobState
from tests.dispatch.world import PATIENCE, PROVIDER, Shelf, body, dispatcher, info, service

CHAIN = [
    service("split", "in", output="mid"),
    service("detect", "mid", output="out"),
    service("also", "mid"),
]
MIDDLE = Output(PROVIDER, "b", "mid/a", 3, '"m1"')
DONE = {("split", JobState.SUCCEEDED): 1, ("detect", JobState.SUCCEEDED): 1} | {
    ("also", JobState.SUCCEEDED): 1
}


def chain_target() -> FakeTarget:
    """`split` writes mid/a; `detect` writes an object that no service asks for."""

    def script(job: Job) -> Outcome:
        if job.service == "split":
            return Outcome(outputs=(MIDDLE,))
        return Outcome(outputs=(Output(PROVIDER, "b", "out/a", 1, "o1"),))

    return FakeTarget(script=script)


def test_it_is_not_quiet_until_the_follow_ups_came(store: SqliteStore) -> None:
    with dispatcher(store, {"fake": chain_target()}, CHAIN) as running:
        (job,) = running.ingest(PROVIDER, body("in/a")).new
        assert running.wait(job, PATIENCE)
        assert not running.wait_quiet(0.05)
        missing = sorted(e.service for e in store.expected())
        assert len(running.ingest(PROVIDER, body("mid/a", etag="m1")).new) == 2
        assert running.wait_quiet(PATIENCE)
    assert missing == ["also", "detect"]
    assert store.counts() == DONE


def test_a_notification_may_be_faster_than_the_report(store: SqliteStore) -> None:
    target = chain_target()
    with dispatcher(store, {"fake": target}, CHAIN) as running:
        running.ingest(PROVIDER, body("mid/a", etag="m1"))
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
    assert store.counts() == DONE
    assert store.expected() == []


def test_a_failed_job_has_no_follow_ups(store: SqliteStore) -> None:
    failing = FakeTarget(script=lambda job: Outcome(JobState.FAILED, 1, outputs=(MIDDLE,)))
    with dispatcher(store, {"fake": failing}, CHAIN) as running:
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
    assert store.counts() == {("split", JobState.FAILED): 1}


def test_a_follow_up_whose_event_never_came_is_found_by_listing(store: SqliteStore) -> None:
    shelf = Shelf([info("mid/a", "m1"), info("mid/ab", "m2"), info("in/a", "e1")])
    with dispatcher(store, {"fake": chain_target()}, CHAIN, listing=shelf) as running:
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
        late = running.ingest(PROVIDER, body("mid/a", etag="m1"))
        assert running.wait_quiet(PATIENCE)
    assert not late.new
    # The neighbour mid/ab starts with the same letters, so the listing shows it: it had no job.
    assert store.counts()["detect", JobState.SUCCEEDED] == 2
    assert {place[2] for place in shelf.asked} == {"mid/a"}


def test_an_object_that_is_gone_is_not_waited_for(store: SqliteStore) -> None:
    with dispatcher(store, {"fake": chain_target()}, CHAIN, listing=Shelf()) as running:
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
    assert store.counts() == {("split", JobState.SUCCEEDED): 1}


def test_a_bucket_that_is_gone_is_not_waited_for(store: SqliteStore) -> None:
    class Gone(Shelf):
        def __call__(self, provider: str, bucket: str, prefix: str) -> list[object]:  # type: ignore[override]
            raise NotFoundError("no such bucket")

    with dispatcher(store, {"fake": chain_target()}, CHAIN, listing=Gone()) as running:
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)


def test_an_overwritten_object_is_taken_as_it_is_now(store: SqliteStore) -> None:
    shelf = Shelf([info("mid/a", "other")])
    with dispatcher(store, {"fake": chain_target()}, CHAIN, listing=shelf) as running:
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
    assert store.counts() == DONE


def test_reconcile_makes_jobs_of_what_has_none(store: SqliteStore) -> None:
    shelf = Shelf([info(f"in/{n}", f"e{n}") for n in range(1200)] + [info("in/"), info("x/1")])
    with dispatcher(store, {"fake": FakeTarget()}, [service("s", "in")]) as running:
        running.ingest(PROVIDER, body("in/7", etag="e7"))
        assert len(running.reconcile(shelf)) == 1199
        assert running.reconcile(shelf) == ()
        assert running.reconcile() == ()
        repeated = running.ingest(PROVIDER, body("in/8", etag="e8"))
        rewritten = running.ingest(PROVIDER, body("in/8", etag="e8", sequencer="2"))
        assert running.wait_quiet(PATIENCE)
    assert set(shelf.asked) == {(PROVIDER, "b", "in/")}
    assert (len(repeated.new), len(rewritten.new)) == (0, 1)
    assert store.counts() == {("s", JobState.SUCCEEDED): 1201}
