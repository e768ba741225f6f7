"""Users of OpenID Connect providers: whose tokens are taken, and what their owners may do."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
from joserfc.jwk import OctKey, RSAKey

from bridge.errors import TemporaryError
from manager import issuer
from manager.oidc import Oidc, OidcSettings

from .conftest import Live, basic, echo
from .issuer import MEMBER, Provider


@pytest.fixture(scope="module")
def live(shared: Live) -> Live:
    return shared


def test_a_members_token_is_taken_and_its_groups_may_be_elsewhere(
    live: Live, provider: Provider
) -> None:
    assert live.ask("GET", "/system/info", headers=provider.header(**MEMBER)).status == 200
    provider.users["bob"] = ["lab"]
    assert live.ask("GET", "/system/info", headers=provider.header("bob")).status == 200
    # A clock may be a little late.
    late = provider.header(exp=int(time.time()) - 20, **MEMBER)
    assert live.ask("GET", "/system/info", headers=late).status == 200


def test_no_other_token_is_taken(live: Live, provider: Provider) -> None:
    stranger = RSAKey.generate_key(2048, {"kid": "first"})
    unknown = RSAKey.generate_key(2048, {"kid": "nobody's"})
    public = provider.key.as_pem(private=False)
    symmetric = OctKey.import_key(base64.urlsafe_b64encode(public).decode(), {"kid": "first"})
    right = provider.token(**MEMBER)
    head = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    wrong = {
        "expired": provider.token(exp=int(time.time()) - 1000, **MEMBER),
        "no end": provider.token(exp=None, **MEMBER),
        "audience": provider.token(aud="somebody", **MEMBER),
        "not yet": provider.token(nbf=int(time.time()) + 1000, **MEMBER),
        "issuer": provider.token(iss="https://elsewhere.example", **MEMBER),
        "signature": provider.token(key=stranger, **MEMBER),
        "key": provider.token(key=unknown, **MEMBER),
        "symmetric": provider.token(key=symmetric, alg="HS256", **MEMBER),
        "nested": ".".join([base64.urlsafe_b64encode(b"[" * 9999).decode(), *right.split(".")[1:]]),
        "none": f"{head}.{right.split('.')[1]}.",
        "group": provider.token("eve", group_membership=["others"]),
        "no group": provider.token("eve"),
        "no subject": provider.token("", **MEMBER),
        "the administrator's name": provider.token("cluster_admin", **MEMBER),
    }
    for why, token in wrong.items():
        answer = live.ask("GET", "/system/services", headers={"Authorization": f"Bearer {token}"})
        assert answer.status == 401, why
        assert token not in answer.text
    for broken in ("x", "a.b.c", right.replace(".", "!", 1), "0" * 64):
        header = {"Authorization": f"Bearer {broken}"}
        assert live.ask("GET", "/system/services", headers=header).status == 400
        for path in ("/run/absent", "/job/absent", "/system/services/absent/auth"):
            method = "GET" if "auth" in path else "POST"
            assert live.ask(method, path, b"", header).status == 401, path


def test_a_new_key_of_the_issuer_is_found(
    live: Live, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert live.ask("GET", "/system/info", headers=provider.header(**MEMBER)).status == 200
    provider.key = RSAKey.generate_key(2048, {"kid": "second"})
    monkeypatch.setattr("manager.issuer._REFRESH", 0.0)
    assert live.ask("GET", "/system/info", headers=provider.header(**MEMBER)).status == 200


def test_each_sees_and_changes_what_is_theirs(live: Live, provider: Provider) -> None:
    ann, bob = provider.header("ann", name="Ann", **MEMBER), provider.header("bob", **MEMBER)
    for name, more in {
        "private": {},
        "shared": {"visibility": "restricted", "allowed_users": ["bob"]},
        "open": {"visibility": "public"},
    }.items():
        place = [{"storage_provider": "minio", "path": f"ann-{name}/in"}]
        body = echo(name=name, input=place, **more)
        assert live.ask("POST", "/system/services", body, ann).status == 201
    mine = live.ask("GET", "/system/services/private", headers=ann).json
    assert (mine["owner"], mine["labels"]["owner_name"]) == ("ann", "Ann")
    seen = live.ask("GET", "/system/services", headers=bob).json
    assert sorted(one["name"] for one in seen) == ["open", "shared"]
    assert live.ask("GET", "/system/services/private", headers=bob).status == 403
    assert live.ask("POST", "/job/private", b"x", bob).status == 404
    for who in (ann, bob):
        assert live.ask("POST", "/job/shared", b"x", who).status == 201
    assert len(live.ask("GET", "/system/logs/shared", headers=ann).json["jobs"]) == 2
    (his,) = live.ask("GET", "/system/logs/shared", headers=bob).json["jobs"]
    (hers,) = live.ask("GET", "/system/logs/shared", headers=ann).json["jobs"].keys() - {his}
    assert live.ask("GET", f"/system/logs/shared/{hers}", headers=bob).status == 404
    assert live.ask("DELETE", f"/system/logs/shared/{hers}", headers=bob).status == 404
    assert live.ask("DELETE", f"/system/logs/shared/{his}", headers=bob).status == 204
    for name, status in {"private": 404, "shared": 403, "open": 403}.items():
        assert live.ask("DELETE", f"/system/services/{name}", headers=bob).status == status
        assert live.ask("PUT", "/system/services", echo(name=name), bob).status == status
        assert live.ask("DELETE", f"/system/logs/{name}", headers=bob).status == status
    # A bucket of hers cannot be taken over by naming it.
    theft = echo(name="thief", input=[{"storage_provider": "minio", "path": "ann-open/x"}])
    assert live.ask("POST", "/system/services", theft, bob).status == 409
    assert live.ask("GET", "/system/buckets/ann-private", headers=bob).status == 403
    assert live.ask("DELETE", "/system/buckets/ann-private", headers=bob).status == 403
    found = live.ask("GET", "/system/buckets", headers=bob).json
    assert [one["bucket_name"] for one in found] == ["ann-open", "ann-shared"]
    refused = live.ask("PUT", "/system/config", {}, bob)
    assert (refused.status, refused.body) == (401, b"")
    assert live.ask("GET", "/system/logs", headers=bob).status == 403
    config = live.ask("GET", "/system/config", headers=bob).json
    assert config["minio_provider"]["secret_key"] != live.store.credentials.secret_key.reveal()
    assert config["config"]["oidc_groups"] == ["lab"]
    assert live.ask("DELETE", "/system/services/private", headers=basic()).status == 204


def test_a_bucket_of_nobody_known_is_not_taken_by_naming_it(live: Live, provider: Provider) -> None:
    live.store.ensure_bucket("from-before")
    bob = provider.header("bob", **MEMBER)
    for key in ("input", "output"):
        body = echo(name="taker", **{key: [{"storage_provider": "minio", "path": "from-before/x"}]})
        assert live.ask("POST", "/system/services", body, bob).status == 409
    assert live.ask("DELETE", "/system/buckets/from-before", headers=bob).status == 403
    assert live.store.has_bucket("from-before")


def test_anothers_volume_is_not_mounted_by_naming_it(live: Live, provider: Provider) -> None:
    ann, bob = provider.header("ann", **MEMBER), provider.header("bob", **MEMBER)
    place = {"mount_path": "/data"}
    hers = echo(name="keeper", volume={"size": "1Gi", **place})
    assert live.ask("POST", "/system/services", hers, ann).status == 201
    shared = {"volume": {"name": "keeper", **place}}
    assert live.ask("POST", "/system/services", echo(name="looker", **shared), bob).status == 409
    assert live.ask("POST", "/system/services", echo(name="second", **shared), ann).status == 201


def test_the_name_of_anothers_job_opens_nothing(live: Live, provider: Provider) -> None:
    ann, bob = provider.header("ann", **MEMBER), provider.header("bob", **MEMBER)
    for name, who in (("anns", ann), ("bobs", bob)):
        assert live.ask("POST", "/system/services", echo(name=name), who).status == 201
    named = {"X-Delegated-Job-ID": "anns-secret"}
    assert live.ask("POST", "/job/anns", b"hers", {**ann, **named}).status == 201
    live.manager.dispatcher.wait("anns-secret", 30)
    assert live.ask("POST", "/job/bobs", b"his", {**bob, **named}).status == 409
    assert live.ask("POST", "/run/bobs", b"his", {**bob, **named}).text == "got his\n"
    assert "anns-secret" in live.ask("GET", "/system/logs/anns", headers=ann).json["jobs"]


def test_a_bucket_follows_the_service_that_it_was_made_for(live: Live, provider: Provider) -> None:
    ann, bob = provider.header("ann", **MEMBER), provider.header("bob", **MEMBER)
    place = [{"storage_provider": "minio", "path": "follows/in"}]
    clusters = {"far": {"endpoint": "https://far.example", "Auth_Password": "s3cr3t"}}
    body = echo(name="follower", input=place, clusters=clusters)
    assert live.ask("POST", "/system/services", body, ann).status == 201
    assert live.ask("GET", "/system/buckets/follows", headers=bob).status == 403
    shared = {"visibility": "restricted", "allowed_users": ["bob"]}
    for changed in (shared, {"visibility": "public"}, shared):
        assert live.ask("PUT", "/system/services", body | changed, ann).status == 204
        found = live.ask("GET", "/system/buckets/follows", headers=bob).json
        assert changed.items() <= found.items()
    seen = live.ask("GET", "/system/services/follower", headers=bob)
    assert "s3cr3t" not in seen.text
    assert seen.json["clusters"]["far"]["endpoint"] == "https://far.example"
    assert live.ask("DELETE", "/system/services/follower", headers=ann).status == 204
    # What a change leaves out stays.
    assert live.ask("PUT", "/system/buckets", {"bucket_name": "follows"}, ann).status == 204
    found = live.ask("GET", "/system/buckets/follows", headers=bob).json
    assert shared.items() <= found.items()
    nobody = {"bucket_name": "follows", "allowed_users": []}
    assert live.ask("PUT", "/system/buckets", nobody, ann).status == 204
    assert live.ask("GET", "/system/buckets/follows", headers=bob).status == 403
    private = {"bucket_name": "follows", "visibility": "private", "allowed_users": ["bob"]}
    assert live.ask("PUT", "/system/buckets", private, ann).status == 204
    assert live.ask("GET", "/system/buckets/follows", headers=bob).status == 403


def test_a_provider_that_does_not_answer_is_not_asked_at_once_again(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, now = [], [1000.0]

    def away(url: str, _: str = "") -> Any:
        asked.append(url)
        if now[0] > 2000:
            return {"issuer": provider.url, "jwks_uri": "keys"} if url != "keys" else {}
        raise TemporaryError("away")

    monkeypatch.setattr(issuer, "_get", away)
    door = Oidc(OidcSettings((provider.url,), ("*",)), clock=lambda: now[0])
    header = provider.header()["Authorization"]
    for moment, times in ((1000.0, 1), (1001.0, 1), (1100.0, 2), (3000.0, 4), (3001.0, 4)):
        now[0] = moment
        with pytest.raises(TemporaryError):
            door.authenticate(header)
        assert len(asked) == times
