"""Jobs on a remote cluster: one run for each, whatever is lost on the way."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from bridge.dispatch.testing import FakeTarget
from bridge.errors import AccessError, TargetUnavailable
from bridge.events import decode, envelope, job_id, minio_record
from bridge.fdl.model import TargetSpec
from bridge.targets import Job, JobState, JobUpdate
from bridge.targets.oscar import OscarTarget
from bridge.targets.oscar.target import job_body, remote_name
from tests.dispatch.test_engine import until
from tests.dispatch.world import FAST, PROVIDER, body, dispatcher, open_store, service
from tests.targets.oscar.cluster import Upstream


def a_job(key: str = "in/a.txt", attempt: int = 1) -> Job:
    (event,) = decode(minio_record("b", key, size=1, etag="e", sequencer="1"))
    return Job(job_id("s", event), "s", event, attempt)


class Clock:
    """A time that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A target on an upstream cluster."""

    def __init__(self) -> None:
        self.cluster = Upstream()
        self.clock = Clock()
        self.target = self.another()

    def another(self) -> OscarTarget:
        """The target in another process, which knows nothing of what this one did."""
        return OscarTarget(
            TargetSpec("lab", "oscar"), self.cluster.client(), {}, lease=60, clock=self.clock
        )

    def news(self) -> dict[str, JobUpdate]:
        self.clock.now += 1
        return {one.job: one for one in self.target.poll()}

    def posts(self) -> int:
        return self.cluster.asked.count("POST /job/s")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def lost_answer(request: httpx.Request) -> None:
    """The job is there; who asked does not hear it."""
    if request.url.path.endswith("/job/s"):
        raise httpx.ReadTimeout("cut", request=request)


def lost_request(request: httpx.Request) -> httpx.Response | None:
    if request.url.path.endswith("/job/s"):
        raise httpx.ReadTimeout("cut", request=request)
    return None


def test_a_job_has_our_name_and_is_followed_to_its_end(bench: Bench) -> None:
    jobs = [a_job(f"in/{n}.txt") for n in range(5)]
    assert [bench.target.submit(job) for job in jobs] == [job.id for job in jobs]
    assert bench.news() == {}
    bench.cluster.jobs[0] |= {"status": "Running", "start_time": "2026-01-01T10:00:00Z"}
    bench.cluster.jobs[4] |= {
        "status": "Succeeded",
        "start_time": "2026-01-01T10:00:00Z",
        "finish_time": "2026-01-01T10:00:03.123456789Z",
    }
    bench.cluster.jobs[2] |= {"status": "Failed"}
    found = bench.news()
    assert {found[jobs[n].id].state for n in (0,)} == {JobState.RUNNING}
    over = found[jobs[4].id]
    assert (over.state, over.attempt, over.handle) == (JobState.SUCCEEDED, 1, jobs[4].id)
    assert over.ended is not None and over.started is not None
    assert over.ended - over.started == pytest.approx(3.123, abs=0.01)
    assert found[jobs[2].id].state is JobState.FAILED and not found[jobs[2].id].temporary
    assert bench.news()[jobs[4].id] == over
    bench.target.forget(jobs[4].id)
    assert jobs[4].id not in bench.news()
    assert list(bench.target.logs(jobs[0].id)) == ["one", "two"]


def test_the_list_serves_all_jobs_at_once_and_never_one_alone(bench: Bench) -> None:
    for n in range(4):
        bench.target.submit(a_job(f"in/{n}.txt"))
    # The names are known from one list; each job costs its own submit and nothing more.
    assert bench.cluster.asked.count("GET /system/logs/s") == 1
    bench.cluster.asked.clear()
    bench.news()
    assert bench.cluster.asked == ["GET /system/logs/s"] * 2  # two pages
    bench.cluster.asked.clear()
    list(bench.target.poll())
    assert bench.cluster.asked == []


def test_an_answer_that_is_lost_is_found_on_the_list(bench: Bench) -> None:
    bench.cluster.after = lost_answer
    assert bench.target.submit(a_job()) == a_job().id
    assert bench.target.submit(a_job()) == a_job().id
    assert (len(bench.cluster.jobs), bench.posts()) == (1, 1)


def test_a_request_that_is_lost_is_sent_again_once(bench: Bench) -> None:
    bench.cluster.before = lost_request
    with pytest.raises(TargetUnavailable):
        bench.target.submit(a_job())
    assert bench.cluster.jobs == []
    bench.cluster.before = lambda _: None
    assert bench.target.submit(a_job()) == a_job().id
    assert len(bench.cluster.jobs) == 1


def test_what_comes_late_is_seen_before_it_is_sent_again(bench: Bench) -> None:
    bench.cluster.before = lost_request
    with pytest.raises(TargetUnavailable):
        bench.target.submit(a_job())
    bench.cluster.before = lambda _: None
    # The request was carried out after all.
    bench.cluster.jobs.append({"name": a_job().id, "status": "Running"})
    assert bench.target.submit(a_job()) == a_job().id
    assert bench.posts() == 1


def test_who_takes_over_sees_what_was_submitted_before(bench: Bench) -> None:
    other = bench.another()
    other.submit(a_job("in/other.txt"))
    bench.clock.now += 15  # a dispatcher's lease
    bench.target.submit(a_job())
    assert other.submit(a_job()) == a_job().id
    assert len(bench.cluster.jobs) == 2


def test_a_token_that_was_rotated_is_read_again_and_the_answer_is_checked(bench: Bench) -> None:
    bench.target.submit(a_job("in/1.txt"))
    bench.cluster.token = "b" * 64
    assert bench.target.submit(a_job("in/2.txt"))
    assert len(bench.cluster.jobs) == 2
    bench.cluster.before = lambda r: httpx.Response(401) if r.url.path.endswith("/job/s") else None
    with pytest.raises(AccessError):
        bench.target.submit(a_job("in/3.txt"))
    assert len(bench.cluster.jobs) == 2


def test_another_attempt_is_another_job_there(bench: Bench) -> None:
    bench.target.submit(a_job())
    bench.cluster.jobs.clear()
    bench.clock.now += 100
    lost = bench.news()[a_job().id]
    assert lost.state is JobState.FAILED and lost.temporary
    bench.target.forget(a_job().id)
    name = bench.target.submit(a_job(attempt=2))
    assert name == remote_name(a_job().id, 2) != a_job().id
    assert bench.news() == {}


def test_a_job_is_let_go_only_when_the_cluster_does_not_have_it(bench: Bench) -> None:
    assert bench.target.has_let_go(a_job("in/never-sent.txt"), None)
    bench.cluster.before = lost_request
    with pytest.raises(TargetUnavailable):
        bench.target.submit(a_job())
    bench.cluster.before = lambda _: httpx.Response(503)
    assert not bench.target.has_let_go(a_job(), None)
    bench.cluster.before = lambda _: None
    bench.cluster.jobs.append({"name": a_job().id, "status": "Succeeded"})
    assert not bench.target.has_let_go(a_job(), None)
    assert bench.target.submit(a_job()) == a_job().id
    assert bench.news()[a_job().id].state is JobState.SUCCEEDED
    bench.cluster.jobs.clear()
    assert bench.target.has_let_go(a_job(), None)


def test_a_lease_runs_out(bench: Bench) -> None:
    bench.target.submit(a_job())
    bench.cluster.before = lambda _: httpx.Response(503)
    assert not bench.target.has_let_go(a_job(), None)
    bench.clock.now += 61
    assert bench.target.has_let_go(a_job(), None)


def test_what_another_process_has_submitted_is_let_go_no_sooner(bench: Bench) -> None:
    bench.target.submit(a_job())
    other = bench.another()
    bench.cluster.before = lambda _: httpx.Response(503)
    assert not other.has_let_go(a_job(), time.time())
    assert other.has_let_go(a_job(), time.time() - 61)
    bench.cluster.before = lambda _: None
    assert not other.has_let_go(a_job(), time.time())


def test_a_cancelled_job_is_taken_off_the_list(bench: Bench) -> None:
    bench.target.submit(a_job())
    bench.target.cancel(a_job().id)
    assert bench.cluster.jobs == []
    assert bench.news()[a_job().id].state is JobState.CANCELLED
    bench.target.cancel("unknown")


@pytest.mark.parametrize("attempt", [1, 2, 11])
def test_names_stay_names_of_kubernetes(attempt: int) -> None:
    job = job_id("a-service-with-a-rather-long-name", a_job().event)
    name = remote_name(job, attempt)
    assert len(name) <= 63 and job[-32:] in name
    assert name == job or name.endswith(f"-{attempt}")


def test_the_request_is_upstreams_and_ours(bench: Bench) -> None:
    sent = json.loads(job_body(a_job(), "home"))
    assert sent["storage_provider"] == "minio.home"
    assert json.loads(sent["event"])["Records"][0]["s3"]["object"]["key"] == "in%2Fa.txt"
    said = envelope(sent)
    assert said is not None and (said.job, said.attempt) == (a_job().id, 1)
    (event,) = decode(job_body(a_job()))
    assert event.identity == a_job().event.identity
    (raw,) = decode(b"plain words", nonce="1")
    (again,) = decode(job_body(Job("j", "s", raw)))
    assert again.body == b"plain words"


def test_the_dispatcher_falls_back_only_when_the_cluster_has_let_go(
    bench: Bench, tmp_path: Path
) -> None:
    """The request was lost and the cluster is away: it may have the job, so nobody else gets it."""
    away = threading.Event()

    def broken(request: httpx.Request) -> httpx.Response | None:
        if away.is_set():
            return httpx.Response(503, headers={"retry-after": "1"})
        if request.url.path.endswith("/job/s"):
            away.set()
            raise httpx.ReadTimeout("cut", request=request)
        return None

    bench.cluster.before = broken
    other = FakeTarget("elsewhere")
    settings = replace(FAST, max_submits=2)
    services = [service("s", "in", fallback=("elsewhere",))]
    targets = {"lab": bench.target, "elsewhere": other}
    with (
        open_store(tmp_path) as store,
        dispatcher(store, targets, services, settings=settings) as running,
    ):
        (job,) = running.ingest(PROVIDER, body("in/a")).new
        until(lambda: bench.cluster.asked.count("GET /system/logs/s") > 6)
        assert other.runs == []
        bench.cluster.before = lambda _: None
        until(lambda: bool(bench.cluster.jobs))
        bench.cluster.jobs[0] |= {"status": "Succeeded"}
        bench.clock.now += 10
        until(lambda: running.wait_quiet(0.1))
        record = store.job(job)
    assert record is not None and (record.state, record.target) == (JobState.SUCCEEDED, "lab")
    assert (other.runs, len(bench.cluster.jobs)) == ([], 1)
