"""The store: what it answers, how SQLite carries it out, and what it does in trouble."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.dispatch import Ignored, NewJob, Output, Refusal, SqliteStore, Usage
from bridge.errors import PermanentError, TemporaryError
from bridge.targets import JobState
from tests.dispatch.world import NOW, PROVIDER, change, event, finish, new_job, open_store

# --- what is not a job ---------------------------------------------------------------------------


def test_refused_bodies_are_kept_and_cut(store: SqliteStore) -> None:
    body = b"x" * 70_000
    store.refuse(Refusal(NOW, "minio.default", "no key", len(body), body))
    (kept,) = store.refusals()
    assert (kept.source, kept.reason, kept.size, len(kept.body)) == (
        "minio.default",
        "no key",
        70_000,
        65_536,
    )
    assert store.totals()["refused"] == 1


def test_ignored_events_are_counted_and_bounded(store: SqliteStore) -> None:
    for start in range(0, 1500, 500):
        store.ignore([Ignored(NOW, "", "no service", event(f"x/{start + n}")) for n in range(500)])
    assert store.totals()["ignored"] == 1500
    assert len(store.ignored(5000)) == 1000
    assert store.ignored(1)[0].event.key == "x/1499"


# --- asking --------------------------------------------------------------------------------------


def test_jobs_can_be_asked_for_by_state_service_and_page(store: SqliteStore) -> None:
    items = [new_job(f"in/{n}", name="st"[n % 2]) for n in range(6)]
    store.accept(items, NOW)
    change(store, items[0].id, JobState.FAILED)
    change(store, items[1].id, JobState.PLACED, target="x")
    assert [j.id for j in store.jobs(service="s")] == [items[n].id for n in (0, 2, 4)]
    assert [j.id for j in store.jobs(states=[JobState.FAILED])] == [items[0].id]
    assert [j.id for j in store.jobs(target="x")] == [items[1].id]
    assert [j.id for j in store.jobs(newest=True, limit=2)] == [items[5].id, items[4].id]
    assert [j.id for j in store.jobs(newest=True, after=items[4].id, limit=1)] == [items[3].id]
    page = store.jobs(states=[JobState.ACCEPTED], service="t", after=items[3].id)
    assert [j.id for j in page] == [items[5].id]
    mine = replace(new_job("in/mine", name="s"), caller="ann")
    store.accept([mine], NOW)
    assert [j.id for j in store.jobs(caller="ann")] == [mine.id]
    owned = [j.id for j in store.jobs(caller="ann", owned=["t"])]
    assert owned == [items[1].id, items[3].id, items[5].id, mine.id]
    assert [j.id for j in store.jobs(caller="ann", owned=["t"], service="s")] == [mine.id]
    store.hide("s", job=mine.id)
    assert store.counts()["s", JobState.FAILED] == 1
    assert store.counts()["t", JobState.ACCEPTED] == 2
    assert store.loads() == {("", JobState.ACCEPTED): 5, ("x", JobState.PLACED): 1}


def test_what_jobs_have_used_is_summed_by_service_target_and_caller(store: SqliteStore) -> None:
    items = [replace(new_job(f"in/{n}", name="s"), caller="ann") for n in range(4)]
    store.accept(items[:3], NOW)
    store.accept(items[3:], NOW + 100)
    for item, ended in ((items[0], 5.0), (items[1], 7.5)):
        change(store, item.id, JobState.PLACED, target="x")
        change(store, item.id, JobState.RUNNING, started=NOW)
        change(store, item.id, JobState.SUCCEEDED, ended=NOW + ended)
    assert sorted(store.usage(NOW, NOW + 1), key=lambda used: used.target) == [
        Usage("s", "", "ann", 1, 0, 0.0),
        Usage("s", "x", "ann", 2, 2, 12.5),
    ]
    assert store.usage(NOW + 1, NOW + 50) == []
    assert len(store.usage(NOW, NOW, service="s")) == 2
    assert store.usage(NOW, NOW, service="t") == []


def test_no_write_looks_through_a_whole_table(file: SqliteStore) -> None:
    """The statements as they are run, and how SQLite carries them out."""
    seen: set[str] = set()
    file._writer._connection.set_trace_callback(seen.add)
    for sequencer in ("", "1", "2"):
        file.accept([new_job("in/a", sequencer=sequencer)], NOW)
    file.lease("one", NOW + 5)
    (first, *_) = file.claim("one", JobState.ACCEPTED, NOW, 5)
    change(file, first.id, JobState.PLACED, target="x", decision={}, release=True)
    file.claim("one", JobState.PLACED, NOW + 9, 5, "x")
    change(file, first.id, JobState.ACCEPTED, again=True)
    finish(file, "in/b")
    file.met(file.expected())
    file.stopped(first.id)
    file.learned(file.kept()[0], {"a": "b"}, file.lessons(10))
    file.tidy(NOW + 99, 10)
    plans = [(sql, step) for sql in seen for step in plan_of(file.path, sql)]
    assert len(plans) > 10
    # `owners` has a row for each living dispatcher, so it may be looked through; the others are
    # made by the statement itself, a row for each share.
    small = {
        f"SCAN {name}" for name in ("owners", "asked", "CONSTANT ROW", "shares", "behind", "before")
    }
    small.add("SCAN promises USING COVERING INDEX promises_by_share")  # of which one is read
    assert not [p for p in plans if p[1].startswith("SCAN") and p[1] not in small]


def test_open_jobs_are_found_by_index(file: SqliteStore) -> None:
    seen: set[str] = set()
    file._reading.connection.set_trace_callback(seen.add)  # type: ignore[attr-defined]
    file.quiet()
    file.next_due(JobState.PLACED, NOW, "x")
    file.loads()
    file.jobs(states=[JobState.RUNNING])
    file.jobs(stop=True)
    steps = [step for sql in seen for step in plan_of(file.path, sql) if " j" in step]
    assert len(steps) >= 5
    assert all("INDEX jobs_" in step for step in steps), steps


def test_what_is_asked_again_and_again_takes_no_longer_with_a_million_jobs(
    file: SqliteStore,
) -> None:
    """Whatever looks through a table finds it small, or reads what is open, or stops at its limit;
    and nothing sorts what it has not found by an index."""
    seen: list[str] = []
    file._reading.connection.set_trace_callback(seen.append)  # type: ignore[attr-defined]
    one = finish(file, "in/b")
    file.detail(one)
    file.jobs(service="s", newest=True, shown=True)
    file.jobs(service="s", after=one)
    file.jobs(service="s", states=[JobState.FAILED])
    file.jobs(newest=True)
    file.jobs(caller="ann", newest=True)
    file.left("s", one)
    file.waiting("me", ["s", "t"], NOW, NOW, 5)
    file.promised("s", "ann")
    file.lessons(5)
    file.expected(NOW)
    file.kept(0)
    small = ("owners", "expected", "l", "late", "line", "CONSTANT ROW", "(subquery")
    newest_first = "SCAN j"
    for sql in seen:
        for step in plan_of(file.path, sql):
            if step.startswith("SCAN") and not step.removeprefix("SCAN ").startswith(small):
                assert step == newest_first and "WHERE j.service" not in sql, (sql, step)
            if "TEMP B-TREE" in step:
                assert "WITH line" in sql or "SELECT * FROM expected" in sql, (sql, step)
    assert len(seen) >= 15


def plan_of(path: Path, sql: str) -> list[str]:
    """The steps of a statement's plan."""
    if sql.split(maxsplit=1)[0] not in ("SELECT", "UPDATE", "DELETE", "WITH"):
        return []
    other = sqlite3.connect(path)
    try:
        return [row[3] for row in other.execute(f"EXPLAIN QUERY PLAN {sql}")]
    finally:
        other.close()


