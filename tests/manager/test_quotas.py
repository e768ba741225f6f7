"""Quotas: who says them and sees them, what is refused, and what waits until there is room."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bridge.dispatch import JobStore
from bridge.errors import WaitError
from bridge.scheduler import Spent
from bridge.targets import JobState
from manager.quotas import Quotas
from manager.stored import Stored
from tests.waiting import eventually

from .conftest import Answer, Held, Live, echo, minio, serve, trusting
from .issuer import MEMBER, Provider
from .test_jobs import finished


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Live]:
    """Where a core costs a dollar a second."""
    held: Any = Held()
    with ExitStack() as stack:
        folder, users = tmp_path_factory.mktemp("quotas"), trusting(provider)
        yield serve(folder, stack, volumes=held, oidc=users, price="3600")


QUOTA, ACCEPTED = "/system/quotas/user", JobState.ACCEPTED


def test_a_quota_is_the_administrators_to_say_and_the_users_to_see(
    live: Live, provider: Provider
) -> None:
    ann = provider.header("limited", **MEMBER)
    resources = ("cpu", "memory", "ephemeral-storage", "gpu", "jobs")
    free: dict[str, Any] = {name: {"used": 0} for name in resources}
    assert live.ask("GET", QUOTA, headers=ann).json == {"user_id": "limited", "resources": free}
    said = {"cpu": "1500m", "memory": "1Gi", "gpu": "1", "jobs": 3, "minio": {"buckets": "2"}}
    said |= {"ephemeral-storage": "2Gi"}
    answer = live.ask("PUT", f"{QUOTA}/limited", said)
    assert answer.json == live.ask("GET", QUOTA, headers=ann).json
    assert answer.json == {
        "user_id": "limited",
        "resources": {
            "cpu": {"max": 1500, "used": 0},
            "memory": {"max": 2**30, "used": 0},
            "ephemeral-storage": {"max": 2**31, "used": 0},
            "gpu": {"max": 1, "used": 0},
            "jobs": {"max": 3, "used": 0},
        },
        "minio": {
            "buckets": {"max": 2, "used": 0},
            "storage_per_bucket": {"max": "0"},
            "storage_total": {},
        },
    }
    # OSCAR's command sends "" for what it was not told.
    changed = {"cpu": "", "memory": None, "gpu": None, "ephemeral_storage": None, "jobs": "4"}
    live.ask("PUT", f"{QUOTA}/limited", changed)
    left = free | {"cpu": {"max": 1500, "used": 0}, "jobs": {"max": 4, "used": 0}}
    assert live.ask("GET", f"{QUOTA}/limited").json["resources"] == left
    for wrong in ({"cpu": "lots"}, {"jobs": -1}, {"jobs": 1.5}, {"minio": 3}, {"gpu": "0.5"}):
        answer = live.ask("PUT", f"{QUOTA}/limited", wrong)
        assert (answer.status, len(answer.text) < 300) == (400, True), wrong
    for method, path in (("GET", f"{QUOTA}/limited"), ("PUT", f"{QUOTA}/limited")):
        assert live.ask(method, path, {"jobs": 99}, ann).status == 403


def test_what_is_above_a_quota_is_refused_in_words(live: Live, provider: Provider) -> None:
    poor = provider.header("poor", **MEMBER)
    quota = {"memory": "128Mi", "gpu": 0, "ephemeral_storage": "1Gi", "minio": {"buckets": 2}}
    live.ask("PUT", f"{QUOTA}/poor", quota)
    place = {"input": minio("poor-a/in"), "output": minio("poor-b/out")}
    for wanted, most in (
        ({"memory": "1Gi"}, f"{2**27} bytes of memory"),
        ({"enable_gpu": True}, "0 GPUs"),
        ({"ephemeral_storage_request": "2Gi"}, f"{2**30} bytes of ephemeral storage"),
    ):
        large = live.ask("POST", "/system/services", echo(name="large", **wanted), poor)
        said = f"one job of large needs more than your quota of {most}"
        assert (large.status, large.text) == (403, said)
    assert live.ask("POST", "/system/services", echo(name="fits", **place), poor).status == 201
    more = echo(name="more", output=minio("poor-c/out"))
    for path, wish in (("services", more), ("buckets", {"bucket_name": "poor-c"})):
        answer = live.ask("POST", f"/system/{path}", wish, poor)
        assert answer.status == 403
        assert answer.text == "your quota is 2 buckets, and you have 2"
    assert not live.store.has_bucket("poor-c")
    # What is there already may be used again, and a higher quota is in force at once.
    assert live.ask("PUT", "/system/services", echo(name="fits", **place), poor).status == 204
    live.ask("PUT", f"{QUOTA}/poor", {"minio": {"buckets": 3}})
    assert live.ask("POST", "/system/services", more, poor).status == 201
    assert live.ask("GET", QUOTA, headers=poor).json["minio"]["buckets"] == {"max": 3, "used": 3}


def test_of_two_who_ask_for_one_bucket_at_once_one_gets_it(
    live: Live, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of two buckets of one user, who may have one more, one is made."""
    ann, bob = provider.header("ann", **MEMBER), provider.header("bob", **MEMBER)
    live.ask("PUT", f"{QUOTA}/ann", {"minio": {"buckets": 2}})
    has, meeting = live.store.has_bucket, threading.Barrier(2)

    def met(name: str) -> bool:
        found = has(name)
        # Both have seen that it is not there before one of them goes on.
        with suppress(threading.BrokenBarrierError):
            meeting.wait(20)
        return found

    monkeypatch.setattr(live.store, "has_bucket", met)

    def both(*asked: tuple[str, Any, dict[str, str]]) -> list[Answer]:
        meeting.reset()
        with ThreadPoolExecutor(2) as pool:
            found = [pool.submit(live.ask, "POST", f"/system/{p}", b, h) for p, b, h in asked]
            first, *_ = wait(found, return_when=FIRST_COMPLETED).done
            first.result()
            meeting.abort()
        return [one.result() for one in found]

    for n, other in enumerate(["buckets", "services"]):
        name = f"wanted-{n}"
        wish = {"bucket_name": name}
        whose = wish if other == "buckets" else echo(name=name, input=minio(f"{name}/in"))
        answers = both(("buckets", wish, ann), (other, whose, bob))
        won = [one.status == 201 for one in answers]
        assert sorted(won) == [False, True], answers
        (lost,) = (one for one in answers if one.status != 201)
        assert (lost.status in (400, 409), "already exists" in lost.text) == (True, True)
        winner = ("ann", "bob")[won.index(True)]
        meeting.abort()
        assert live.ask("GET", f"/system/buckets/{name}").json["owner"] == winner
        assert live.ask("DELETE", f"/system/services/{name}").status in (204, 404)
        assert live.ask("DELETE", f"/system/buckets/{name}").status == 204
    assert live.ask("POST", "/system/buckets", {"bucket_name": "first-of-ann"}, ann).status == 201
    answers = both(*(("buckets", {"bucket_name": f"more-{n}"}, ann) for n in (1, 2)))
    assert sorted(one.status for one in answers) == [201, 403], answers


