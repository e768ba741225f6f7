"""Events of buckets become jobs: once each, wherever they come from."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from bridge.errors import PermanentError, TargetUnavailable
from bridge.events import s3_record
from bridge.targets import JobState
from tests.lambda_runtime.dispatcher.world import Lab, created, failed, queued


def test_an_object_starts_a_job_that_is_recorded_with_its_decision(lab: Lab) -> None:
    lab.deploy("grey")
    assert failed(lab.dispatcher.events(queued(created("grey/in/a+b c.txt")))) == []
    job = lab.job()
    assert (job.service, job.state, job.target) == ("grey", JobState.SUBMITTED, "aws-lambda")
    assert job.handle == "handle-1" and job.event.key == "grey/in/a+b c.txt"
    detail = lab.world.table.detail(job.id)
    assert detail is not None and detail.decisions[0]["target"] == "aws-lambda"
    assert lab.lambdas.noted.runs == [(job.id, 1)]


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("native", [True, False])
def test_s3_may_tell_by_eventbridge_or_itself_and_with_or_without_a_queue(
    lab: Lab, *, wrapped: bool, native: bool
) -> None:
    lab.deploy("grey")
    told = (
        s3_record("data", "grey/in/x", etag="e1", sequencer="1") if native else created("grey/in/x")
    )
    lab.dispatcher.events(queued(told) if wrapped else told)
    assert lab.job().event.key == "grey/in/x" and len(lab.runs) == 1


def test_both_ways_of_telling_make_one_job(lab: Lab) -> None:
    lab.deploy("grey")
    lab.dispatcher.events(queued(created("grey/in/x")))
    lab.dispatcher.events(queued(s3_record("data", "grey/in/x", etag="e1", sequencer="1")))
    assert len(lab.runs) == 1 == len(lab.jobs())


def test_the_same_event_five_times_at_once_is_one_job(lab: Lab) -> None:
    lab.deploy("grey")
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lab.dispatcher.events, [queued(created("grey/in/x"))] * 5))
    assert len(lab.runs) == 1 == len(lab.jobs())
    assert lab.letters() == []


def test_a_new_upload_of_the_same_object_is_another_job(lab: Lab) -> None:
    lab.deploy("grey")
    for number in "12":
        lab.dispatcher.events(queued(created("grey/in/x", sequencer=number)))
    assert len(lab.runs) == 2


def test_every_service_with_that_input_gets_a_job(lab: Lab) -> None:
    lab.deploy("grey", path="data/shared")
    lab.deploy("blur", path="data/shared")
    lab.deploy("other")
    lab.dispatcher.events(queued(created("shared/in/x")))
    assert {job.service for job in lab.jobs()} == {"grey", "blur"}


def test_folder_markers_and_our_own_keys_start_nothing_and_are_no_letters(lab: Lab) -> None:
    lab.deploy("grey")
    answer = lab.dispatcher.events(
        queued(created("grey/in/"), created(".oscar-bridge/x"), {"Event": "s3:TestEvent"})
    )
    assert failed(answer) == [] and lab.jobs() == []
    assert lab.letters() == []


def test_a_service_that_comes_a_moment_after_its_rule_still_gets_the_event(lab: Lab) -> None:
    assert failed(lab.dispatcher.events(queued(created("grey/in/x")))) == ["message-0"]
    lab.deploy("grey")
    assert failed(lab.dispatcher.events(queued(created("grey/in/x"), number=2))) == []
    assert len(lab.runs) == 1 and lab.letters() == []


def test_an_event_for_a_service_that_is_gone_is_a_dead_letter(lab: Lab) -> None:
    lab.deploy("grey")
    lab.dispatcher.events(queued(created("grey/in/x")))
    lab.remove("grey")
    lab.restart()
    answers = [lab.dispatcher.events(queued(created("grey/in/y"), number=n)) for n in (1, 2)]
    assert [failed(one) for one in answers] == [["message-0"], []]
    (letter,) = lab.letters()
    assert "no deployed service has an input for s3.default:data/grey/in/y" in letter["reason"]
    assert json.loads(letter["body"])["detail"]["object"]["key"] == "grey/in/y"


def test_a_job_whose_service_goes_before_it_is_placed_ends_with_a_letter(lab: Lab) -> None:
    lab.deploy("grey")
    lab.lambdas.noted.faults = [TargetUnavailable("busy")]
    lab.dispatcher.events(queued(created("grey/in/x")))
    lab.remove("grey")
    lab.restart()
    job = lab.job()
    lab.dispatcher.states(queued({"oscar-bridge": {"job": job.id, "attempt": 1}}))
    assert lab.job().state is JobState.FAILED
    (letter,) = lab.letters()
    assert letter["job"] == job.id and "not deployed" in letter["reason"]


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "null", '{"Records": [{"eventSource": "aws:s3"}]}', "\x00", "{}", '"text"'],
)
def test_what_has_no_meaning_is_a_dead_letter_and_does_not_come_again(lab: Lab, body: str) -> None:
    assert failed(lab.dispatcher.events(queued(body))) == []
    (letter,) = lab.letters()
    assert letter["source"] == "events" and letter["reason"]
    assert lab.jobs() == []


def test_one_bad_message_among_ten_good_ones_is_alone_in_its_fate(lab: Lab) -> None:
    lab.deploy("grey")
    good = [created(f"grey/in/{number}") for number in range(10)]
    answer = lab.dispatcher.events(queued(*good[:5], "{bad", *good[5:]))
    assert failed(answer) == []
    assert len(lab.runs) == 10 and len(lab.letters()) == 1


def test_a_message_that_cannot_be_recorded_now_comes_again_alone(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.deploy("grey")
    accept = lab.world.table.accept

    def full(job: object, at: float) -> bool:
        if job.event.key.endswith("/3"):  # type: ignore[attr-defined]
            raise TargetUnavailable("throttled")
        return accept(job, at)  # type: ignore[arg-type]

    monkeypatch.setattr(lab.world.table, "accept", full)
    answer = lab.dispatcher.events(queued(*(created(f"grey/in/{n}") for n in range(11))))
    assert failed(answer) == ["message-3"] and len(lab.runs) == 10


def test_one_bad_record_in_a_notification_does_not_hold_up_the_others(lab: Lab) -> None:
    lab.deploy("grey")
    records = [
        s3_record("data", f"grey/in/{n}", etag="e", sequencer=str(n))["Records"][0]
        for n in range(3)
    ]
    records[1]["s3"]["object"].pop("key")
    assert failed(lab.dispatcher.events(queued({"Records": records}))) == []
    assert sorted(job.event.key for job in lab.jobs()) == ["grey/in/0", "grey/in/2"]
    assert len(lab.letters()) == 1


def test_a_bug_is_not_silent(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.deploy("grey")

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(lab.world.table, "accept", broken)
    event = created("grey/in/x")
    answers = [lab.dispatcher.events(queued(event, number=number)) for number in (1, 2, 3, 4)]
    assert [failed(one) for one in answers] == [["message-0"]] * 3 + [[]]
    (letter,) = lab.letters()
    assert "a bug" in letter["reason"] and json.loads(letter["body"]) == event


def test_without_a_queue_a_failure_is_the_invocations(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.deploy("grey")

    def denied(*_: object) -> None:
        raise PermanentError("denied")

    monkeypatch.setattr(lab.world.table, "accept", denied)
    with pytest.raises(PermanentError, match="denied"):
        lab.dispatcher.events(created("grey/in/x"))


def test_when_the_dead_letter_queue_is_gone_the_message_stays(lab: Lab) -> None:
    lab.account.client("sqs").delete_queue(QueueUrl=lab.dead)
    assert failed(lab.dispatcher.events(queued("{bad"))) == ["message-0"]