# --- what is long over ----------------------------------------------------------------------------


def test_of_what_is_long_over_only_the_record_is_kept(store: SqliteStore) -> None:
    """So that its event is still one that has come: an object may lie in its folder for years."""
    called = event("in/called")
    old = [
        NewJob("called", "s", replace(called, body=b"x" * 1000, nonce="n"), "ann"),
        new_job("in/a", etag="e", sequencer=""),
    ]
    young = [new_job(f"in/young{number}") for number in range(3)]
    store.accept(old, NOW)
    store.accept(young, NOW + 50)
    for one in (*old, *young[:2]):
        change(store, one.id, JobState.PLACED, target="x", decision={"target": "x"})
        change(store, one.id, JobState.ACCEPTED, again=True)
        ended = NOW + (60 if one in young else 2)
        report = {"outputs": []}
        done = {"outputs": (Output(PROVIDER, "b", "out/a"),), "ended": ended, "report": report}
        change(store, one.id, JobState.SUCCEEDED, 2, **done)
    assert [store.tidy(NOW + 40, 1) for _ in range(3)] == [1, 1, 0]
    gone, kept = store.detail("called"), store.detail(young[0].id)
    assert gone is not None
    assert kept is not None
    assert (gone.decisions, len(gone.attempts), gone.outputs, gone.job.report) == ((), 1, (), {})
    assert (gone.job.state, gone.job.caller, gone.job.event.body) == (
        JobState.SUCCEEDED,
        "ann",
        None,
    )
    assert (len(kept.decisions), len(kept.attempts), len(kept.outputs)) == (1, 2, 1)
    assert not any(found.new for found in store.accept(old, NOW + 99))
    # What is open, or over for a short time only, is passed by.
    assert store.tidy(NOW + 55, 99) == 3
    assert store.detail(young[0].id) == kept
    assert store.job(young[2].id) is not None


# --- trouble -------------------------------------------------------------------------------------


def test_a_locked_database_is_temporary_and_nothing_is_lost(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "jobs.db", busy_timeout=0.05) as store:
        store.accept([new_job("in/a")], NOW)
        other = sqlite3.connect(store.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TemporaryError, match="locked"):
            store.accept([new_job("in/b")], NOW)
        other.execute("ROLLBACK")
        other.close()
        assert store.accept([new_job("in/b")], NOW)[0].new
        assert len(store.jobs()) == 2


def test_a_closed_store_refuses(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.close()
    store.close()
    with pytest.raises(TemporaryError, match="closed"):
        store.accept([new_job("in/a")], NOW)
    with pytest.raises(TemporaryError, match="closed"):
        store.jobs()


def test_the_file_is_for_its_owner_only(file: SqliteStore) -> None:
    assert file.path.stat().st_mode & 0o077 == 0


def test_a_store_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        path = store.path
    with sqlite3.connect(path) as other:
        other.execute("INSERT INTO migrations VALUES (99, 'the future', 0)")
    other.close()
    with pytest.raises(PermanentError, match="version 99"):
        SqliteStore(path)


def test_a_file_that_is_no_store_says_so(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.write_bytes(b"this is not a database, whatever its name says" * 100)
    with pytest.raises(PermanentError, match=r"jobs\.db"):
        SqliteStore(path)
    with pytest.raises(PermanentError, match="cannot open"):
        SqliteStore(tmp_path / "missing" / "jobs.db")
