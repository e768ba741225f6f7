"""Jobs of one service that come together are one array in Batch, and each runs in one place."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bridge.errors import TargetUnavailable
from bridge.targets import JobState
from lambda_runtime.dispatcher import Dispatcher
from tests.lambda_runtime.dispatcher.world import Killed, Lab, Queue, burst, failed, queued, report

BATCH: dict[str, Any] = {"targets": ("aws-batch",), "arrays": True}


def arrays_of(queue: Queue) -> list[int]:
    return [one["arrayProperties"]["size"] for one in queue.jobs if "arrayProperties" in one]


def in_batch(lab: Lab, queue: Queue, service: str = "") -> Counter[tuple[str, str]]:
    """Each job (of a service) that Batch has and that finds its event, with its handle."""
    found: Counter[tuple[str, str]] = Counter()
    for one in queue.jobs:
        if not one["jobName"].startswith(service):
            continue
        if "arrayProperties" not in one:
            found[one["jobName"], one["jobId"]] += 1
            continue
        text = lab.account.get(f"arrays/{one['jobName']}/0.json")
        for number, entry in enumerate(json.loads(text or b"[]")):
            found[entry["job_id"], f"{one['jobId']}:{number}"] += 1
    return found


def test_a_burst_is_one_array_for_each_service_and_one_alone_is_a_plain_job(
    lab: Lab, queue: Queue
) -> None:
    for name in ("grey", "blur", "one"):
        lab.deploy(name, **BATCH)
    lab.deploy("old", targets=("aws-batch",))
    lab.deploy("quick")
    bodies = [*burst(3, "grey", "blur"), *burst(1, "one"), *burst(2, "old", "quick")]
    assert failed(lab.dispatcher.events(queued(*bodies))) == []
    assert sorted(arrays_of(queue)) == [3, 3]
    jobs = lab.jobs()
    assert {job.state for job in jobs} == {JobState.SUBMITTED} and len(jobs) == 11
    # Where jobs cannot read an array, or it is not Batch, each goes alone.
    assert Counter(job.service for job in jobs if ":" in job.handle) == {"grey": 3, "blur": 3}
    handles = {(job.id, job.handle) for job in jobs if job.target == "aws-batch"}
    assert in_batch(lab, queue) == Counter(handles)
    assert lab.lambdas.noted.asked == 2 and lab.letters() == []
    # The same again changes nothing, whoever brings it.
    lab.dispatcher.events(queued(*bodies, number=2))
    lab.now += 500
    assert lab.world.batches.describe is not None
    assert len(in_batch(lab, queue)) == 9 and len(lab.jobs()) == 11


class Fuse:
    """Ends the process after so many calls of AWS, counted from the first of an array's."""

    def __init__(self, left: int) -> None:
        self.left, self.lit, self.blown = left, False, False
        self._lock = threading.Lock()

    def burn(self, **call: Any) -> None:
        with self._lock:
            key = str((call.get("params") or {}).get("url_path", ""))
            self.lit = self.lit or "/arrays/" in key
            self.left -= self.lit
            self.blown = self.blown or self.left < 0
        if self.blown:
            raise Killed


