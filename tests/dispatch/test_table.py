"""The job table keeps the rules of every job store, with many writers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from moto import mock_aws
from moto.dynamodb.models import DynamoDBBackend

from bridge.dispatch import Change, NewJob, Output
from bridge.dispatch.table import JobTable
from bridge.errors import NotFoundError
from bridge.events import decode, job_id
from bridge.targets import JobState
from bridge.targets.aws import Account, AccountSettings
from tests.dispatch.world import body

KEYS = {"aws_access_key_id": "AKIATESTTESTTEST", "aws_secret_access_key": "not-a-secret"}
OPEN = [state for state in JobState if not state.final]
FINAL = [state for state in JobState if state.final]


def _one_by_one(patch: pytest.MonkeyPatch) -> None:
    """AWS checks and writes in one; moto's threads may meet in between."""
    lock = threading.Lock()

    def held(name: str) -> None:
        real = getattr(DynamoDBBackend, name)

        def call(*words: Any, **more: Any) -> Any:
            with lock:
                return real(*words, **more)

        patch.setattr(DynamoDBBackend, name, call)

    for name in ("put_item", "update_item", "delete_item"):
        held(name)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[JobTable]:
    _one_by_one(monkeypatch)
    with mock_aws():
        account = Account(AccountSettings(credentials=KEYS))
        account.ensure_bucket(account.bucket)
        made = JobTable(account)
        assert made.create()
        yield made


def job(number: int = 1, service: str = "grey") -> NewJob:
    (event,) = decode(body(f"in/{number}"))
    return NewJob(job_id(service, event), service, event)


def test_a_job_is_accepted_once_and_read_back_whole(table: JobTable) -> None:
    one = job()
    assert table.accept(one, 10.5) and not table.accept(one, 11.0)
    found = table.job(one.id)
    assert found is not None and found.event == one.event
    assert (found.state, found.attempt, found.accepted) == (JobState.ACCEPTED, 1, 10.5)
    assert table.job("none") is None and table.detail("none") is None


def test_of_many_that_accept_at_once_one_does(table: JobTable) -> None:
    one = job()
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: table.accept(one, 1.0), range(8))) == 1


@pytest.mark.parametrize("before", OPEN)
@pytest.mark.parametrize("after", list(JobState))
def test_a_state_never_goes_back(table: JobTable, before: JobState, after: JobState) -> None:
    one = job()
    table.accept(one, 1.0)
    assert table.change(Change(one.id, 1, before, 2.0))
    allowed = after.final or OPEN.index(after) >= OPEN.index(before)
    assert table.change(Change(one.id, 1, after, 3.0)) is allowed


@pytest.mark.parametrize("state", FINAL)
def test_a_final_state_stays(table: JobTable, state: JobState) -> None:
    one = job()
    table.accept(one, 1.0)
    assert table.change(Change(one.id, 1, state, 2.0))
    for after in JobState:
        assert not table.change(Change(one.id, 1, after, 3.0))
    assert not table.change(Change(one.id, 1, JobState.ACCEPTED, 3.0, again=True))
    found = table.job(one.id)
    assert found is not None and (found.state, found.ended) == (state, 2.0)


def test_a_change_of_another_attempt_or_job_is_none(table: JobTable) -> None:
    one = job()
    table.accept(one, 1.0)
    assert not table.change(Change(one.id, 2, JobState.RUNNING, 2.0))
    assert not table.change(Change("none", 1, JobState.RUNNING, 2.0))


def test_only_one_places_it(table: JobTable) -> None:
    one = job()
    table.accept(one, 1.0)
    change = Change(one.id, 1, JobState.PLACED, 2.0, target="a")
    with ThreadPoolExecutor(8) as pool:
        done = pool.map(lambda _: table.change(change, only_from=(JobState.ACCEPTED,)), range(8))
        assert sum(done) == 1


def test_times_are_the_first_ones(table: JobTable) -> None:
    one = job()
    table.accept(one, 1.0)
    for at in (2.0, 3.0):
        table.change(Change(one.id, 1, JobState.SUBMITTED, at, handle=f"h{at}"))
    found = table.job(one.id)
    assert found is not None and (found.submitted, found.handle) == (2.0, "h3.0")


