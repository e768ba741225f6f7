"""The dispatcher over targets in memory: every job to its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from bridge.dispatch import Change, JobEvent, JobRecord, Settings, SqliteStore
from bridge.dispatch.testing import FakeTarget, Outcome
from bridge.errors import NotFoundError, PermanentError, TargetUnavailable, TemporaryError
from bridge.scheduler import from_json
from bridge.targets import Job, JobState, JobUpdate
from tests.dispatch.world import (
    FAST,
    PATIENCE,
    PROVIDER,
    body,
    decide_for,
    dispatcher,
    new_job,
    open_store,
    refuse_all,
    service,
    until,
)


def only(store: SqliteStore) -> JobRecord:
    (record,) = store.jobs()
    return record


def outcomes(*found: Outcome) -> Callable[[Job], Outcome]:
    """A script: the n-th submit has the n-th outcome; the last one stays."""
    left = list(found)
    return lambda job: left.pop(0) if len(left) > 1 else left[0]


# --- the straight way ----------------------------------------------------------------------------


def test_an_event_becomes_a_job_that_succeeds(store: SqliteStore) -> None:
    target = FakeTarget()
    with dispatcher(store, {"fake": target}) as running:
        result = running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
    record = only(store)
    assert result.new == (record.id,)
    assert (record.state, record.target, record.exit_code) == (JobState.SUCCEEDED, "fake", 0)
    assert record.handle == f"fake/{record.id}/1"
    assert record.log == f"log/fake/{record.id}/1"
    assert record.report["state"] == "succeeded"
    times = [record.accepted, record.placed, record.submitted, record.ended]
    assert times == sorted(t for t in times if t is not None)
    assert [job.event.key for job in target.runs] == ["in/a"]
    detail = store.detail(record.id)
    assert detail is not None
    decision = from_json(detail.decisions[0])
    assert (decision.target, decision.service) == ("fake", "s")
    assert decision.candidates[0].offer.cost == Decimal("0.10")


def test_many_events_each_run_once(store: SqliteStore) -> None:
    target = FakeTarget(slots=4, push=True)
    with dispatcher(store, {"fake": target}) as running:
        for n in range(300):
            running.ingest(PROVIDER, body(f"in/{n % 100}"))
        assert running.wait_quiet(PATIENCE)
    assert store.counts() == {("s", JobState.SUCCEEDED): 100}
    assert sorted(job.event.key for job in target.runs) == sorted(f"in/{n}" for n in range(100))


def test_a_target_never_has_more_than_twice_its_slots(store: SqliteStore) -> None:
    most = 0
    target = FakeTarget(slots=3)
    known = target.poll

    def poll() -> object:
        nonlocal most
        most = max(most, len(target._open))
        return known()

    with dispatcher(store, {"fake": _Polled(target, poll)}) as running:  # type: ignore[dict-item]
        for n in range(60):
            running.ingest(PROVIDER, body(f"in/{n}"))
        assert running.wait_quiet(PATIENCE)
    assert 0 < most <= 6


class _Polled:
    """A target whose polls are looked at."""

    def __init__(self, target: FakeTarget, poll: Callable[[], object]) -> None:
        self._target = target
        self.poll = poll

    def __getattr__(self, name: str) -> object:
        return getattr(self._target, name)


def test_a_failing_script_is_final(store: SqliteStore) -> None:
    failure = Outcome(JobState.FAILED, exit_code=3, reason="the script ended with 3")
    target = FakeTarget(script=outcomes(failure))
    with dispatcher(store, {"fake": target}) as running:
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
    record = only(store)
    assert (record.state, record.exit_code) == (JobState.FAILED, 3)
    assert record.reason == "the script ended with 3"
    assert len(target.runs) == 1


def test_direct_calls_are_jobs_of_their_own(store: SqliteStore) -> None:
    target = FakeTarget()
    with dispatcher(store, {"fake": target}) as running:
        (first,) = running.submit_raw("s", b"hello")
        (second,) = running.submit_raw("s", b"hello")
        (named,) = running.submit_raw("s", b"hello", nonce="call-1")
        (again,) = running.submit_raw("s", b"hello", nonce="call-1")
        record = running.wait(first.job, PATIENCE)
        assert running.wait_quiet(PATIENCE)
    assert len({first.job, second.job, named.job}) == 3
    assert (again.job, again.new) == (named.job, False)
    assert record is not None
    assert record.state is JobState.SUCCEEDED
    assert record.event.body == b"hello"


def test_a_direct_call_of_an_unknown_service_is_refused(store: SqliteStore) -> None:
    running = dispatcher(store, {"fake": FakeTarget()})
    with pytest.raises(NotFoundError, match="nobody"):
        running.submit_raw("nobody", b"hello")
    assert store.jobs() == []


# --- what is not a job ---------------------------------------------------------------------------


def test_a_malformed_event_is_kept(store: SqliteStore) -> None:
    running = dispatcher(store, {"fake": FakeTarget()})
    broken = b'{"Records": [{"eventSource": "minio:s3", "s3": {}}]}'
    result = running.ingest(PROVIDER, broken)
    (kept,) = store.refusals()
    assert (kept.body, kept.source, kept.reason) == (broken, PROVIDER, result.refused)
    assert result.refused
    assert store.jobs() == []


def test_an_event_that_nobody_asks_for_is_counted(store: SqliteStore) -> None:
    running = dispatcher(store, {"fake": FakeTarget()})
    assert running.ingest(PROVIDER, body("elsewhere/a")).ignored == 1
    assert running.ingest(PROVIDER, b"hello").ignored == 1
    assert store.totals()["ignored"] == 2
    direct, stored = store.ignored()
    assert "minio.default:b/elsewhere/a" in stored.reason
    assert "direct calls" in direct.reason
    assert running.quiet()


# --- placement -----------------------------------------------------------------------------------


def test_a_job_that_nothing_can_run_fails_with_the_reason(store: SqliteStore) -> None:
    with dispatcher(store, {"fake": FakeTarget()}, decide=refuse_all) as running:
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
    assert (only(store).state, only(store).reason) == (JobState.FAILED, "nothing can run s")


@pytest.mark.parametrize("target", ["", "elsewhere"])
def test_a_decision_without_a_target_of_ours_fails(store: SqliteStore, target: str) -> None:
    decide = decide_for(target)
    with dispatcher(store, {"fake": FakeTarget()}, decide=decide) as running:
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
    record = only(store)
    detail = store.detail(record.id)
    assert detail is not None
    assert record.state is JobState.FAILED
    assert detail.decisions[0]["target"] == target
    assert target in record.reason


def test_a_job_of_a_service_that_is_not_here_fails(store: SqliteStore) -> None:
    store.accept([new_job("in/a", name="gone")], 0.0)
    with dispatcher(store, {"fake": FakeTarget()}) as running:
        assert running.wait_quiet(PATIENCE)
    assert only(store).state is JobState.FAILED
    assert "gone" in only(store).reason


@pytest.mark.parametrize("error", [TemporaryError("later", delay=0), RuntimeError("a bug")])
def test_placement_is_tried_again_and_then_dead(store: SqliteStore, error: Exception) -> None:
    calls = []

    def decide(*given: object, seed: int = 0) -> object:
        calls.append(seed)
        raise error

    with dispatcher(store, {"fake": FakeTarget()}, decide=decide) as running:  # type: ignore[arg-type]
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
    assert only(store).state is JobState.DEAD
    assert len(calls) == FAST.max_submits
    assert len(set(calls)) == 1


def test_decisions_of_a_burst_see_each_other(store: SqliteStore) -> None:
    seen = []
    holding = FakeTarget(script=outcomes(Outcome(hold=True)))
    plain = decide_for("fake")

    def decide(*given: object, seed: int = 0) -> object:
        seen.append(running.queued("fake") + running.running("fake"))
        return plain(*given, seed=seed)

    running = dispatcher(store, {"fake": holding}, decide=decide)  # type: ignore[arg-type]
    for n in range(20):
        running.ingest(PROVIDER, body(f"in/{n}"))
    with running:
        until(lambda: len(seen) == 20)
        holding.let_go()
        assert running.wait_quiet(PATIENCE)
        assert running.queued("fake") == running.running("fake") == 0
    assert seen == list(range(20))


# --- submit --------------------------------------------------------------------------------------


def test_a_submit_that_can_never_work_fails_the_job(store: SqliteStore) -> None:
    target = FakeTarget(script=outcomes(Outcome(refuse=PermanentError("no such image"))))
    with dispatcher(store, {"fake": target}) as running:
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
    assert (only(store).state, only(store).reason) == (JobState.FAILED, "no such image")
    assert len(target.submits) == 1


def test_a_submit_that_fails_for_now_is_tried_again(store: SqliteStore) -> None:
    refusal = Outcome(refuse=TemporaryError("throttled", delay=0))
    target = FakeTarget(script=outcomes(refusal, refusal, Outcome()))
    with dispatcher(store, {"fake": target}) as running:
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
    assert (only(store).state, only(store).attempt, only(store).tries) == (JobState.SUCCEEDED, 1, 2)
    assert len(target.submits) == 3


@pytest.mark.parametrize("error", [TargetUnavailable("down", delay=0), ValueError("a bug")])
def test_after_enough_submits_the_job_is_dead(store: SqliteStore, error: Exception) -> None:
    target = FakeTarget(script=outcomes(Outcome(refuse=error)))  # type: ignore[arg-type]
    settings = replace(FAST, max_submits=2)
    with dispatcher(store, {"fake": target}, settings=settings) as running:
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
    record = only(store)
    assert record.state is JobState.DEAD
    assert str(error) in record.reason
    assert len(target.submits) == 2


def test_a_full_target_is_waited_for(store: SqliteStore) -> None:
    """Sixty jobs for a place that takes two at a time and refuses the rest: none is dead."""
    target = FakeTarget()

    def script(job: Job) -> Outcome:
        full = len(target._open) >= 2
        return Outcome(refuse=TargetUnavailable("no room", delay=0.001)) if full else Outcome()

    target.script = script
    with dispatcher(store, {"fake": target}) as running:
        for n in range(60):
            running.ingest(PROVIDER, body(f"in/{n}"))
        assert running.wait_quiet(PATIENCE)
    assert store.counts() == {("s", JobState.SUCCEEDED): 60}


def test_the_fallback_target_takes_over(store: SqliteStore) -> None:
    down = FakeTarget("first", script=outcomes(Outcome(refuse=TargetUnavailable("down", delay=0))))
    also = FakeTarget("second", script=outcomes(Outcome(refuse=TargetUnavailable("too", delay=0))))
    third = FakeTarget("third")
    services = [service("s", "in", fallback=("first", "unknown", "second", "third"))]
    targets = {"first": down, "second": also, "third": third}
    with dispatcher(store, targets, services) as running:
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
    record = only(store)
    detail = store.detail(record.id)
    assert detail is not None
    assert (record.state, record.target, record.attempt) == (JobState.SUCCEEDED, "third", 3)
    assert [a.target for a in detail.attempts] == ["first", "second", "third"]
    assert "down" in detail.attempts[0].reason
    assert down.cancels == [record.id]
    assert [job.attempt for job in third.runs] == [3]


def test_without_a_fallback_that_works_the_job_is_dead(store: SqliteStore) -> None:
    refuse = Outcome(refuse=TemporaryError("down", delay=0))
    targets = {name: FakeTarget(name, script=outcomes(refuse)) for name in ("one", "two")}
    with dispatcher(store, targets, [service("s", "in", fallback=("two",))]) as running:
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
    assert (only(store).state, only(store).target) == (JobState.DEAD, "two")


# --- runs ----------------------------------------------------------------------------------------


def test_a_run_that_was_lost_is_run_again(store: SqliteStore) -> None:
    lost = Outcome(JobState.FAILED, exit_code=None, reason="spot host gone", temporary=True)
    target = FakeTarget(script=outcomes(lost, Outcome()))
    with dispatcher(store, {"fake": target}) as running:
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
    record = only(store)
    detail = store.detail(record.id)
    assert detail is not None
    assert (record.state, record.attempt, record.reason) == (JobState.SUCCEEDED, 2, "")
    assert [job.attempt for job in target.runs] == [1, 2]
    assert detail.attempts[0].reason == "spot host gone"
    assert len(detail.decisions) == 2


def test_a_run_that_is_lost_too_often_is_dead(store: SqliteStore) -> None:
    lost = Outcome(JobState.FAILED, reason="spot host gone", temporary=True)
    target = FakeTarget(script=outcomes(lost))
    with dispatcher(store, {"fake": target}) as running:
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
    assert only(store).state is JobState.DEAD
    assert "spot host gone" in only(store).reason
    assert len(target.runs) == FAST.max_attempts


class _Parrot(FakeTarget):
    """Repeats every update for ever, also those of earlier attempts, and is never told to stop."""

    __slots__ = ("said",)

    def poll(self) -> list[JobUpdate]:
        if not hasattr(self, "said"):
            self.said: list[JobUpdate] = []
        self.said += FakeTarget.poll(self)
        return list(self.said)


def test_late_and_repeated_news_change_nothing(store: SqliteStore) -> None:
    lost = Outcome(JobState.FAILED, reason="spot host gone", temporary=True)
    target = _Parrot(script=outcomes(lost, lost, Outcome(polls=4)))
    events: list[JobEvent] = []
    with dispatcher(store, {"fake": target}) as running:
        running.subscribe(events.append)
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
    assert (only(store).state, only(store).attempt) == (JobState.SUCCEEDED, 3)
    assert [job.attempt for job in target.runs] == [1, 2, 3]
    assert [e.attempt for e in events if e.state is JobState.ACCEPTED] == [1, 2, 3]


def test_a_target_that_does_not_answer_is_asked_again(store: SqliteStore) -> None:
    target = FakeTarget()
    known, calls = target.poll, []

    def poll() -> object:
        calls.append(1)
        if len(calls) < 4:
            raise TargetUnavailable("no answer") if len(calls) % 2 else RuntimeError("a bug")
        return known()

    with dispatcher(store, {"fake": _Polled(target, poll)}) as running:  # type: ignore[dict-item]
        running.ingest(PROVIDER, body("in/a"))
        assert running.wait_quiet(PATIENCE)
    assert only(store).state is JobState.SUCCEEDED


def test_news_that_cannot_be_stored_ends_the_job_and_no_other(store: SqliteStore) -> None:
    bad = Outcome(JobState.FAILED, reason="\udcff")
    target = FakeTarget(script=lambda job: bad if job.event.key == "in/0" else Outcome())
    with dispatcher(store, {"fake": target}) as running:
        for n in range(20):
            running.ingest(PROVIDER, body(f"in/{n}"))
        assert running.wait_quiet(PATIENCE)
    assert store.counts() == {("s", JobState.SUCCEEDED): 19, ("s", JobState.DEAD): 1}


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

    class Deaf(_Polled):
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


def test_closing_twice_is_fine_and_frees_the_jobs(store: SqliteStore) -> None:
    running = dispatcher(store, {"fake": FakeTarget()})
    running.start()
    assert len(store.owners()) == 1
    running.close()
    running.close()
    assert store.owners() == {}
    assert not [t for t in threading.enumerate() if t.name.startswith(("dispatch-", "submit-"))]
