"""What another tenant gets of each route that the administrator's table opens: nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from bridge.targets.kubernetes import HeldVolume

from .conftest import Answer, Live, echo
from .issuer import MEMBER, Provider
from .test_jobs import finished, jobs_of
from .test_stream import block, read_until, stream


@dataclass
class Tenants:
    """Ann has a private service with a job, and one that is shared; Bob has nothing."""

    live: Live
    ann: dict[str, str]
    bob: dict[str, str]
    job: str

    def ask(self, who: str, method: str, path: str, body: Any = None) -> Answer:
        return self.live.ask(method, path, body, getattr(self, who))


@pytest.fixture(scope="module")
def tenants(shared: Live, provider: Provider) -> Tenants:
    live = shared
    ann, bob = (provider.header(name, **MEMBER) for name in ("ann", "bob"))
    for body in (echo(name="private"), echo(name="open", visibility="public")):
        assert live.ask("POST", "/system/services", body, ann).status == 201
        assert live.ask("POST", f"/job/{body['name']}", b"x", ann).status == 201
    assert live.ask("POST", "/job/open", b"y", bob).status == 201
    finished(live, "open", 2)
    (job,) = finished(live, "private")
    return Tenants(live, ann, bob, job)


CLOSED = [
    ("GET", "/metrics", 403),
    ("GET", "/system/metrics/private", 403),
    ("GET", "/system/federation/private", 403),
    ("POST", "/system/federation/private", 404),
    ("PUT", "/system/federation/private", 404),
    ("DELETE", "/system/federation/private", 404),
    ("POST", "/system/federation/open", 403),
    ("PUT", "/system/federation/open", 403),
    ("DELETE", "/system/federation/open", 403),
    ("GET", "/api/v1/jobs?service=private", 404),
    ("GET", "/api/v1/jobs/JOB", 404),
    ("GET", "/api/v1/estimates?service=private", 403),
    ("POST", "/api/v1/jobs/JOB/cancel", 404),
    ("POST", "/api/v1/jobs/JOB/replay", 404),
    ("GET", "/api/v1/dead-letters?service=private", 404),
    ("DELETE", "/api/v1/dead-letters?service=private", 404),
    ("DELETE", "/api/v1/dead-letters?service=open", 403),
    ("POST", "/api/v1/dead-letters/redrive?service=private", 404),
    ("POST", "/api/v1/dead-letters/redrive?service=open", 403),
    ("POST", "/api/v1/dead-letters/JOB/redrive", 404),
    ("DELETE", "/api/v1/dead-letters/JOB", 404),
    ("GET", "/api/v1/services/private/plan", 403),
    ("GET", "/api/v1/events?service=private", 403),
]


@pytest.mark.parametrize(("method", "path", "status"), CLOSED)
def test_what_is_anothers_is_closed(tenants: Tenants, method: str, path: str, status: int) -> None:
    body = {"members": [{"cluster_id": "far", "service_name": "x"}], "update": [{}]}
    wish = body if "federation" in path and method != "GET" else None
    answer = tenants.ask("bob", method, path.replace("JOB", tenants.job), wish)
    assert answer.status == status, answer
    assert "private" not in tenants.ask("bob", "GET", "/api/v1/jobs").text


def test_figures_are_of_what_is_seen(tenants: Tenants) -> None:
    def counted(who: str) -> tuple[int, int, list[str]]:
        found = tenants.ask(who, "GET", "/system/metrics").json["totals"]
        return found["services_count_total"], found["requests_count_async"], found["users"]

    assert counted("ann") == (2, 3, ["ann", "bob"])
    assert counted("bob") == (1, 1, ["bob"])
    items = tenants.ask("bob", "GET", "/system/metrics/breakdown?group_by=service").json["items"]
    assert [(one["key"], one["requests_count_async"]) for one in items] == [("open", 1)]
    assert [one["runs"] for one in tenants.ask("bob", "GET", "/api/v1/cost").json["items"]] == [1]


def test_jobs_are_ones_own_and_those_of_ones_services(tenants: Tenants) -> None:
    def seen(who: str) -> list[tuple[str, str]]:
        jobs = tenants.ask(who, "GET", "/api/v1/jobs").json["jobs"]
        return sorted((one["service"], one["caller"]) for one in jobs)

    assert seen("ann") == [("open", "ann"), ("open", "bob"), ("private", "ann")]
    assert seen("bob") == [("open", "bob")]
    (his,) = tenants.ask("bob", "GET", "/api/v1/jobs?service=open").json["jobs"]
    assert tenants.ask("bob", "GET", f"/api/v1/jobs/{his['id']}").status == 200
    again = tenants.ask("bob", "POST", f"/api/v1/jobs/{his['id']}/replay")
    assert again.status == 201
    (made,) = tenants.ask("bob", "GET", "/api/v1/jobs?limit=1").json["jobs"]
    assert (made["id"], made["caller"]) == (again.json["job"], "bob")


def test_a_stream_shows_ones_own(tenants: Tenants) -> None:
    with stream(tenants.live, **tenants.bob) as answer:
        tenants.ask("ann", "POST", "/job/private", b"x")
        tenants.ask("ann", "POST", "/job/open", b"x")
        tenants.ask("bob", "POST", "/job/open", b"z")
        jobs = {one["job"] for one in read_until(answer, "succeeded")}
    records = [tenants.live.manager.parts.jobs.job(job) for job in jobs]
    assert {one.caller for one in records if one} == {"bob"}


def test_volumes_from_their_making_to_their_end(tenants: Tenants) -> None:
    path = "/system/volumes"
    made = tenants.ask("ann", "POST", path, {"name": "data", "size": "1Gi"})
    assert (made.status, made.json["owner_user"]) == (201, "ann")
    assert made.json["status"] == {"phase": "pending"}
    assert tenants.ask("ann", "POST", path, {"name": "data", "size": "1Gi"}).status == 409
    for wrong in ({"name": "Data", "size": "1Gi"}, {"name": "x", "size": "-1"}, {"name": "x"}):
        assert tenants.ask("ann", "POST", path, wrong).status == 400, wrong
    assert [one["name"] for one in tenants.ask("ann", "GET", path).json] == ["data"]
    assert tenants.ask("bob", "GET", path).json == []
    assert tenants.ask("bob", "GET", f"{path}/data").status == 404
    assert tenants.ask("bob", "DELETE", f"{path}/data").status == 404
    assert tenants.ask("ann", "GET", "/system/config").json["config"]["volume_enable"] is True

    mounted = echo(name="mounts", volume={"name": "data", "mount_path": "/data"})
    assert tenants.ask("bob", "POST", "/system/services", mounted).status == 409
    missing = echo(name="mounts", volume={"name": "absent", "mount_path": "/data"})
    assert tenants.ask("ann", "POST", "/system/services", missing).status == 400
    assert tenants.ask("ann", "POST", "/system/services", mounted).status == 201
    found = tenants.ask("ann", "GET", f"{path}/data").json
    assert found["attachments"] == [{"service_name": "mounts", "mount_path": "/data"}]
    assert found["status"] == {"phase": "in_use", "attachment_count": 1}
    attached = tenants.ask("ann", "DELETE", f"{path}/data")
    assert (attached.status, "mounts" in attached.text) == (400, True)
    assert tenants.ask("ann", "DELETE", "/system/services/mounts").status == 204
    assert tenants.ask("ann", "DELETE", f"{path}/data").status == 204
    assert tenants.ask("ann", "GET", f"{path}/data").status == 404


def test_a_volume_ends_with_its_service_unless_it_is_to_stay(tenants: Tenants) -> None:
    target: Any = tenants.live.manager.parts.targets["local"]

    def ended(name: str, policy: str, other: str = "") -> int:
        """What becomes of a volume that a cluster has made with a service."""
        volume = {"size": "1Gi", "mount_path": "/data", "lifecycle_policy": policy}
        path = f"/system/volumes/{name}"
        service = echo(name=name, volume=volume)
        assert tenants.ask("ann", "POST", "/system/services", service).status == 201
        target.volumes.found[name] = HeldVolume(name, "1Gi", "ann", name, "ready")
        assert tenants.ask("ann", "GET", path).json["lifecycle_policy"] == policy
        if other:
            mounts = echo(name=other, volume={"name": name, "mount_path": "/data"})
            assert tenants.ask("ann", "POST", "/system/services", mounts).status == 201
        assert tenants.ask("ann", "DELETE", f"/system/services/{name}").status == 204
        assert tenants.ask("bob", "GET", path).status == 404
        return tenants.ask("ann", "GET", path).status

    assert ended("goes", "delete") == 404
    assert ended("stays", "retain") == 200
    assert ended("lent", "delete", other="borrows") == 200
    kept = tenants.ask("ann", "GET", "/system/volumes/stays").json
    assert (kept["owner_user"], kept["lifecycle_policy"]) == ("ann", "retain")
    assert tenants.ask("ann", "DELETE", "/system/volumes/stays").status == 204


def test_a_name_that_was_anothers_brings_nothing_of_his(tenants: Tenants) -> None:
    with stream(tenants.live, **tenants.bob) as answer:
        begun = block(answer)["id"]
    for who, count in (("ann", 2), ("bob", 1)):
        assert tenants.ask(who, "POST", "/system/services", echo(name="passed-on")).status == 201
        for _ in range(count):
            assert tenants.ask(who, "POST", "/job/passed-on", b"x").status == 201
            assert tenants.ask(who, "POST", "/run/passed-on", b"x").status == 200
        items = tenants.ask(who, "GET", "/system/metrics/breakdown?group_by=service").json["items"]
        (item,) = [one for one in items if one["key"] == "passed-on"]
        assert (item["requests_count_async"], item["requests_count_sync"]) == (count, count)
        if who == "ann":
            assert tenants.ask(who, "DELETE", "/system/services/passed-on").status == 204
    (his,) = jobs_of(tenants.live, "passed-on")
    with stream(tenants.live, **tenants.bob, **{"Last-Event-ID": begun}) as answer:
        told = read_until(answer, "succeeded")
    assert {one["job"] for one in told if one["service"] == "passed-on"} <= {his}