def test_jobs_above_a_quota_wait_for_those_before(
    live: Live, provider: Provider, tmp_path: Path
) -> None:
    busy, go = provider.header("busy", **MEMBER), tmp_path / "go"
    live.ask("PUT", f"{QUOTA}/busy", {"jobs": 1})
    script = f"until [ -e {go} ]; do sleep 0.05; done"
    assert (
        live.ask("POST", "/system/services", echo(name="slow", script=script), busy).status == 201
    )
    for n in range(4):
        assert live.ask("POST", "/job/slow", f"{n}".encode(), busy).status == 201
    jobs = live.manager.parts.jobs

    def states() -> list[tuple[JobState, str]]:
        return sorted((one.state, one.reason) for one in jobs.jobs(service="slow"))

    told = "its owner's quota of 1 jobs at once is in use"
    assert eventually(lambda: [state for state, why in states() if told in why] == [ACCEPTED] * 3)
    assert [state for state, _ in states()].count(JobState.ACCEPTED) == 3
    assert live.ask("GET", QUOTA, headers=busy).json["resources"]["jobs"]["used"] == 1
    # Others do not wait for them.
    other = live.create()
    live.ask("POST", f"/job/{other}", b"x")
    finished(live, other)
    assert {state for state, _ in states()} <= {ACCEPTED, JobState.SUBMITTED, JobState.RUNNING}
    go.touch()
    assert eventually(lambda: {state for state, _ in states()} == {JobState.SUCCEEDED})