@contextmanager
def dying(lab: Lab, queue: Queue, fuse: Fuse) -> Iterator[None]:
    """While this lasts, calls of DynamoDB, S3, Batch and claims burn the fuse."""
    claims, hooks = lab.account.claims, []
    for name in ("dynamodb", "s3"):
        events = lab.account.client(name).meta.events
        events.register("before-call.*.*", fuse.burn)
        hooks.append(events)
    real = {(one, name): getattr(one, name) for one, name in (
        (queue, "submit_job"), (claims, "take"), (claims, "keep"),
    )}  # fmt: skip

    def guarded(work: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            fuse.burn()
            return work(*args, **more)

        return call

    for (one, name), work in real.items():
        setattr(one, name, guarded(work))
    try:
        yield
    finally:
        for (one, name), work in real.items():
            setattr(one, name, work)
        for events in hooks:
            events.unregister("before-call.*.*", fuse.burn)


def forget_claims(lab: Lab) -> None:
    """As when a minute has passed: who had a claim and died does not hold it any more."""
    s3, bucket = lab.account.client("s3"), lab.account.bucket
    for one in s3.list_objects_v2(Bucket=bucket, Prefix="runs/").get("Contents", ()):
        claim = json.loads(s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read())
        if not claim["batch_job"] and claim["holder"] != "settled":
            body = json.dumps({**claim, "until": 0.0}).encode()
            s3.put_object(Bucket=bucket, Key=one["Key"], Body=body)


def test_killed_before_each_call_every_job_is_in_exactly_one_batch_job(
    lab: Lab, queue: Queue
) -> None:
    calls = 0
    while True:
        name, fuse = lab.deploy(f"grey{calls}", **BATCH), Fuse(calls)
        lab.restart()
        bodies, killed = burst(2, name), False
        with dying(lab, queue, fuse):
            try:
                lab.dispatcher.events(queued(*bodies))
            except Killed:
                killed = True
        forget_claims(lab)
        lab.restart()
        assert failed(lab.dispatcher.events(queued(*bodies, number=2))) == []
        jobs = lab.world.table.jobs(name)
        assert [job.state for job in jobs] == [JobState.SUBMITTED] * 2, (calls, jobs)
        there = in_batch(lab, queue, f"{name}-")
        assert there == Counter({(job.id, job.handle): 1 for job in jobs}), calls
        lab.remove(name)
        if not killed:
            break
        calls += 1
    assert calls == 8
    assert lab.letters() == []


def test_an_array_with_a_job_that_another_has_placed_is_never_submitted(
    lab: Lab, queue: Queue
) -> None:
    lab.deploy("grey", **BATCH)
    bodies = burst(3, "grey")
    prepare, other = lab.world.batches.prepare, Dispatcher(lab.world)

    def slowly(jobs: Any) -> str:
        root = prepare(jobs)
        lab.world.batches.prepare = prepare  # type: ignore[method-assign]
        other.events(queued(bodies[0], number=2))
        return root

    lab.world.batches.prepare = slowly  # type: ignore[method-assign]
    assert failed(lab.dispatcher.events(queued(*bodies))) == []
    jobs = lab.jobs()
    assert arrays_of(queue) == [] and {job.state for job in jobs} == {JobState.SUBMITTED}
    assert in_batch(lab, queue) == Counter({(job.id, job.handle): 1 for job in jobs})


def test_an_array_that_batch_does_not_take_now_is_tried_again_as_it_is(
    lab: Lab, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.deploy("grey", **BATCH)
    bodies = burst(6, "grey")
    with monkeypatch.context() as patch:
        launch = TargetUnavailable("submit: Too Many Requests [TooManyRequestsException]")
        patch.setattr(lab.world.batches, "launch", lambda *_: (_ for _ in ()).throw(launch))
        assert failed(lab.dispatcher.events(queued(*bodies))) == []
    jobs = lab.jobs()
    assert {(job.state, job.tries) for job in jobs} == {(JobState.PLACED, 1)}
    assert queue.jobs == []
    # That was one refusal, however many jobs it was about: no breaker opens.
    assert '"refused": 1' in lab.world.table.kept("breaker/aws-batch")
    lab.now += 500
    lab.dispatcher.reconcile(30.0)
    jobs = lab.jobs()
    assert {job.state for job in jobs} == {JobState.SUBMITTED} and arrays_of(queue) == [6]
    assert in_batch(lab, queue) == Counter({(job.id, job.handle): 1 for job in jobs})


def test_news_of_a_child_are_those_of_its_job_whoever_brings_them(lab: Lab, queue: Queue) -> None:
    lab.deploy("grey", **BATCH)
    lab.dispatcher.events(queued(*burst(3, "grey")))
    first, second, third = sorted(lab.jobs(), key=lambda job: job.handle)
    (array,) = queue.jobs

    def told(detail: dict[str, Any]) -> dict[str, Any]:
        kind = {"detail-type": "Batch Job State Change", "source": "aws.batch"}
        return queued({**kind, "detail": detail})

    # The child's own event; one for whom the array's end is the news; and one that is asked about.
    for job in (first, second):
        report(lab, job, handle=job.handle)
    child = queue.described(first.handle, array["jobName"])
    lab.dispatcher.states(told({**child, "status": "SUCCEEDED"}))
    assert lab.world.table.job(first.id).state is JobState.SUCCEEDED  # type: ignore[union-attr]
    ended = {"jobId": array["jobId"], "jobName": array["jobName"], "status": "FAILED"}
    queue.described = lambda handle, name: {  # type: ignore[method-assign]
        "jobId": handle,
        "jobName": name,
        "status": "RUNNING" if handle == third.handle else "SUCCEEDED",
        "arrayProperties": {"index": int(handle[-1])},
    }
    lab.dispatcher.states(told({**ended, "arrayProperties": {"size": 3, "statusSummary": {}}}))
    states = [lab.world.table.job(job.id).state for job in (first, second, third)]  # type: ignore[union-attr]
    assert states == [JobState.SUCCEEDED, JobState.SUCCEEDED, JobState.RUNNING]
    # A stranger's array is nobody's.
    stranger = {"jobId": "x:0", "jobName": "theirs", "status": "FAILED"}
    assert failed(lab.dispatcher.states(told({**stranger, "arrayProperties": {"index": 0}}))) == []
    report(lab, third, "failed")
    lab.now += 500
    queue.described = lambda handle, name: {  # type: ignore[method-assign]
        "jobId": handle, "jobName": name, "status": "FAILED"
    }  # fmt: skip
    lab.dispatcher.reconcile(30.0)
    assert lab.world.table.job(third.id).exit_code == 3  # type: ignore[union-attr]
