"""Tenants: nobody's jobs and nobody's keys reach what the API would not show to him."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import AccessError, UsageError
from bridge.secret import Secret
from bridge.storage.minio import MinioServer, ServerSettings
from bridge.targets.render import own_provider
from manager.accounts import Accounts
from manager.auth import ADMIN, Caller
from manager.cloud import MINIO
from manager.minio_accounts import MinioAccounts, policy_for
from manager.store import ServiceStore
from manager.webhook import admin_of
from tests.waiting import eventually

from .conftest import Live, basic, echo, minio
from .issuer import MEMBER, Provider


@pytest.fixture(scope="module")
def live(shared: Live) -> Live:
    return shared


def keys_of(live: Live, header: Mapping[str, str]) -> tuple[str, str]:
    found = live.ask("GET", "/system/config", headers=header).json["minio_provider"]
    return found["access_key"], found["secret_key"]


def store_as(live: Live, keys: tuple[str, str]) -> MinioServer:
    own = live.store.settings
    return MinioServer(ServerSettings(own.endpoint, Secret(keys[0]), Secret(keys[1]), own.region))


def reaches(live: Live, keys: tuple[str, str], *buckets: str) -> set[str]:
    """Which of these buckets the keys write to; the same ones are listed, and no others."""
    found, store = set(), store_as(live, keys)
    for bucket in buckets:
        try:
            store.ensure_folder(bucket, "probe")
        except AccessError:
            with pytest.raises(AccessError):
                list(store.listing(bucket))
        else:
            list(store.listing(bucket))
            found.add(bucket)
    return found


def job_keys(live: Live, name: str) -> tuple[str, str]:
    """The keys that jobs of the service have, as targets read them."""
    found = live.manager.parts.access[own_provider(MINIO, name)].secrets
    return found["access_key"].reveal(), found["secret_key"].reveal()


def test_a_job_reaches_the_buckets_of_its_service_and_no_others(
    live: Live, provider: Provider, tmp_path: Path
) -> None:
    ann, bob = provider.header("ann", **MEMBER), provider.header("bob", **MEMBER)
    for who, name in ((ann, "of-ann"), (ann, "too"), (bob, "of-bob"), (basic(), "of-root")):
        body = echo(name=name, input=minio(f"{name}-in/x"), output=minio(f"{name}-out/x"))
        assert live.ask("POST", "/system/services", body, who).status == 201
    names = ("of-ann", "too", "of-bob", "of-root")
    every = [f"{name}-{end}" for name in names for end in ("in", "out")]
    for name in names:
        assert reaches(live, job_keys(live, name), *every) == {f"{name}-in", f"{name}-out"}
    assert MINIO not in live.manager.parts.access
    # They are what the job is given, and they do.
    live.store.upload("of-bob-in", "x/a.txt", write(tmp_path / "a.txt", "hello"))
    assert wait_for(live, "of-bob") == "Succeeded"
    # A service can neither open nor take a bucket that it does not own.
    keys = store_as(live, job_keys(live, "of-bob"))
    with pytest.raises(AccessError):
        keys.remove_bucket("of-bob-in")
    with pytest.raises(AccessError):
        keys.ensure_bucket("new")


def test_keys_change_with_the_service_and_end_with_it(
    live: Live, provider: Provider, tmp_path: Path
) -> None:
    ann = provider.header("ann", **MEMBER)
    body = echo(name="moves", input=minio("moves-a/in"))
    assert live.ask("POST", "/system/services", body, ann).status == 201
    before = job_keys(live, "moves")
    moved = echo(name="moves", input=minio("moves-b/in"))
    assert live.ask("PUT", "/system/services", moved, ann).status == 204
    # Jobs that wait keep their keys, and what they were made for.
    assert job_keys(live, "moves") == before
    assert reaches(live, before, "moves-a", "moves-b") == {"moves-a", "moves-b"}
    live.manager.tenants.settle({one.name: one for one in live.manager.services()}, lambda _: False)
    assert reaches(live, before, "moves-a", "moves-b") == {"moves-b"}
    assert live.ask("DELETE", "/system/services/moves", headers=ann).status == 204
    assert reaches(live, before, "moves-a", "moves-b") == set()
    assert own_provider(MINIO, "moves") not in live.manager.parts.access


def test_what_a_store_has_lost_is_made_again_and_what_nobody_has_taken_away(
    live: Live, provider: Provider
) -> None:
    ann, accounts = provider.header("ann", **MEMBER), MinioAccounts(lambda: live.store.settings)
    body = echo(name="kept", input=minio("kept/in"))
    assert live.ask("POST", "/system/services", body, ann).status == 201
    jobs, hers = job_keys(live, "kept"), keys_of(live, ann)
    accounts.remove(jobs[0])
    accounts.permit(hers[0], policy_for({"elsewhere"}))
    # Of a service that went while the store did not answer.
    orphan = live.manager.accounts.of_service("gone", "ann", frozenset({"kept"})).secrets
    # What a job makes of its keys for itself goes with them.
    child = (secrets.token_hex(8), secrets.token_hex(20))
    mine = admin_of(store_as(live, tuple(key.reveal() for key in orphan.values())).settings)
    mine.add_service_account(access_key=child[0], secret_key=child[1])
    assert reaches(live, child, "kept") == {"kept"}
    live.manager.tenants.settle({one.name: one for one in live.manager.services()}, lambda _: True)
    for keys in (jobs, hers):
        assert reaches(live, keys, "kept") == {"kept"}
    assert orphan["access_key"].reveal() not in accounts.known()
    assert reaches(live, child, "kept") == set()
    assert live.manager.parts.state.settings("account of service gone") == []


def test_a_users_keys_read_what_the_api_shows_him(live: Live, provider: Provider) -> None:
    users = {who: provider.header(who, **MEMBER) for who in ("ann", "bob", "eve")}
    ann, names = users["ann"], ("shared-by-service", "shared-alone")
    keys = {who: keys_of(live, header) for who, header in users.items()}
    assert len({*keys.values(), keys_of(live, basic())}) == 4
    assert keys_of(live, users["bob"]) == keys["bob"]
    method = "POST"
    for visibility, allowed, seen in (
        ("private", ["bob"], {"ann"}),
        ("restricted", ["bob"], {"ann", "bob"}),
        ("public", [], {"ann", "bob", "eve"}),
        ("restricted", ["eve"], {"ann", "eve"}),
        ("private", [], {"ann"}),
    ):
        more: dict[str, Any] = {"visibility": visibility, "allowed_users": allowed}
        service = echo(name=names[0], input=minio(f"{names[0]}/in"), **more)
        for path, wish in (("services", service), ("buckets", {"bucket_name": names[1], **more})):
            assert live.ask(method, f"/system/{path}", wish, ann).status in (201, 204)
        method = "PUT"
        for who, header in users.items():
            expected = set(names) if who in seen else set()
            assert reaches(live, keys[who], *names) == expected, (visibility, who)
            shown = live.ask("GET", "/system/buckets", headers=header).json
            assert {one["bucket_name"] for one in shown} & set(names) == expected
    # Of a service that is gone the bucket stays its owner's; with a bucket goes all.
    assert live.ask("DELETE", f"/system/services/{names[0]}", headers=ann).status == 204
    assert live.ask("DELETE", f"/system/buckets/{names[1]}", headers=ann).status == 204
    live.store.ensure_bucket(names[1])
    assert reaches(live, keys["ann"], *names) == {names[0]}
    assert reaches(live, keys["bob"], *names) == set()


def test_keys_are_nowhere_but_where_they_belong(
    live: Live, provider: Provider, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ann = provider.header("ann", **MEMBER)
    body = echo(name="quiet", input=minio("quiet/in"), visibility="public")
    assert live.ask("POST", "/system/services", body, ann).status == 201
    for secret in (job_keys(live, "quiet")[1], keys_of(live, ann)[1]):
        assert secret not in caplog.text
        for path in ("/system/services", "/system/services/quiet", "/system/buckets"):
            assert secret not in live.ask("GET", path, headers=ann).text
        assert secret not in repr(live.manager.accounts) + repr(live.manager.parts.access)


def test_users_kept_apart_have_a_bucket_each(
    live: Live, provider: Provider, tmp_path: Path
) -> None:
    ann, bob, eve = (provider.header(who, **MEMBER) for who in ("ann", "bob@lab.org", "eve"))
    users = {"isolation_level": "USER", "allowed_users": ["bob@lab.org", "eve"]}
    script = 'cat "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/said"'
    place = {"input": minio("apart/in"), "output": minio("apart/out")}
    body = echo(name="apart", script=script, visibility="restricted", **users, **place)
    assert live.ask("POST", "/system/services", body, ann).status == 201
    shown = live.ask("GET", "/system/services/apart", headers=ann).json
    assert shown["bucket_list"] == ["apart-bob-lab-or", "apart-eve"]
    assert shown["input"] == place["input"]
    his, hers = keys_of(live, bob), keys_of(live, eve)
    assert reaches(live, his, *shown["bucket_list"]) == {"apart-bob-lab-or"}
    assert reaches(live, hers, *shown["bucket_list"]) == {"apart-eve"}
    store_as(live, his).upload("apart-bob-lab-or", "in/a.txt", write(tmp_path / "a", "his"))
    assert wait_for(live, "apart") == "Succeeded"
    (found,) = live.store.listing("apart-bob-lab-or", "out/")
    assert found.key == "out/said"
    assert list(live.store.listing("apart", "out/")) == []
    # Two users that OSCAR's names would put into one bucket, and one that would get another's.
    for wrong, status in (
        ({"allowed_users": ["researcher-1", "researcher-2"]}, 400),
        ({"allowed_users": ["bob@lab.or", "eve"]}, 409),
        ({"allowed_users": ["eve"], "output": minio("elsewhere/in/deeper")}, 400),
    ):
        answer = live.ask("PUT", "/system/services", {**body, **wrong}, ann)
        assert answer.status == status, (wrong, answer)
    # Who is left out loses his bucket, and finds it again when he is let in again.
    for allowed, seen in ((["eve"], set()), (["bob@lab.org", "eve"], {"apart-bob-lab-or"})):
        changed = {**body, "allowed_users": allowed}
        assert live.ask("PUT", "/system/services", changed, ann).status == 204
        assert reaches(live, his, "apart-bob-lab-or") == seen


def test_a_caller_names_no_object_that_he_may_not_see(
    live: Live, provider: Provider, tmp_path: Path
) -> None:
    ann, bob = provider.header("ann", **MEMBER), provider.header("bob", **MEMBER)
    body = echo(name="open", input=minio("hers/in"), output=minio("results/out"))
    assert live.ask("POST", "/system/services", body, ann).status == 201
    public = {**body, "visibility": "public", "input": minio("asked/in"), "output": minio("hers/o")}
    assert live.ask("POST", "/system/services", {**public, "name": "lent"}, ann).status == 201
    live.store.upload("hers", "in/secret.txt", write(tmp_path / "a", "secret"))
    token = {"Authorization": f"Bearer {live.token_of('lent')}"}
    event = event_of("hers", "in/secret.txt")
    wrapped = {"event": json.dumps(event), "storage_provider": "minio.default"}
    for who in (bob, token):
        for sent in (event, wrapped):
            for way in ("/job/lent", "/run/lent"):
                answer = live.ask("POST", way, sent, who)
                assert answer.status == 403, (way, answer)
                assert "secret" not in answer.text.replace("in/secret.txt", "")
    assert live.ask("POST", "/job/lent", event, ann).status == 201
    for who in (bob, token):
        assert live.ask("POST", "/job/lent", event_of("asked", "in/a"), who).status == 201
        assert live.ask("POST", "/job/lent", b"data", who).status == 201


def test_a_service_is_for_an_organisation_that_its_maker_is_in(
    live: Live, provider: Provider
) -> None:
    ann = provider.header("ann", **MEMBER)
    path = "/system/services"
    for vo, status, said in (
        ("elsewhere", 400, "you are not in the virtual organisation elsewhere"),
        # She is in it, and the cluster is not for it.
        ("other", 400, "this cluster is not for the virtual organisation other"),
        ("lab, elsewhere", 400, "you are not in"),
        ("", 201, ""),
    ):
        answer = live.ask("POST", path, echo(name="for-a-vo", vo=vo), ann)
        assert answer.status == status
        assert said in answer.text
    assert live.ask("GET", f"{path}/for-a-vo", headers=ann).json["vo"] == "lab"
    assert live.ask("PUT", path, echo(name="for-a-vo", vo="other"), ann).status == 400
    assert live.ask("PUT", path, echo(name="for-a-vo", vo="other"), basic()).status == 204


def test_a_store_without_accounts_serves_the_administrator_only(tmp_path: Path) -> None:
    class Without:
        def known(self) -> dict[str, Any]:
            raise AccessError("no accounts here")

    own = ({"endpoint": "http://x"}, {"access_key": Secret("root"), "secret_key": Secret("r")})
    with ServiceStore(tmp_path / "state.sqlite") as state:
        accounts = Accounts(Without(), state, lambda: own)  # type: ignore[arg-type]
        assert accounts.of_service("a", ADMIN.uid, {"b"}).secrets == own[1]
        with pytest.raises(UsageError, match="no keys of their own"):
            accounts.of_service("a", "ann", {"b"})
        assert accounts.of_user(Caller("ann", "Ann")) == {}
        assert accounts.of_user(ADMIN) == own[1]
        assert state.settings("account") == []


def event_of(bucket: str, key: str) -> dict[str, Any]:
    named = {"bucket": {"name": bucket}, "object": {"key": key, "size": 1}}
    record = {"eventSource": "minio:s3", "eventName": "s3:ObjectCreated:Put", "s3": named}
    return {"EventName": "s3:ObjectCreated:Put", "Key": f"{bucket}/{key}", "Records": [record]}


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def wait_for(live: Live, name: str) -> str:
    """How the only job of a service ended."""
    assert eventually(lambda: bool(live.manager.parts.jobs.jobs(service=name)))
    (job,) = live.manager.parts.jobs.jobs(service=name)
    live.manager.dispatcher.wait(job.id, 30)
    return str(live.ask("GET", f"/system/logs/{name}").json["jobs"][job.id]["status"])