def put(url: str, data: bytes) -> int:
    """A PUT to a URL that was signed; the status."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        connection.request("PUT", f"{parts.path}?{parts.query}", data)
        return connection.getresponse().status
    finally:
        connection.close()


def test_who_has_filled_his_buckets_writes_no_more(live: Live, provider: Provider) -> None:
    full, ask = provider.header("full", **MEMBER), live.ask
    for name in ("full-a", "full-b"):
        assert ask("POST", "/system/buckets", {"bucket_name": name}, full).status == 201
    writes = echo(name="writes", output=minio("full-b/out"))
    assert ask("POST", "/system/services", writes, full).status == 201
    wish = {"object_key": "x", "operation": "upload"}
    ask("PUT", f"{QUOTA}/full", {"minio": {"storage_per_bucket": "1Ki", "storage_total": "3Ki"}})
    signed = ask("POST", "/system/buckets/full-a/presign", wish, full)
    assert put(signed.json["url"], b"x" * 2000) == 200
    live.manager.quotas.recount()
    refused = ask("POST", "/system/buckets/full-a/presign", wish, full)
    said = "the quota of 1024 bytes in full-a of the bucket's owner is used up"
    assert (refused.status, refused.text) == (403, said)
    # What is there may be read, and another bucket written to, until all of them are full.
    assert (
        ask("POST", "/system/buckets/full-a/presign", wish | {"operation": "download"}, full).status
        == 200
    )
    signed = ask("POST", "/system/buckets/full-b/presign", wish, full)
    assert put(signed.json["url"], b"x" * 2000) == 200
    live.manager.quotas.recount()
    shown = ask("GET", QUOTA, headers=full).json["minio"]
    assert shown == {
        "buckets": {"max": 0, "used": 2},
        "storage_per_bucket": {"max": "1Ki"},
        "storage_total": {"max": "3Ki", "used": "4000"},
    }
    ask("PUT", f"{QUOTA}/full", {"minio": {"storage_per_bucket": None}})
    assert ask("POST", "/system/buckets/full-b/presign", wish, full).status == 403
    # His jobs wait, as they write, until somebody makes room.
    assert ask("POST", "/job/writes", b"y", full).status == 201
    jobs = live.manager.parts.jobs
    assert eventually(
        lambda: "bytes in buckets is used up" in jobs.jobs(service="writes")[0].reason
    )
    assert jobs.jobs(service="writes")[0].state is ACCEPTED


def test_volumes_are_counted_and_measured(live: Live, provider: Provider) -> None:
    stout, path = provider.header("stout", **MEMBER), "/system/volumes"
    limits = {
        "volumes": 2,
        "disk": "3Gi",
        "max_disk_per_volume": "2Gi",
        "min_disk_per_volume": "1Mi",
    }
    live.ask("PUT", f"{QUOTA}/stout", {"volumes": limits})

    def make(name: str, size: str) -> tuple[int, str]:
        answer = live.ask("POST", path, {"name": name, "size": size}, stout)
        return answer.status, answer.text

    assert make("stout-a", "2.5Gi") == (403, f"your quota is {2**31} bytes for a volume")
    assert make("stout-a", "1Ki") == (403, f"a volume of yours must have {2**20} bytes at least")
    assert make("stout-a", "2Gi")[0] == 201
    said = f"your quota is {3 * 2**30} bytes of volumes, and you have {2**31}"
    assert make("stout-b", "2Gi") == (403, said)
    mounting = echo(name="stout", volume={"size": "2Gi", "mount_path": "/data"})
    assert live.ask("POST", "/system/services", mounting, stout).text == said
    assert make("stout-b", "1Gi")[0] == 201
    assert make("stout-c", "1Mi") == (403, "your quota is 2 volumes, and you have 2")
    assert live.ask("GET", QUOTA, headers=stout).json["volumes"] == {
        "disk": {"max": "3Gi", "used": "3Gi"},
        "volumes": {"max": "2", "used": "2"},
        "max_disk_per_volume": "2Gi",
        "min_disk_per_volume": "1Mi",
    }


def test_who_has_spent_his_money_waits(live: Live, provider: Provider) -> None:
    spender = provider.header("spender", **MEMBER)
    for wrong in ("-1", "NaN", "much"):
        assert live.ask("PUT", f"{QUOTA}/spender", {"money": {"day": wrong}}).status == 400
    assert live.ask("POST", "/system/services", echo(name="dear"), spender).status == 201
    live.ask("PUT", f"{QUOTA}/spender", {"money": {"day": "0.0001", "month": 1000}})
    assert live.ask("POST", "/job/dear", b"x", spender).status == 201
    jobs, spent = live.manager.parts.jobs, live.manager.quotas.used
    said = "its owner's quota of 0.0001 USD a day is spent, or would be"
    assert eventually(lambda: said in jobs.jobs(service="dear")[0].reason)
    live.ask("PUT", f"{QUOTA}/spender", {"money": {"day": "500"}})
    assert live.ask("POST", "/job/dear", b"y", spender).status == 201
    assert eventually(lambda: spent("spender").day > 0)
    shown = live.ask("GET", QUOTA, headers=spender).json["money"]
    assert shown["month"]["max"] == "1000"
    assert 0 < float(shown["day"]["used"]) == float(shown["month"]["used"])


def test_jobs_are_counted_once_for_all_users(
    live: Live, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are placed, and however many services there are."""
    asked: list[str] = []
    quotas, state = live.manager.quotas, live.manager.parts.state
    keen = provider.header("keen", **MEMBER)
    live.ask("PUT", f"{QUOTA}/keen", {"jobs": 50})
    assert live.ask("POST", "/system/services", echo(name="keen"), keen).status == 201
    one, snapshot = live.manager.find("keen"), live.manager.places.snapshot()
    assert one is not None
    frozen = Quotas(
        state,
        Counting(live.manager.parts.jobs, asked),
        lambda: {one.name: one},
        Stored(live.store),
        lambda name: Spent(),
        clock=lambda: 0.0,
    )
    # Another manager has placed some that nobody can count yet; this one has not heard of it yet.
    monkeypatch.setattr(state, "shared", True)
    other = Quotas(
        state,
        live.manager.parts.jobs,
        lambda: {one.name: one},
        Stored(live.store),
        lambda name: Spent(),
        clock=lambda: 0.0,
    )
    for _ in range(3):
        assert other.decide(one.service, None, snapshot).target == "local"
    with pytest.raises(WaitError, match="other managers may have placed"):
        frozen.decide(one.service, None, snapshot)
    for _ in range(4):
        assert other.decide(one.service, None, snapshot).target == "local"
    for _ in range(46):
        assert frozen.decide(one.service, None, snapshot).target == "local"
    with pytest.raises(WaitError, match="50 jobs at once"):
        frozen.decide(one.service, None, snapshot)
    with pytest.raises(WaitError, match="50 jobs at once"):
        other.decide(one.service, None, snapshot)
    assert asked == ["counts"]
    assert quotas.used("keen").load.jobs == 0


class Counting:
    """Tells how often the jobs were counted."""

    def __init__(self, jobs: JobStore, asked: list[str]) -> None:
        self._jobs = jobs
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        self._asked.append(name)
        return getattr(self._jobs, name)
