"""A dispatcher whose services change while it runs, and jobs that are put away."""

from __future__ import annotations

import threading
from dataclasses import replace

from bridge.dispatch import SqliteStore
from bridge.dispatch.testing import FakeTarget, Outcome
from bridge.targets import Job, JobState

from .world import PATIENCE, PROVIDER, FolderRoutes, Shelf, body, dispatcher, info, service, until


def test_services_and_routes_change_at_once(store: SqliteStore) -> None:
    target = FakeTarget("t", script=lambda job: Outcome(hold=True))
    one, two = service("one", "in"), service("two", "in")
    with dispatcher(store, {"t": target}, [one]) as running:
        (job,) = running.ingest(PROVIDER, body("in/a")).new
        until(lambda: bool(target.runs))
        running.serve([two], FolderRoutes([two]))
        ended = running.wait(job, PATIENCE)
        assert ended is not None
        assert (ended.state, ended.reason) == (JobState.FAILED, "service one was deleted")
        (other,) = running.ingest(PROVIDER, body("in/b")).new
        found = store.job(other)
        assert found is not None
        assert found.service == "two"
        assert running.open_jobs == 1


def test_a_job_whose_service_goes_while_it_is_submitted_is_stopped(store: SqliteStore) -> None:
    began, go = threading.Event(), threading.Event()

    class Slow(FakeTarget):
        def submit(self, job: Job) -> str:
            began.set()
            assert go.wait(PATIENCE)
            return super().submit(job)

    target = Slow("t", script=lambda job: Outcome(hold=True))
    with dispatcher(store, {"t": target}, [service("one", "in")]) as running:
        (job,) = running.ingest(PROVIDER, body("in/a")).new
        assert began.wait(PATIENCE)
        running.serve([], FolderRoutes([]))
        # It was told, and did not have the job yet.
        told = len(target.cancels)
        go.set()
        until(lambda: len(target.cancels) > told)
        ended = store.job(job)
        assert ended is not None
        assert ended.state is JobState.FAILED


def test_an_object_older_than_a_service_is_not_for_it(store: SqliteStore) -> None:
    times = {"in/old": "2026-01-01T00:00:00+00:00", "in/new": "2026-01-01T00:00:01+00:00"}
    shelf = Shelf([replace(info(key), modified=at) for key, at in times.items()])
    with dispatcher(store, {"t": FakeTarget("t")}, [service("one", "in")]) as running:
        # Stores say whole seconds: an object of the service's own second may be newer than it.
        since = {"one": 1767225601.9}
        (job,) = running.reconcile(shelf, since=since)
        record = store.job(job)
        assert record is not None
        assert record.event.key == "in/new"


def test_a_named_job_is_one_job_and_a_hidden_one_is_known(store: SqliteStore) -> None:
    with dispatcher(store, {"t": FakeTarget("t")}, [service("one", "in")]) as running:
        for text in (b"a", b"b"):
            (made,) = running.submit_raw("one", text, job="name-1", caller="ann")
            assert made.job == "name-1"
        running.submit_raw("one", b"c", caller="bob")
        assert running.wait_quiet(PATIENCE)
        assert (store.left("one"), store.left("one", caller="ann")) == (2, 1)
        store.hide("one", job="name-1")
        assert [job.caller for job in store.jobs(service="one", shown=True)] == ["bob"]
        (again,) = running.submit_raw("one", b"a", job="name-1")
        assert not again.new
        store.hide("one", states=[JobState.SUCCEEDED])
        assert store.left("one") == 0
