"""The dispatcher as it is steered, watched, stopped and followed by the next."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.dispatch import Change, JobEvent, Settings, SqliteStore
from bridge.dispatch.testing import FakeTarget, Outcome
from bridge.errors import NotFoundError, TemporaryError
from bridge.targets import Job, JobState
from tests.dispatch.world import (
    FAST,
    PATIENCE,
    PROVIDER,
    Polled,
    body,
    dispatcher,
    new_job,
    only,
    open_store,
    outcomes,
    until,
)

# --- cancel --------------------------------------------------------------------------------------


def test_a_job_is_cancelled_before_it_is_placed(store: SqliteStore) -> None:
    target = FakeTarget()
    running = dispatcher(store, {"fake": target})
    (job,) = running.ingest(PROVIDER, body("in/a")).new
    assert running.cancel(job)
    assert not running.cancel(job)
    with running:
        assert running.wait_quiet(PATIENCE)
    assert only(store).state is JobState.CANCELLED
    assert (target.submits, target.cancels) == ([], [])
    with pytest.raises(NotFoundError):
        running.cancel("nobody")


def test_a_running_job_is_cancelled_on_its_target(store: SqliteStore) -> None:
    target = FakeTarget(script=outcomes(Outcome(hold=True)))
    with dispatcher(store, {"fake": target}) as running:
        (job,) = running.ingest(PROVIDER, body("in/a")).new
        until(lambda: only(store).state is JobState.RUNNING)
        assert running.cancel(job)
        assert running.wait_quiet(PATIENCE)
    assert only(store).state is JobState.CANCELLED
    assert target.cancels == [job]
    assert store.jobs(stop=True) == []


def test_a_target_need_not_repeat_the_end_of_a_cancelled_job(store: SqliteStore) -> None:
    target = FakeTarget(script=lambda job: Outcome(hold=True))
    with dispatcher(store, {"fake": target}) as running:
        (first, second) = (running.ingest(PROVIDER, body(f"in/{n}")).new[0] for n in "ab")
        until(lambda: len(store.jobs(states=[JobState.RUNNING])) == 2)
        running.cancel(first)
        # News are only asked for while a job is there.
        until(lambda: first not in target._open)
        running.cancel(second)
        assert running.wait_quiet(PATIENCE)


def test_a_cancel_that_the_target_did_not_hear_is_told_again(tmp_path: Path) -> None:
    target = FakeTarget(script=outcomes(Outcome(hold=True)))
    known, calls = target.cancel, []

    class Deaf(Polled):
        def cancel(self, job: str) -> None:
            calls.append(job)
            if len(calls) < 2:
                raise TemporaryError("no answer")
            known(job)

    settings = Settings(lease=0.05, poll_max=0.01)
    with open_store(tmp_path) as store:
        deaf = Deaf(target, target.poll)
        with dispatcher(store, {"fake": deaf}, settings=settings) as running:  # type: ignore[dict-item]
            (job,) = running.ingest(PROVIDER, body("in/a")).new
            until(lambda: only(store).state is JobState.RUNNING)
            assert running.cancel(job)
            until(lambda: not store.jobs(stop=True))
    assert target.cancels == [job]


def test_a_job_cancelled_while_it_is_submitted_is_stopped(store: SqliteStore) -> None:
    began, go = threading.Event(), threading.Event()

    def script(job: Job) -> Outcome:
        began.set()
        go.wait(PATIENCE)
        return Outcome(hold=True)

    target = FakeTarget(script=script)
    with dispatcher(store, {"fake": target}) as running:
        (job,) = running.ingest(PROVIDER, body("in/a")).new
        assert began.wait(PATIENCE)
        canceller = threading.Thread(target=running.cancel, args=(job,))
        canceller.start()
        until(lambda: only(store).state is JobState.CANCELLED)
        go.set()
        canceller.join()
        until(lambda: job in target.cancels)
    assert only(store).state is JobState.CANCELLED


# --- who watches ---------------------------------------------------------------------------------


def test_subscribers_hear_every_state_in_order(store: SqliteStore) -> None:
    heard: list[JobEvent] = []
    target = FakeTarget(script=outcomes(Outcome(polls=3)))
    with dispatcher(store, {"fake": target}) as running:
        running.subscribe(heard.append)
        end = running.subscribe(lambda event: 1 / 0)
        running.ingest(PROVIDER, body("in/a"))
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
        end()
    states = [e.state for e in heard]
    assert states[:2] == [JobState.ACCEPTED, JobState.PLACED]
    assert states[-1] is JobState.SUCCEEDED
    assert JobState.RUNNING in states
    assert [e.previous for e in heard] == [None, *states[:-1]]


def test_a_slow_subscriber_holds_nobody_up(store: SqliteStore) -> None:
    block = threading.Event()
    with dispatcher(store, {"fake": FakeTarget()}) as running:
        running.subscribe(lambda event: block.wait(PATIENCE) and None)
        for n in range(50):
            running.ingest(PROVIDER, body(f"in/{n}"))
        quiet = running.wait_quiet(PATIENCE)
        block.set()
    assert quiet
    assert store.counts() == {("s", JobState.SUCCEEDED): 50}


def test_waiting_ends_without_an_answer(store: SqliteStore) -> None:
    target = FakeTarget(script=outcomes(Outcome(hold=True)))
    with dispatcher(store, {"fake": target}) as running:
        (job,) = running.ingest(PROVIDER, body("in/a")).new
        assert not running.wait_quiet(0.05)
        found = running.wait(job, 0.05)
        assert found is not None
        assert not found.state.final
        assert running.wait("nobody", PATIENCE) is None


# --- end and beginning ---------------------------------------------------------------------------


def test_the_next_dispatcher_goes_on_with_what_was_submitted(tmp_path: Path) -> None:
    """The target kept its runs: they are followed, not run a second time."""
    target = FakeTarget(script=outcomes(Outcome(hold=True)))
    with open_store(tmp_path) as store, dispatcher(store, {"fake": target}) as running:
        for n in range(10):
            running.ingest(PROVIDER, body(f"in/{n}"))
        until(lambda: len(store.jobs(states=[JobState.RUNNING])) == 10)
    target.let_go()
    with open_store(tmp_path) as store, dispatcher(store, {"fake": target}) as running:
        assert running.wait_quiet(PATIENCE)
        assert store.counts() == {("s", JobState.SUCCEEDED): 10}
    assert len(target.runs) == 10


def test_a_target_that_lost_its_runs_gets_them_again(tmp_path: Path) -> None:
    holding = FakeTarget(script=outcomes(Outcome(hold=True)))
    with open_store(tmp_path) as store, dispatcher(store, {"fake": holding}) as running:
        running.ingest(PROVIDER, body("in/a"))
        until(lambda: only(store).state is JobState.RUNNING)
    refuse = Outcome(refuse=TemporaryError("starting", delay=0))
    fresh = FakeTarget(script=outcomes(refuse, Outcome()))
    with open_store(tmp_path) as store, dispatcher(store, {"fake": fresh}) as running:
        assert running.wait_quiet(PATIENCE)
        assert (only(store).state, only(store).attempt) == (JobState.SUCCEEDED, 1)
    assert [job.attempt for job in fresh.runs] == [1]


def test_jobs_of_a_target_that_is_gone_are_placed_anew(tmp_path: Path) -> None:
    gone = FakeTarget("gone", slots=1, script=outcomes(Outcome(hold=True)))
    with open_store(tmp_path) as store, dispatcher(store, {"gone": gone}) as running:
        for n in range(5):
            running.ingest(PROVIDER, body(f"in/{n}"))
        until(lambda: len(store.jobs(states=[JobState.RUNNING])) == 2)
        until(lambda: not store.jobs(states=[JobState.ACCEPTED]))
    with open_store(tmp_path) as store, dispatcher(store, {"new": FakeTarget("new")}) as running:
        assert running.wait_quiet(PATIENCE)
        records = store.jobs()
    assert {(r.state, r.target, r.attempt) for r in records} == {(JobState.SUCCEEDED, "new", 2)}


def test_a_dispatcher_that_hangs_loses_its_jobs_to_another(tmp_path: Path) -> None:
    target = FakeTarget()
    with open_store(tmp_path) as store:
        accepted = store.accept([new_job("in/a"), new_job("in/b")], 0.0)
        store.lease("somebody", 1.0)
        store.claim("somebody", JobState.ACCEPTED, 0.5, 1)
        store.change([Change(accepted[0].job, 1, JobState.SUBMITTED, 0.6, target="fake")])
        with dispatcher(store, {"fake": target}, settings=Settings(lease=0.1)) as running:
            assert running.wait_quiet(PATIENCE)
        assert store.counts() == {("s", JobState.SUCCEEDED): 2}


@pytest.mark.parametrize("ahead", [-600.0, 600.0])
def test_clocks_that_differ_take_no_job_from_who_lives(store: SqliteStore, ahead: float) -> None:
    """Whose clock is wrong, or was just set, must not think that the others are dead."""
    target = FakeTarget(script=outcomes(Outcome(hold=True)))
    with dispatcher(store, {"fake": target}) as first:
        first.ingest(PROVIDER, body("in/a"))
        until(lambda: first.running("fake") == 1)
        second = dispatcher(store, {"fake": FakeTarget()})
        second._core.clock = lambda: time.time() + ahead
        now = [0.0]
        second._keeper._steady = lambda: now[0]
        second.restore()
        assert len(store.owners()) == 2
        claim = store.claim(second._core.owner, JobState.RUNNING, time.time() + ahead, 9, "fake")
        assert claim == []
        # Nor is who was heard of meanwhile; who is silent for as long as a lease is dead.
        now[0] += 60
        store.lease(first._core.owner, time.time() + 1e6)
        second._keeper._bury()
        assert len(store.owners()) == 2
        now[0] += 60
        second._keeper._bury()
        assert list(store.owners()) == [second._core.owner]
        target.let_go()
        second.close()


def test_closing_twice_is_fine_and_frees_the_jobs(store: SqliteStore) -> None:
    running = dispatcher(store, {"fake": FakeTarget()})
    running.start()
    assert len(store.owners()) == 1
    running.close()
    running.close()
    assert store.owners() == {}
    assert not [t for t in threading.enumerate() if t.name.startswith(("dispatch-", "submit-"))]


def test_what_another_dispatcher_did_is_counted_anew(tmp_path: Path) -> None:
    settings = replace(FAST, lease=1.5)
    target = FakeTarget("one", script=lambda job: Outcome(hold=True))
    with open_store(tmp_path) as mine, open_store(tmp_path) as others:
        mine.lease("long dead", 5.0)
        with (
            dispatcher(mine, {"one": target}, settings=settings) as first,
            dispatcher(others, {"one": FakeTarget("one")}, settings=settings) as second,
        ):
            for number in range(20):
                first.ingest(PROVIDER, body(f"in/{number}"))
            second.ingest(PROVIDER, body("in/other"))
            target.let_go()
            until(mine.quiet)
            until(lambda: (first.open_jobs, second.open_jobs) == (0, 0))
            assert "long dead" not in mine.owners()
