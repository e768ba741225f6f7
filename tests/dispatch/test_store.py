"""The store: accepted once, changed by the rules, durable."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.dispatch import (
    Change,
    NewJob,
    Output,
    SqliteStore,
)
from bridge.events import Event, EventKind, job_id
from bridge.targets import JobState
from tests.dispatch.world import NOW, change, event, finish, new_job, open_store

# --- accepting -----------------------------------------------------------------------------------


def test_an_accepted_job_is_there_after_a_restart(tmp_path: Path) -> None:
    item = new_job("in/ä b+c.txt")
    with open_store(tmp_path) as store:
        (accepted,) = store.accept([item], NOW)
    with open_store(tmp_path) as store:
        record = store.job(accepted.job)
    assert accepted.new
    assert record is not None
    assert (record.id, record.service, record.state) == (item.id, "s", JobState.ACCEPTED)
    assert record.event == item.event
    assert record.accepted == NOW


def test_an_event_with_data_comes_back_as_it_was(store: SqliteStore) -> None:
    raw = Event(
        EventKind.UNKNOWN,
        body=b"\x00\xff",
        size=2,
        query={"a": "1"},
        record={"x": [1, None, "ü"]},
        nonce="n",
        time="t",
        name="call",
    )
    item = new_job("in/a")
    item = type(item)(job_id("s", raw), "s", raw)
    store.accept([item], NOW)
    record = store.job(item.id)
    assert record is not None
    assert record.event == raw


def test_the_same_event_five_times_is_one_job(store: SqliteStore) -> None:
    answers = [store.accept([new_job("in/a")], NOW + n)[0] for n in range(5)]
    assert [a.new for a in answers] == [True, False, False, False, False]
    assert len({a.job for a in answers}) == 1
    assert len(store.jobs()) == 1


def test_the_same_event_twice_in_one_call_is_one_job(store: SqliteStore) -> None:
    first, second = store.accept([new_job("in/a"), new_job("in/a")], NOW)
    assert (first.new, second.new) == (True, False)


def test_one_event_may_be_a_job_of_two_services(store: SqliteStore) -> None:
    items = [new_job("in/a", name="s"), new_job("in/a", name="t")]
    assert [a.new for a in store.accept(items, NOW)] == [True, True]


def test_threads_that_accept_the_same_event_at_once_make_one_job(store: SqliteStore) -> None:
    gate = threading.Barrier(8)

    def accept(number: int) -> list[bool]:
        gate.wait()
        return [store.accept([new_job(f"in/{n}")], NOW)[0].new for n in range(50)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(accept, range(8)))
    assert [sum(column) for column in zip(*answers, strict=True)] == [1] * 50
    assert len(store.jobs()) == 50


def test_callers_at_the_same_time_share_commits(file: SqliteStore) -> None:
    commits = []
    connection = file._writer._connection
    connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: file.accept([new_job(f"in/{n}")], NOW), range(400)))
    assert len(file.jobs()) == 400
    assert len(commits) < 400


def test_a_batch_holds_what_is_new_what_is_known_and_the_same_twice(store: SqliteStore) -> None:
    (listed,) = store.accept([new_job("in/listed", etag="e", sequencer="")], NOW)
    (known,) = store.accept([new_job("in/known", sequencer="1")], NOW)
    many = [new_job(f"in/{number}", sequencer="1") for number in range(300)]
    batch = [
        *many[:100],
        new_job("in/known", sequencer="1"),
        many[7],
        new_job("in/listed", etag="e", sequencer="5"),
        *many[100:],
        many[299],
    ]
    found = store.accept(batch, NOW)
    assert [one.job for one in found if one.new] == [one.id for one in many]
    again = [one.job for one in found if not one.new]
    assert again == [known.job, many[7].id, listed.job, many[299].id]
    records = {one.id: one.event for one in store.jobs(limit=1000)}
    assert len(records) == 302
    assert all(records[one.id] == one.event for one in many)


def test_one_bad_write_does_not_spoil_its_batch(store: SqliteStore) -> None:
    bad = replace(new_job("in/0"), service="\udcff")
    gate = threading.Barrier(6)

    def accept(number: int) -> bool:
        gate.wait()
        item = bad if number == 0 else new_job(f"in/{number}")
        return store.accept([item], NOW)[0].new

    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(accept, n) for n in range(6)]
    assert isinstance(answers[0].exception(), UnicodeEncodeError)
    assert all(answer.result() for answer in answers[1:])


# --- an object found by listing and its notification are one job ----------------------------------


def test_a_notification_after_the_listing_is_the_same_job(store: SqliteStore) -> None:
    (listed,) = store.accept([new_job("in/a", sequencer="")], NOW)
    answers = [store.accept([new_job("in/a", sequencer="7")], NOW)[0] for _ in range(2)]
    assert [(a.new, a.job) for a in answers] == [(False, listed.job)] * 2


def test_a_listing_after_the_notification_is_the_same_job(store: SqliteStore) -> None:
    (told,) = store.accept([new_job("in/a", sequencer="7")], NOW)
    (listed,) = store.accept([new_job("in/a", sequencer="", etag='"e1"')], NOW)
    assert (listed.new, listed.job) == (False, told.job)


def test_the_next_write_of_the_same_content_is_a_new_job(store: SqliteStore) -> None:
    store.accept([new_job("in/a", sequencer="")], NOW)
    store.accept([new_job("in/a", sequencer="7")], NOW)
    (again,) = store.accept([new_job("in/a", sequencer="8")], NOW)
    (repeated,) = store.accept([new_job("in/a", sequencer="8")], NOW)
    assert (again.new, repeated.new) == (True, False)
    assert len(store.jobs()) == 2


def test_a_listing_with_other_content_is_a_new_job(store: SqliteStore) -> None:
    store.accept([new_job("in/a", sequencer="7", etag="e1")], NOW)
    assert store.accept([new_job("in/a", sequencer="", etag="e2")], NOW)[0].new


def test_a_listing_is_only_matched_within_the_service(store: SqliteStore) -> None:
    store.accept([new_job("in/a", sequencer="7", name="s")], NOW)
    assert store.accept([new_job("in/a", sequencer="", name="t")], NOW)[0].new


@pytest.mark.parametrize("sequencer", ["", "7"])
def test_an_event_that_is_told_again_is_a_new_job_and_stands_for_no_other(
    store: SqliteStore, sequencer: str
) -> None:
    (first,) = store.accept([new_job("in/a", sequencer=sequencer)], NOW)
    again = replace(event("in/a", sequencer=sequencer), nonce="again")
    item = NewJob(job_id("s", again), "s", again)
    assert [store.accept([item], NOW)[0].new for _ in range(2)] == [True, False]
    (notified,) = store.accept([new_job("in/a", sequencer="7")], NOW)
    assert (notified.new, notified.job) == (False, first.job)
    assert store.accept([new_job("in/a", sequencer="8")], NOW)[0].new


# --- changes -------------------------------------------------------------------------------------


def test_a_job_goes_through_its_states_with_times(store: SqliteStore) -> None:
    (job,) = (a.job for a in store.accept([new_job("in/a")], NOW))
    order = [JobState.PLACED, JobState.SUBMITTED, JobState.RUNNING, JobState.SUCCEEDED]
    for n, state in enumerate(order):
        store.change([Change(job, 1, state, NOW + n + 1, target="x", handle=f"h{n}")])
    record = store.job(job)
    assert record is not None
    assert (record.placed, record.submitted, record.started, record.ended) == tuple(
        NOW + n for n in (1, 2, 3, 4)
    )
    assert (record.target, record.handle, record.state) == ("x", "h3", JobState.SUCCEEDED)


@pytest.mark.parametrize(
    "final", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.DEAD]
)
def test_a_final_state_never_changes(store: SqliteStore, final: JobState) -> None:
    (job,) = (a.job for a in store.accept([new_job("in/a")], NOW))
    assert change(store, job, final, exit_code=3)
    for state in JobState:
        assert not change(store, job, state, exit_code=4)
    assert not change(store, job, JobState.ACCEPTED, again=True)
    record = store.job(job)
    assert record is not None
    assert (record.state, record.exit_code) == (final, 3)


def test_a_state_never_goes_back(store: SqliteStore) -> None:
    (job,) = (a.job for a in store.accept([new_job("in/a")], NOW))
    assert change(store, job, JobState.RUNNING)
    for state in (JobState.ACCEPTED, JobState.PLACED, JobState.SUBMITTED):
        assert not change(store, job, state)


def test_a_change_about_another_attempt_is_ignored(store: SqliteStore) -> None:
    (job,) = (a.job for a in store.accept([new_job("in/a")], NOW))
    assert change(store, job, JobState.RUNNING, target="x")
    assert change(store, job, JobState.ACCEPTED, again=True, reason="lost")
    assert not change(store, job, JobState.SUCCEEDED, attempt=1)
    assert not change(store, job, JobState.SUCCEEDED, attempt=3)
    assert change(store, job, JobState.SUCCEEDED, attempt=2)


def test_a_change_of_an_unknown_job_is_ignored(store: SqliteStore) -> None:
    assert not change(store, "nobody", JobState.SUCCEEDED)


def test_earlier_attempts_and_decisions_are_kept(store: SqliteStore) -> None:
    (job,) = (a.job for a in store.accept([new_job("in/a")], NOW))
    change(store, job, JobState.PLACED, target="x", decision={"target": "x"})
    change(store, job, JobState.RUNNING, handle="x/1")
    change(store, job, JobState.ACCEPTED, again=True, reason="host lost", exit_code=137)
    change(store, job, JobState.PLACED, 2, target="y", decision={"target": "y"})
    change(
        store, job, JobState.SUCCEEDED, 2, exit_code=0, reason="", outputs=(Output("p", "b", "k"),)
    )
    detail = store.detail(job)
    assert detail is not None
    first, second = detail.attempts
    assert (first.number, first.target, first.handle) == (1, "x", "x/1")
    assert (first.state, first.exit_code, first.reason) == (JobState.FAILED, 137, "host lost")
    assert (second.number, second.target, second.state) == (2, "y", JobState.SUCCEEDED)
    assert (second.started, second.exit_code) == (None, 0)
    assert [d["target"] for d in detail.decisions] == ["x", "y"]
    assert detail.outputs == (Output("p", "b", "k"),)
    assert store.detail("nobody") is None


def test_watchers_hear_commits_in_order_and_cannot_break_them(store: SqliteStore) -> None:
    heard: list[JobState] = []

    def watcher(news: object) -> None:
        heard.extend(e.state for e in news)  # type: ignore[attr-defined]
        raise RuntimeError("a watcher's own mistake")

    end = store.watch(watcher)
    (job,) = (a.job for a in store.accept([new_job("in/a")], NOW))
    store.accept([new_job("in/a")], NOW)
    change(store, job, JobState.PLACED)
    change(store, job, JobState.PLACED, tries=2)
    end()
    change(store, job, JobState.FAILED)
    assert heard == [JobState.ACCEPTED, JobState.PLACED]


# --- claims --------------------------------------------------------------------------------------


def test_a_claimed_job_is_not_free_while_the_lease_holds(store: SqliteStore) -> None:
    store.accept([new_job(f"in/{n}") for n in range(3)], NOW)
    store.lease("one", NOW + 10)
    store.lease("two", NOW + 10)
    first = store.claim("one", JobState.ACCEPTED, NOW, 2)
    rest = store.claim("two", JobState.ACCEPTED, NOW, 9)
    assert [r.event.key for r in first + rest] == ["in/0", "in/1", "in/2"]
    assert store.claim("two", JobState.ACCEPTED, NOW, 9) == []
    assert store.next_due(JobState.ACCEPTED, NOW) is None


def test_a_lease_that_ran_out_or_was_released_frees_the_jobs(store: SqliteStore) -> None:
    store.accept([new_job("in/0"), new_job("in/1")], NOW)
    for owner in ("one", "two"):
        store.lease(owner, NOW + 10)
        assert len(store.claim(owner, JobState.ACCEPTED, NOW, 1)) == 1
    store.release("two")
    assert len(store.claim("three", JobState.ACCEPTED, NOW, 9)) == 1
    assert set(store.owners()) == {"one"}
    store.lease("three", NOW + 99)
    assert len(store.claim("three", JobState.ACCEPTED, NOW + 11, 9)) == 1


def test_a_job_that_is_not_due_is_left(store: SqliteStore) -> None:
    (job,) = (a.job for a in store.accept([new_job("in/a")], NOW))
    change(store, job, JobState.PLACED, target="x", due=NOW + 50, release=True)
    assert store.claim("one", JobState.PLACED, NOW + 49, 9, "x") == []
    assert store.next_due(JobState.PLACED, NOW, "x") == NOW + 50
    assert store.claim("one", JobState.PLACED, NOW + 50, 9, "y") == []
    assert len(store.claim("one", JobState.PLACED, NOW + 50, 9, "x")) == 1


def shared(share: str, count: int, at: float, store: SqliteStore) -> None:
    items = [replace(new_job(f"in/{share}{n}"), share=share) for n in range(count)]
    store.accept(items, at)


def claimed(store: SqliteStore, most: int, target: str = "") -> str:
    """Whose the jobs are that are claimed next."""
    state = JobState.PLACED if target else JobState.ACCEPTED
    records = store.claim("me", state, NOW + 99, most, target)
    return "".join(record.event.key[3] for record in records)


def test_who_floods_the_queue_holds_up_nobody_else(store: SqliteStore) -> None:
    """However few are claimed at once, and whoever came first."""
    shared("a", 500, NOW, store)
    store.lease("me", NOW + 999)
    assert claimed(store, 4) == "aaaa"
    shared("b", 1, NOW + 1, store)
    shared("c", 30, NOW + 2, store)
    assert "b" in claimed(store, 3)
    shared("d", 1, NOW + 3, store)
    turns = [claimed(store, 1) for _ in range(9)]
    assert sorted(turns[:3]) == ["a", "c", "d"]
    assert turns[3:] in (["a", "c"] * 3, ["c", "a"] * 3)
    many = claimed(store, 40)
    assert (many.count("a"), many.count("c")) == (20, 20)
    rest = "".join(claimed(store, 64) for _ in range(9))
    assert (rest.count("a"), rest.count("c"), claimed(store, 1)) == (471, 5, "")


def test_places_take_turns_too_and_jobs_that_wait_cost_others_none(store: SqliteStore) -> None:
    store.lease("me", NOW + 999)
    for share, due in (("a", NOW), ("b", NOW + 500), ("c", NOW + 1), ("d", NOW + 2)):
        shared(share, 3, NOW, store)
        for record in store.jobs(states=[JobState.ACCEPTED]):
            change(store, record.id, JobState.PLACED, target="x", due=due, release=True)
    assert [claimed(store, 1, "x") for _ in range(6)] == ["a", "c", "d", "a", "c", "d"]
    due = store.next_due(JobState.PLACED, NOW + 99, "x")
    assert due is not None
    assert due <= NOW + 99
    assert claimed(store, 9, "x") == "acd"
    assert store.next_due(JobState.PLACED, NOW + 99, "x") == NOW + 500
    assert store.next_due(JobState.PLACED, NOW + 99, "y") is None


# --- follow-ups ----------------------------------------------------------------------------------


def test_an_expected_follow_up_keeps_it_from_being_quiet(store: SqliteStore) -> None:
    assert store.quiet()
    job = finish(store, "in/a")
    assert not store.quiet()
    (missing,) = store.expected()
    assert (missing.service, missing.producer, missing.output.key) == ("t", job, "mid/b")
    assert store.expected(before=NOW + 1) == []
    assert len(store.expected(before=NOW + 2)) == 1


@pytest.mark.parametrize("etag", ["f1", ""])
def test_its_job_ends_the_expectation(store: SqliteStore, etag: str) -> None:
    finish(store, "in/a", etag)
    (come,) = store.accept([new_job("mid/b", name="t", etag="f1")], NOW + 2)
    assert store.expected() == []
    assert not store.quiet()
    change(store, come.job, JobState.SUCCEEDED)
    assert store.quiet()


@pytest.mark.parametrize("etag", ["f1", ""])
def test_a_follow_up_that_came_first_is_not_expected(store: SqliteStore, etag: str) -> None:
    store.accept([new_job("mid/b", name="t", etag="f1")], NOW + 1)
    finish(store, "in/a", etag)
    assert store.expected() == []


def test_an_old_job_of_the_path_is_not_the_follow_up(store: SqliteStore) -> None:
    store.accept([new_job("mid/b", name="t", etag="old")], NOW - 100)
    finish(store, "in/a")
    assert len(store.expected()) == 1
    store.met(store.expected())
    assert store.expected() == []


# --- lines ---------------------------------------------------------------------------------------


def test_of_those_that_wait_too_long_the_last_of_each_line_are_told(store: SqliteStore) -> None:
    jobs = [a.job for a in store.accept([new_job(f"in/{n}") for n in range(6)], NOW)]
    (other,) = (a.job for a in store.accept([new_job("in/t", name="t")], NOW))
    store.lease("me", NOW + 99)
    store.lease("you", NOW + 99)
    for number, job in enumerate([*jobs, other]):
        change(store, job, JobState.PLACED, target="x", due=NOW + number, release=True)
    for owner in ("you", "me"):
        (taken,) = store.claim(owner, JobState.PLACED, NOW + 9, 1, "x")
        change(store, taken.id, JobState.SUBMITTED, handle="h")
    change(store, jobs[4], JobState.PLACED, reason="full", release=True)
    found = store.waiting("me", ["s"], NOW + 5, NOW + 5, 3)
    assert [(w.job.id, w.ahead, w.untouched) for w in found] == [
        (jobs[5], 5, True),
        (jobs[4], 4, False),
        (jobs[3], 3, True),
    ]
    # What another has with its target is his; what is taken back already is left out.
    change(store, jobs[5], JobState.PLACED, moving=True)
    everyone = store.waiting("me", ["s", "t"], NOW + 5, NOW + 5, 9)
    assert [w.job.id for w in everyone] == [jobs[4], jobs[3], jobs[2], jobs[1], other]
    assert store.waiting("me", ["s", "t"], NOW, NOW + 5, 9) == []
    # One of several that want a job gets it, as long as it is as he saw it.
    record = everyone[0].job
    assert store.take("me", record, NOW + 5)
    assert not store.take("you", record, NOW + 5)
    assert not store.take("me", replace(everyone[1].job, attempt=2), NOW + 5)


def test_an_attempt_that_has_not_run_is_kept_as_such(store: SqliteStore) -> None:
    (job,) = (a.job for a in store.accept([new_job("in/a")], NOW))
    change(store, job, JobState.SUBMITTED, target="x", handle="h", moving=True)
    assert change(store, job, JobState.ACCEPTED, again=True, unrun=True, reason="it waited")
    detail = store.detail(job)
    assert detail is not None
    assert [a.state for a in detail.attempts] == [JobState.CANCELLED, JobState.ACCEPTED]
    assert (detail.job.attempt, detail.job.moving, detail.job.handle) == (2, False, "")
