"""The job store on PostgreSQL: the rules of every store, several processes, and lost sessions."""

from __future__ import annotations

import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import chain

import psycopg
import pytest

from bridge.dispatch import Change, Refusal, SqlStore
from bridge.dispatch._schema import MIGRATIONS
from bridge.dispatch._turns import Turns
from bridge.dispatch.database import Cursor, Values
from bridge.dispatch.postgres import Postgres, _Connection
from bridge.errors import PermanentError, TemporaryError, UsageError
from bridge.secret import Secret
from bridge.targets import JobState
from tests.dispatch import test_budget, test_learning, test_store, test_store_asking
from tests.dispatch.world import NOW, new_job, until

from .server import PASSWORD, Server

# What is said there of `store` is the contract; the others are about SQLite's files.
globals().update(
    {
        name: test
        for rules in (test_store, test_store_asking, test_learning, test_budget)
        for name, test in vars(rules).items()
        if name.startswith("test_") and "store" in inspect.signature(test).parameters
    }
)


@pytest.fixture
def both(server: Server) -> tuple[SqlStore, SqlStore]:
    """Two stores in one place, as two managers have them."""
    schema = server.schema()
    return SqlStore(server.database(schema)), SqlStore(server.database(schema))


def test_two_that_begin_at_once_make_the_tables_once(server: Server) -> None:
    schema, gate = server.schema(), threading.Barrier(4)

    def begin(number: int) -> None:
        gate.wait()
        SqlStore(server.database(schema)).close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(begin, range(4)))
    assert server.do(f"SELECT count(*), max(version) FROM {schema}.migrations") == [
        (len(MIGRATIONS), len(MIGRATIONS))
    ]


def test_two_processes_make_one_job_of_an_event(both: tuple[SqlStore, SqlStore]) -> None:
    """Also where one of them has found the object by listing, which gives the job another name."""
    gate = threading.Barrier(4)

    def accept(number: int) -> int:
        gate.wait()
        sequencer = "" if number % 2 else "7"
        items = [new_job(f"in/{n}", sequencer=sequencer) for n in range(60)]
        own = both[number // 2]
        return sum(answer.new for item in items for answer in own.accept([item], NOW))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(accept, range(4))) == 60
    assert both[0].counts() == both[1].counts() == {("s", JobState.ACCEPTED): 60}


def test_a_job_is_claimed_by_one_of_many(both: tuple[SqlStore, SqlStore]) -> None:
    both[0].accept([new_job(f"in/{n}") for n in range(300)], NOW)
    gate = threading.Barrier(4)
    for number in range(4):
        both[0].lease(f"owner {number}", NOW + 10)

    def claim(number: int) -> list[str]:
        gate.wait()
        found: list[str] = []
        own = both[number % 2]
        while jobs := own.claim(f"owner {number}", JobState.ACCEPTED, NOW, 7):
            found += [job.id for job in jobs]
        return found

    with ThreadPoolExecutor(4) as pool:
        found = list(chain.from_iterable(pool.map(claim, range(4))))
    # Rows that another holds are passed over, so an empty answer may come early.
    found += [job.id for job in both[0].claim("owner 0", JobState.ACCEPTED, NOW, 300)]
    assert sorted(found) == sorted({job.id for job in both[0].jobs(limit=300)})


def test_a_job_that_a_newcomer_claims_meanwhile_is_his(server: Server) -> None:
    """He takes his first lease and a job while another's claim is under way, which sees neither."""
    schema, gate = server.schema(), server.schema()
    server.do(
        f"CREATE FUNCTION {gate}.hold() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN"
        " PERFORM pg_advisory_lock(7); PERFORM pg_advisory_unlock(7); RETURN true; END $$"
    )
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"

    class Slow(_Connection):
        """Its claims read the owners only when they are let through."""

        def execute(self, sql: str, values: Values = (), /) -> Cursor:
            if "SKIP LOCKED" in sql:
                super().execute(f"SET LOCAL search_path = {gate}, {schema}")
            return super().execute(sql, values)

    with (
        SqlStore(server.database(schema)) as store,
        closing(Slow(server.database(schema).session)) as slow,
    ):
        server.do(
            f"CREATE VIEW {gate}.owners AS SELECT * FROM {schema}.owners WHERE {gate}.hold()"
            f" UNION ALL SELECT 'nobody', 0 WHERE {gate}.hold()"
        )
        slow.execute(f"SET search_path = {schema}")
        store.accept([new_job("in/a")], NOW)
        with psycopg.connect(server.url()) as keeper, ThreadPoolExecutor(1) as pool:
            keeper.execute("SELECT pg_advisory_lock(7)")
            slow.begin(durable=True, alone=False)
            asked = {"state": JobState.ACCEPTED, "target": "", "now": NOW, "limit": 9}
            late = pool.submit(Turns().claim, slow, "late", **asked)
            until(lambda: server.do(waiting) == [(1,)])
            store.lease("newcomer", NOW + 10)
            assert len(store.claim("newcomer", JobState.ACCEPTED, NOW, 9)) == 1
            keeper.execute("SELECT pg_advisory_unlock(7)")
            assert late.result() == []
            slow.commit()
        assert server.do(f"SELECT owner FROM {schema}.jobs") == [("newcomer",)]


