"""The dispatcher over targets in memory: every job to its end."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from bridge.dispatch import JobEvent, SqliteStore
from bridge.dispatch.testing import FakeTarget, Outcome
from bridge.errors import NotFoundError, PermanentError, TargetUnavailable, TemporaryError
from bridge.fdl.model import Service
from bridge.scheduler import Candidate, Decision, Offer, Reason, from_json
from bridge.targets import Job, JobState, JobUpdate
from tests.dispatch.world import (
    FAST,
    PATIENCE,
    PROVIDER,
    Polled,
    body,
    decide_for,
    dispatcher,
    new_job,
    only,
    outcomes,
    refuse_all,
    service,
    until,
)

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

    with dispatcher(store, {"fake": Polled(target, poll)}) as running:  # type: ignore[dict-item]
        for n in range(60):
            running.ingest(PROVIDER, body(f"in/{n}"))
        assert running.wait_quiet(PATIENCE)
    assert 0 < most <= 6


def test_a_flood_of_one_owner_holds_up_nobody_elses_job(store: SqliteStore) -> None:
    """At the places, too: they have room for two jobs at once."""
    target = FakeTarget(slots=1)
    services = [service("flood", "in"), service("more", "more"), service("single", "one")]
    owners = {"flood": "ann", "more": "ann", "single": "bob"}
    running = dispatcher(store, {"fake": target}, services, share=owners.__getitem__)
    for n in range(50):
        running.ingest(PROVIDER, body(f"in/{n}"))
        running.ingest(PROVIDER, body(f"more/{n}"))
    running.ingest(PROVIDER, body("one/last"))
    with running:
        assert running.wait_quiet(PATIENCE)
    assert len(target.runs) == 101
    assert [job.service for job in target.runs].index("single") < 10


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


def test_a_job_waits_where_all_that_is_against_it_passes(store: SqliteStore) -> None:
    against = Reason("breaker", "jobs failed there lately", passing=True)
    offer = Offer("fake", "local", feasible=False, reasons=(against,))

    def decide(wanted: Service, *given: object, seed: int = 0) -> Decision:
        return Decision(wanted.name, "balanced", seed, "", "none now", (Candidate(offer),))

    with dispatcher(store, {"fake": FakeTarget()}, decide=decide) as running:
        running.ingest(PROVIDER, body("in/a"))
        until(lambda: bool(only(store).reason))
    record = only(store)
    assert (record.state, record.tries, record.reason) == (JobState.ACCEPTED, 0, "none now")
    assert record.due > record.accepted + 10


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

    with dispatcher(store, {"fake": Polled(target, poll)}) as running:  # type: ignore[dict-item]
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