def test_another_attempt_starts_clean_and_keeps_what_was(table: JobTable) -> None:
    one = job()
    table.accept(one, 1.0)
    table.change(Change(one.id, 1, JobState.PLACED, 2.0, target="a", decision={"fallback": []}))
    table.change(Change(one.id, 1, JobState.RUNNING, 3.0, handle="h1", log="l1"))
    again = Change(one.id, 1, JobState.PLACED, 4.0, again=True, target="b", reason="lost")
    assert table.change(again) and not table.change(again)
    found = table.detail(one.id)
    assert found is not None
    assert (found.job.attempt, found.job.target, found.job.handle) == (2, "b", "")
    assert found.job.started is None and found.job.placed == 4.0
    first, second = found.attempts
    assert (first.target, first.handle, first.log, first.reason) == ("a", "h1", "l1", "lost")
    assert (first.started, first.ended, first.state) == (3.0, 4.0, JobState.FAILED)
    assert (second.number, second.target) == (2, "b")
    assert found.decisions == ({"fallback": []},)


def test_a_result_is_kept_with_its_outputs_however_many(table: JobTable) -> None:
    few, many = job(1), job(2)
    for one, count in ((few, 2), (many, 3000)):
        outputs = tuple(Output("s3.default", "b", f"out/{n}", n, "e") for n in range(count))
        listed = [{"provider": "s3.default", "bucket": "b", "key": o.key} for o in outputs]
        report = {"state": "succeeded", "outputs": listed}
        account = table._account
        account.put(f"reports/{one.id}.json", __import__("json").dumps(report).encode())
        table.accept(one, 1.0)
        table.change(
            Change(one.id, 1, JobState.SUCCEEDED, 2.0, report=report, outputs=outputs, exit_code=0)
        )
        found = table.detail(one.id)
        assert found is not None and len(found.outputs) == count
        assert found.job.exit_code == 0


def test_a_large_event_is_kept_beside_the_table(table: JobTable) -> None:
    (event,) = decode(b"x" * 400_000)
    table.accept(NewJob("large", "grey", event), 1.0)
    found = table.job("large")
    assert found is not None and found.event.body == event.body
    (listed,) = table.jobs()
    assert listed.event.body is None


def test_the_newest_come_first_by_service_and_by_state(table: JobTable) -> None:
    for number in range(1, 6):
        table.accept(job(number), float(number))
        table.accept(job(number, "blur"), number + 0.5)
    done = job(3)
    table.change(Change(done.id, 1, JobState.SUCCEEDED, 9.0))
    assert [one.accepted for one in table.jobs("grey")] == [5.0, 4.0, 3.0, 2.0, 1.0]
    assert [one.accepted for one in table.jobs(limit=3)] == [5.5, 5.0, 4.5]
    assert [one.id for one in table.jobs(states=[JobState.SUCCEEDED])] == [done.id]
    assert [one.id for one in table.jobs("grey", [JobState.SUCCEEDED])] == [done.id]
    assert table.jobs("none") == []


def test_the_open_that_are_silent_longest_come_first(table: JobTable) -> None:
    for number in (1, 2, 3):
        table.accept(job(number), float(number))
    table.change(Change(job(1).id, 1, JobState.RUNNING, 8.0))
    table.change(Change(job(3).id, 1, JobState.FAILED, 8.0))
    assert [one.accepted for one in table.open_since(9.0)] == [2.0, 1.0]
    assert [one.accepted for one in table.open_since(5.0)] == [2.0]
    assert table.loads() == {("", JobState.RUNNING): 1, ("", JobState.ACCEPTED): 1}


def test_a_final_job_is_forgotten_after_ninety_days(table: JobTable) -> None:
    one = job()
    table.accept(one, 1.0)
    table.change(Change(one.id, 1, JobState.FAILED, 1000.0, reason="x" * 20_000))
    item = table._client.get_item(TableName=table.name, Key={"job": {"S": one.id}})["Item"]
    assert item["expires"] == {"N": str(1000 + 90 * 86400)} and "open" not in item
    assert len(item["reason"]["S"]) == 8000


def test_a_table_that_is_not_there_is_said(table: JobTable) -> None:
    with pytest.raises(NotFoundError):
        JobTable(table._account, "other").accept(replace(job(), id="x"), 1.0)