def test_of_two_changes_at_once_the_first_counts(both: tuple[SqlStore, SqlStore]) -> None:
    jobs = [a.job for a in both[0].accept([new_job(f"in/{n}") for n in range(50)], NOW)]
    gate = threading.Barrier(2)
    ends = (JobState.SUCCEEDED, JobState.FAILED)

    def end(number: int) -> list[bool]:
        gate.wait()
        return [
            both[number].change([Change(job, 1, ends[number], NOW)])[0] is not None for job in jobs
        ]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(end, range(2))
    assert all(a != b for a, b in zip(first, second, strict=True))
    for job, won in zip(jobs, first, strict=True):
        record = both[1].job(job)
        assert record is not None
        assert record.state is ends[not won]


def test_the_count_of_open_jobs_comes_in_the_order_of_news(
    both: tuple[SqlStore, SqlStore],
) -> None:
    heard: list[object] = []
    both[0].watch(lambda news: heard.append(len(news)))
    both[0].accept([new_job("in/0")], NOW)
    both[1].accept([new_job("in/1")], NOW)
    both[0].loads(heard.append)
    assert heard == [1, {("", JobState.ACCEPTED): 2}]


def test_a_session_that_was_cut_between_two_calls_is_not_noticed(
    server: Server, store: SqlStore
) -> None:
    store.accept([new_job("in/0")], NOW)
    for number in range(1, 4):
        assert server.cut() >= 2
        assert len(store.jobs()) == number
        assert store.accept([new_job(f"in/{number}")], NOW)[0].new


def test_of_a_session_that_was_cut_in_a_transaction_nothing_is_kept(
    server: Server, store: SqlStore
) -> None:
    def work(connection: object) -> None:
        connection.execute("DELETE FROM jobs")  # type: ignore[attr-defined]
        server.cut()
        connection.execute("DELETE FROM events")  # type: ignore[attr-defined]

    store.accept([new_job("in/0")], NOW)
    with pytest.raises(TemporaryError):
        store._writer.run(work)
    assert len(store.jobs()) == 1


@pytest.mark.parametrize("kept", [True, False])
def test_a_commit_without_an_answer_is_asked_after(
    server: Server, store: SqlStore, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = store._writer._connection
    commit = type(connection).commit

    def cut(self: object) -> None:
        if kept:
            commit(self)  # type: ignore[arg-type]
            self._number = number[0]  # type: ignore[attr-defined]
        server.cut()
        commit(self)  # type: ignore[arg-type]

    number: list[str] = []
    begin = type(connection).begin

    def begun(self: object, **how: bool) -> None:
        begin(self, **how)  # type: ignore[arg-type]
        number[:] = [self._number]  # type: ignore[attr-defined]

    monkeypatch.setattr(type(connection), "begin", begun)
    monkeypatch.setattr(type(connection), "commit", cut)
    if kept:
        assert store.accept([new_job("in/0")], NOW)[0].new
    else:
        with pytest.raises(TemporaryError):
            store.accept([new_job("in/0")], NOW)
    monkeypatch.undo()
    assert len(store.jobs()) == kept
    assert store.accept([new_job("in/0")], NOW)[0].new != kept


def test_a_newer_manager_may_change_the_tables_meanwhile(server: Server) -> None:
    schema = server.schema()
    with SqlStore(server.database(schema)) as store:
        # As often as it takes for a plan to be kept.
        for number in range(8):
            store.refuse(Refusal(NOW, "", "no key", 1, b"x"))
            assert len(store.refusals()) == number + 1
        server.do(f"ALTER TABLE {schema}.refused ADD COLUMN newer TEXT")
        assert len(store.refusals()) == 8


def test_a_character_that_no_text_may_have_is_no_lasting_trouble(store: SqlStore) -> None:
    item = new_job("in/\0", etag="e\0", sequencer="1\0")
    assert [a.new for a in store.accept([item, item], NOW)] == [True, False]
    (record,) = store.jobs()
    assert record.event == item.event
    assert store.accept([new_job("in/\0", etag="e\0", sequencer="")], NOW)[0].job == item.id


def test_what_no_column_holds_is_refused_for_good(store: SqlStore) -> None:
    with pytest.raises(PermanentError):
        store.accept([replace(new_job("in/a"), service="s" * 5_000_000)], NOW)
    assert store.accept([new_job("in/a")], NOW)[0].new


def test_a_store_of_a_newer_program_is_left_alone(server: Server) -> None:
    schema = server.schema()
    SqlStore(server.database(schema)).close()
    server.do(f"INSERT INTO {schema}.migrations VALUES (99, 'the future', 0)")
    with pytest.raises(PermanentError, match="version 99"):
        SqlStore(server.database(schema))


def test_the_password_is_in_no_message(server: Server) -> None:
    url = server.url()
    wrong = {
        "not a url": UsageError,
        url.replace("?host", "?nonsense=%zz&host"): UsageError,
        url.replace("postgres?", "absent?"): TemporaryError,
        url.replace(str(server.folder), "/nowhere"): TemporaryError,
        url.replace(":s", ":wrong-", 1): TemporaryError,
        server.url("absent"): PermanentError,
    }
    for one, kind in wrong.items():
        with pytest.raises(kind) as caught:
            SqlStore(Postgres(Secret(one)))
        said = f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r}"
        assert PASSWORD not in said
        assert "cret" not in said
