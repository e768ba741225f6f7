"""The client against answers of both generations, and against all that goes wrong."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from dataclasses import replace
from typing import Any

import httpx
import pytest

from bridge.errors import (
    AccessError,
    BridgeError,
    NotFoundError,
    PermanentError,
    TargetUnavailable,
    TemporaryError,
)
from bridge.secret import Secret
from bridge.targets.oscar import ClusterAccess, OscarClient
from bridge.targets.oscar._http import MaybeDone
from tests.targets.oscar.cluster import ACCESS, TOKEN, URL


def answering(*answers: Any, access: ClusterAccess = ACCESS) -> tuple[OscarClient, list[Any]]:
    """A client that gets these answers, and the requests that it makes."""
    seen: list[httpx.Request] = []
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)

    return OscarClient(access, transport=httpx.MockTransport(answer)), seen


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (httpx.Response(401), AccessError, "not valid"),
        (httpx.Response(403, text="not yours"), AccessError, "not yours"),
        (httpx.Response(404), NotFoundError, "404"),
        (httpx.Response(409, text="taken"), PermanentError, "taken"),
        (httpx.Response(400, text="bad\n  input"), PermanentError, "bad input"),
        (httpx.Response(429), TargetUnavailable, "put off"),
        (httpx.Response(503, text="later"), TargetUnavailable, "later"),
        (httpx.Response(500, text="image not allowed"), MaybeDone, "image not allowed"),
        (httpx.Response(502, html="<h1>nginx</h1>"), MaybeDone, "Bad Gateway"),
        (httpx.Response(200, text="<html>"), PermanentError, "JSON"),
        (httpx.ConnectError("refused"), TargetUnavailable, "cannot be reached"),
        (httpx.ReadTimeout("slow"), MaybeDone, "no answer"),
        (httpx.RemoteProtocolError("cut"), MaybeDone, "no answer"),
    ],
)
def test_what_goes_wrong_has_a_kind_and_a_sentence(
    answer: Any, kind: type[BridgeError], words: str
) -> None:
    client, _ = answering(answer)
    with pytest.raises(kind, match=words) as found:
        client.info()
    assert isinstance(found.value, TemporaryError) == issubclass(kind, TemporaryError)
    assert "lab" in found.value.message
    assert "pass-word" not in str(vars(found.value))


def test_only_what_was_never_sent_is_surely_not_done() -> None:
    for answer in (httpx.ConnectError("refused"), httpx.Response(503), httpx.Response(429)):
        client, _ = answering(answer)
        with pytest.raises(TargetUnavailable) as found:
            client.delete("s")
        assert not isinstance(found.value, MaybeDone)


def test_a_server_says_how_long_to_wait() -> None:
    for said, delay in (("7", 7.0), ("0", 1.0), ("9999", 300.0), ("soon", 1.0)):
        client, _ = answering(httpx.Response(429, headers={"retry-after": said}))
        with pytest.raises(TargetUnavailable) as found:
            client.info()
        assert found.value.delay == delay


def test_what_a_server_quotes_is_hidden() -> None:
    quoted = httpx.Response(400, text="bad: the-secret-word of me:pass-word " + "x" * 1000)
    client, _ = answering(quoted)
    with pytest.raises(PermanentError) as found:
        client.create({"name": "s"}, [Secret("the-secret-word")])
    assert "the-secret-word" not in found.value.message
    assert "pass-word" not in found.value.message
    assert len(found.value.message) < 600


def test_the_path_of_an_endpoint_is_kept_and_names_are_quoted() -> None:
    client, seen = answering({"name": "a/b"})
    client.service("a/b")
    assert str(seen[0].url) == f"{URL}/system/services/a%2Fb"
    assert seen[0].headers["authorization"].startswith("Basic ")


def test_a_redirect_is_followed_for_reading_only() -> None:
    away = httpx.Response(301, headers={"location": f"{URL}/system/config/"})
    config = {"minio_provider": {"endpoint": "http://m", "access_key": "a", "secret_key": "b"}}
    client, seen = answering(away, config)
    settings, keys = client.storage()
    assert settings == {"endpoint": "http://m", "region": "us-east-1", "verify": True}
    assert keys["access_key"] == Secret("a")
    client, seen = answering(away, config)
    with pytest.raises(PermanentError, match="sent on"):
        client.create({"name": "s"})
    assert [request.method for request in seen] == ["POST"]


def test_a_service_is_called_with_its_own_token() -> None:
    client, seen = answering({"name": "s", "token": TOKEN}, httpx.Response(200, content=b"reply"))
    assert client.run("s", b"in", 5.0) == b"reply"
    assert seen[1].headers["authorization"] == f"Bearer {TOKEN}"
    client, seen = answering({"name": "s"}, httpx.Response(201))
    client.submit("s", b"in", {})
    assert seen[1].headers["authorization"].startswith("Basic ")
    client, _ = answering(httpx.Response(404))
    with pytest.raises(NotFoundError, match="has no service s"):
        client.submit("s", b"in", {})


OLD = {"j1": {"status": "Running", "start_time": "2026-01-01T00:00:00Z"}, "j2": {"status": "Odd"}}


@pytest.mark.parametrize("answer", [OLD, {"jobs": OLD}, {"jobs": OLD, "next_page": ""}])
def test_lists_of_jobs_of_both_generations(answer: Any) -> None:
    client, seen = answering(answer)
    assert [(one.name, one.status) for one in client.jobs("s")] == [
        ("j1", "Running"),
        ("j2", "Odd"),
    ]
    assert len(seen) == 1


@pytest.mark.parametrize("answer", [{"jobs": {}}, {"jobs": None}, {}, [], None])
def test_an_empty_list_is_empty(answer: Any) -> None:
    client, _ = answering(answer if answer is not None else httpx.Response(200, text="null"))
    assert list(client.jobs("s")) == []


def test_pages_are_read_to_the_end_and_never_for_ever() -> None:
    client, seen = answering(
        {"jobs": {"a": {}}, "next_page": "1"}, {"jobs": {"b": {}}, "next_page": "1"}
    )
    assert [one.name for one in client.jobs("s")] == ["a", "b"]
    assert seen[1].url.params["page"] == "1"


def test_the_end_of_a_service_keeps_its_buckets() -> None:
    """Upstream deletes the buckets that a service names when it goes."""
    there = {"name": "s", "token": TOKEN, "input": [{"path": "b/in"}], "output": [], "memory": "1"}
    client, seen = answering(there, httpx.Response(204), httpx.Response(204))
    client.retire("s")
    assert [request.method for request in seen] == ["GET", "PUT", "DELETE"]
    assert json.loads(seen[1].content) == {**there, "input": [], "output": []}
    client, seen = answering(httpx.Response(404))
    client.retire("s")
    assert len(seen) == 1


# --- tokens --------------------------------------------------------------------------------------


def jwt(**claims: Any) -> Secret:
    part = urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return Secret(f"header.{part}.signature")


REFRESH = jwt(iss="https://iss.example/realms/x", azp="cli", scope="openid offline_access")


class Issuer:
    """An issuer of tokens, and the cluster that takes them."""

    def __init__(self, status: int = 200, discovery: int = 200) -> None:
        self.status = status
        self.discovery = discovery
        self.forms: list[dict[str, str]] = []
        self.good = ""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("openid-configuration"):
            found = {"token_endpoint": "https://iss.example/token"}
            return httpx.Response(self.discovery, json=found)
        if request.url.host == "iss.example":
            self.forms.append(dict(httpx.QueryParams(request.content.decode())) | {"path": path})
            self.good = f"access-{len(self.forms)}"
            said = {"access_token": self.good, "expires_in": 300}
            return httpx.Response(self.status, json=said)
        fine = request.headers["authorization"] == f"Bearer {self.good}"
        return httpx.Response(200 if fine else 401, json={"version": "4"})

    def client(self, refresh: Secret = REFRESH) -> OscarClient:
        access = replace(ACCESS, password=None, refresh_token=refresh)
        return OscarClient(access, transport=httpx.MockTransport(self))


@pytest.mark.parametrize(
    ("discovery", "path"), [(200, "/token"), (404, "/realms/x/protocol/openid-connect/token")]
)
def test_a_refresh_token_is_exchanged_once_for_many_requests(discovery: int, path: str) -> None:
    issuer = Issuer(discovery=discovery)
    client = issuer.client()
    for _ in range(3):
        assert client.info() == {"version": "4"}
    (form,) = issuer.forms
    assert form == {
        "grant_type": "refresh_token",
        "refresh_token": REFRESH.reveal(),
        "client_id": "cli",
        "scope": "openid offline_access",
        "path": path,
    }
    issuer.good = "revoked"
    assert client.info() == {"version": "4"}
    assert len(issuer.forms) == 2


def test_a_refresh_token_that_is_refused_or_none_says_what_to_do() -> None:
    for issuer, refresh, words in (
        (Issuer(status=400), REFRESH, "refused the OIDC refresh token"),
        (Issuer(), Secret("opaque"), "not a JWT"),
        (Issuer(), jwt(azp="cli"), "names no issuer"),
    ):
        with pytest.raises(AccessError, match=words) as found:
            issuer.client(refresh).info()
        assert "new refresh token" in found.value.hint
        assert refresh.reveal() not in found.value.message
    with pytest.raises(TargetUnavailable):
        Issuer(status=503).client().info()


def test_an_access_token_goes_as_it_is() -> None:
    access = replace(ACCESS, token=Secret("tok"), refresh_token=REFRESH)
    client, seen = answering({"version": "4"}, access=access)
    client.info()
    assert seen[0].headers["authorization"] == "Bearer tok"
    assert access.method == "OIDC access token" and "tok'" not in repr(access)
