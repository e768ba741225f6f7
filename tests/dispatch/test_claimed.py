"""What was claimed is nobody else's to do: it must not be lost when store or target fail just then.

Each of these left a job lying until the dispatcher was restarted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from bridge.dispatch import Change, Dispatcher, Settings, SqliteStore
from bridge.dispatch import _keeper as keeper
from bridge.dispatch.testing import BusyTarget, FakeTarget, Outcome
from bridge.errors import PermanentError, TargetUnavailable, TemporaryError
from bridge.scheduler import Decision
from bridge.targets import Job, JobState, JobUpdate
from tests.dispatch.world import (
    FAST,
    NOW,
    PATIENCE,
    PROVIDER,
    Polled,
    body,
    change,
    decide_for,
    dispatcher,
    new_job,
    outcomes,
    until,
)

GONE = TemporaryError("the server has gone away", delay=0.0)
AGAIN = outcomes(Outcome(JobState.FAILED, temporary=True, polls=1), Outcome(polls=1))


class Failing:
    """A store whose calls of one method fail the first time, or whenever `when` says so."""

    def __init__(self, store: SqliteStore, name: str, when: Callable[[], bool] | None = None):
        self._store, self._name, self._when = store, name, when
        self.failed = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        if name != self._name:
            return real

        def call(*given: Any, **named: Any) -> Any:
            if self._when() if self._when else not self.failed:
                self.failed += 1
                raise GONE
            return real(*given, **named)

        return call


def run(store: object, target: object, count: int = 1, **how: Any) -> Dispatcher:
    """Some jobs on a target, to their end."""
    running = dispatcher(store, {"fake": target}, **how)  # type: ignore[arg-type, dict-item]
    with running:
        for number in range(count):
            running.ingest(PROVIDER, body(f"in/{number}"))
        assert running.wait_quiet(PATIENCE)
    return running


@pytest.mark.parametrize(
    "script",
    [
        # When a lane begins a second attempt, it looks at the first one.
        AGAIN,
        # A refusal asks whether another target could have the job.
        outcomes(Outcome(refuse=TargetUnavailable("no", delay=0)), Outcome()),
    ],
)
def test_a_store_that_goes_away_after_a_claim(
    store: SqliteStore, script: Callable[[Job], Outcome]
) -> None:
    there: set[str] = set()

    def when() -> bool:
        """Once in each of the threads that have claimed it."""
        name = threading.current_thread().name
        fails = ("submit" in name or "place" in name) and name not in there
        there.add(name)
        return fails

    failing = Failing(store, "detail", when)
    # A store that does not answer is no try that was in vain.
    settings = replace(FAST, patience=0.0, max_submits=2)
    run(failing, FakeTarget(script=script), settings=settings)
    assert any("submit" in name for name in there)
    assert store.counts() == {("s", JobState.SUCCEEDED): 1}


def test_what_was_taken_over_is_followed_though_the_next_claim_fails(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "_BATCH", 2)
    for one in store.accept([new_job(f"in/{n}") for n in range(5)], NOW):
        change(store, one.job, JobState.SUBMITTED, target="fake", handle=f"fake/{one.job}/1")
    claims = iter(range(100))
    failing = Failing(store, "claim", lambda: next(claims) == 1)
    running = dispatcher(failing, {"fake": FakeTarget()}, settings=replace(FAST, lease=0.1))  # type: ignore[arg-type]
    with pytest.raises(TemporaryError):
        running.restore()
    with running:
        assert running.wait_quiet(PATIENCE)
    assert store.counts() == {("s", JobState.SUCCEEDED): 5}


def test_a_poll_that_breaks_forgets_no_job_that_is_to_be_submitted_again(
    store: SqliteStore,
) -> None:
    (one,) = store.accept([new_job("in/a")], NOW)
    change(store, one.job, JobState.SUBMITTED, target="fake", handle="fake/1")
    target, polls = FakeTarget(), iter(range(10_000))

    def poll() -> Iterable[JobUpdate]:
        if next(polls) == 0:
            raise ValueError("not JSON")
        return target.poll()

    run(store, Polled(target, poll), 0)
    assert [job.id for job in target.submits] == [one.job]


def test_news_that_make_no_sense_hold_up_nobody_else(store: SqliteStore) -> None:
    nonsense: Any = None
    target = FakeTarget(script=outcomes(Outcome(hold=True), Outcome(polls=3)))

    def poll() -> Iterable[JobUpdate]:
        told = list(target.poll())
        first = target.runs[0].id if target.runs else ""
        return [JobUpdate(first, JobState.FAILED, report=nonsense), *told] if first else told

    run(store, Polled(target, poll), 3)
    assert store.counts() == {("s", JobState.DEAD): 1, ("s", JobState.SUCCEEDED): 2}


def test_a_decision_that_makes_no_sense_holds_up_nobody_else(store: SqliteStore) -> None:
    good, taken = decide_for("fake"), []

    def decide(*given: Any, seed: int = 0) -> Decision:
        taken.append(seed)
        made = good(*given, seed=seed)
        return made if len(taken) > 1 else replace(made, fallback=None)  # type: ignore[arg-type]

    run(store, FakeTarget(), 3, decide=decide)
    assert store.counts() == {("s", JobState.SUCCEEDED): 3}


# --- what is followed, and for how long ----------------------------------------------------------


class Stubborn(FakeTarget):
    """Can never be told to end a job, and does not say what became of it."""

    def cancel(self, job: str) -> None:
        FakeTarget.forget(self, job)
        raise PermanentError("there is no such job")


def test_what_cannot_be_cancelled_is_not_followed_for_ever(store: SqliteStore) -> None:
    """It would take the place of a job that could run: the target has room for two."""
    target = Stubborn(slots=1, script=outcomes(*[Outcome(hold=True)] * 2, Outcome()))
    with dispatcher(store, {"fake": target}) as running:
        for number in range(4):
            running.ingest(PROVIDER, body(f"in/{number}"))
        until(lambda: len(target.runs) == 2)
        for job in [job.id for job in target.runs]:
            running.cancel(job)
        assert running.wait_quiet(PATIENCE)
        assert running._lanes["fake"]._watch == {}
    assert store.counts()["s", JobState.SUCCEEDED] == 2


def test_a_submit_that_was_overtaken_by_another_attempt_is_not_followed(
    store: SqliteStore,
) -> None:
    """Another dispatcher took us for dead, and has begun the next attempt elsewhere."""

    def script(job: Job) -> Outcome:
        wish = Change(job.id, 1, JobState.PLACED, NOW, again=True, unrun=True, target="else")
        store.change([wish])
        return Outcome(hold=True)

    target = FakeTarget(script=script)
    with dispatcher(store, {"fake": target}) as running:
        running.ingest(PROVIDER, body("in/a"))
        until(lambda: len(target.runs) == 1)
        until(lambda: running._lanes["fake"]._watch == {})


def test_who_was_asked_meanwhile_is_not_untouched(store: SqliteStore) -> None:
    """A job that waits is looked at, submitted without an answer and put back, and then taken: its
    target may have it."""
    (one,) = store.accept([new_job("in/a")], NOW)
    change(store, one.job, JobState.PLACED, target="fake", release=True)
    store.lease("me", NOW + 99)
    (seen,) = store.waiting("me", ["s"], NOW + 10, NOW, 5)
    assert seen.untouched
    change(store, one.job, JobState.PLACED, due=NOW + 3, reason="timed out", release=True)
    assert not store.take("me", seen.job, NOW + 5)
    (now,) = store.waiting("me", ["s"], NOW + 10, NOW, 5)
    assert not now.untouched
    assert not store.take("me", replace(now.job, handle="root:1"), NOW + 5)
    assert store.take("me", now.job, NOW + 5)


# --- nobody waits for a target that does not answer ----------------------------------------------


class Hanging(FakeTarget):
    """Cannot be told to end a job; the second time it takes until `go` to say so."""

    def __init__(self, name: str = "fake") -> None:
        FakeTarget.__init__(self, name, script=outcomes(Outcome(hold=True)))
        self.go, self.asked = threading.Event(), list[str]()

    def cancel(self, job: str) -> None:
        self.asked.append(job)
        if len(self.asked) > 1:
            self.go.wait(PATIENCE)
        raise TemporaryError("no answer", delay=0)


def test_the_lease_is_renewed_while_a_target_hangs(store: SqliteStore) -> None:
    target = Hanging()
    running = dispatcher(store, {"fake": target}, settings=Settings(lease=0.03))
    with running:
        (job,) = running.ingest(PROVIDER, body("in/a")).new
        until(lambda: len(target.runs) == 1)
        running.cancel(job)
        until(lambda: len(target.asked) == 2)
        (until_then,) = store.owners().values()
        until(lambda: min(store.owners().values()) > until_then)
        target.go.set()


def test_cancels_for_a_deaf_target_do_not_keep_others_from_theirs(store: SqliteStore) -> None:
    deaf, other = Hanging("deaf"), FakeTarget("other")
    deaf.go.set()
    names = [f"in/{number}" for number in range(6)]
    for number, one in enumerate(store.accept([new_job(name) for name in names], NOW)):
        target = "other" if number == 5 else "deaf"
        change(store, one.job, JobState.SUBMITTED, target=target, handle=f"{target}/{one.job}/1")
        change(store, one.job, JobState.CANCELLED, stop=True)
    rounds = dispatcher(store, {"deaf": deaf, "other": other})
    rounds._keeper._tell_targets()
    assert len(deaf.asked) == 1
    assert len(other.cancels) == 1


def test_a_target_that_cannot_be_asked_for_a_job_is_asked_for_another_one_next(
    store: SqliteStore,
) -> None:
    """Of many that are to be taken back none waits behind one which cannot be."""
    asked: list[str] = []

    class Half(BusyTarget):
        def withdraw(self, job: Job, handle: str) -> bool | None:
            asked.append(job.id)
            raise TemporaryError("no answer", delay=0)

    running = dispatcher(store, {"fake": Half(room=0)})
    lane = running._lanes["fake"]
    for number, one in enumerate(store.accept([new_job(f"in/{n}") for n in range(3)], NOW)):
        change(store, one.job, JobState.SUBMITTED, target="fake", handle=str(number), moving=True)
    lane.resume(store.jobs())
    for _ in range(3):
        running._core.moving.set()
        running._mover._step()
    assert len(asked) == len(set(asked)) == 3
    running.close()
