"""Who gets in, on every route: no credentials, wrong ones, right ones; and requests that trick."""

from __future__ import annotations

import re
import socket

import pytest

from bridge.targets.protocol import Reply

from .conftest import Live, basic

USERS = [
    ("GET", "/system/info", 200),
    ("GET", "/system/config", 200),
    ("GET", "/system/status", 200),
    ("GET", "/system/services", 200),
    ("POST", "/system/services", 400),
    ("PUT", "/system/services", 400),
    ("GET", "/system/services/absent", 404),
    ("DELETE", "/system/services/absent", 404),
    ("GET", "/system/services/absent/auth", 404),
    ("GET", "/system/services/absent/deployment", 404),
    ("GET", "/system/services/absent/deployment/logs", 404),
    ("POST", "/system/services/absent/start", 404),
    ("POST", "/system/services/absent/stop", 404),
    ("POST", "/system/services/absent/restart", 404),
    ("PUT", "/system/config", 400),
    ("GET", "/system/logs", 200),
    ("GET", "/system/logs/absent", 404),
    ("DELETE", "/system/logs/absent", 404),
    ("GET", "/system/logs/absent/job", 404),
    ("DELETE", "/system/logs/absent/job", 404),
    ("GET", "/system/buckets", 200),
    ("POST", "/system/buckets", 400),
    ("PUT", "/system/buckets", 400),
    ("GET", "/system/buckets/absent", 404),
    ("DELETE", "/system/buckets/absent", 404),
    ("POST", "/system/buckets/absent/presign", 400),
    ("GET", "/system/quotas/user", 401),
    ("GET", "/system/quotas/user/absent", 200),
    ("PUT", "/system/quotas/user/absent", 400),
    ("POST", "/run/absent", 404),
    ("POST", "/job/absent", 404),
    ("GET", "/metrics", 200),
    ("GET", "/system/metrics", 200),
    ("GET", "/system/metrics/breakdown", 400),
    ("GET", "/system/metrics/absent", 404),
    ("GET", "/system/federation/absent", 404),
    ("POST", "/system/federation/absent", 404),
    ("PUT", "/system/federation/absent", 404),
    ("DELETE", "/system/federation/absent", 404),
    ("GET", "/system/volumes", 404),
    ("POST", "/system/volumes", 404),
    ("GET", "/system/volumes/absent", 404),
    ("DELETE", "/system/volumes/absent", 404),
    ("GET", "/api/v1/jobs", 200),
    ("GET", "/api/v1/jobs/absent", 404),
    ("POST", "/api/v1/jobs/absent/cancel", 404),
    ("POST", "/api/v1/jobs/absent/replay", 404),
    ("GET", "/api/v1/dead-letters", 200),
    ("DELETE", "/api/v1/dead-letters", 204),
    ("POST", "/api/v1/dead-letters/redrive", 200),
    ("POST", "/api/v1/dead-letters/absent/redrive", 404),
    ("DELETE", "/api/v1/dead-letters/absent", 404),
    ("GET", "/api/v1/services/absent/plan", 404),
    ("GET", "/api/v1/services/absent/decision", 404),
    ("POST", "/api/v1/services/absent/token", 404),
    ("GET", "/api/v1/jobs/absent/decision", 404),
    ("GET", "/api/v1/policies/compare", 200),
    ("GET", "/api/v1/cost", 200),
    ("GET", "/api/v1/estimates", 200),
    ("GET", "/api/v1/targets", 200),
]
# Its answer has no end; who may read it is in test_stream.py.
ENDLESS = {("GET", "/api/v1/events")}


@pytest.mark.parametrize(("method", "path", "status"), USERS)
def test_every_route_asks_who_it_is(live: Live, method: str, path: str, status: int) -> None:
    assert live.ask(method, path, headers={}).status == 401
    for wrong in (
        basic(password="wrong"),
        basic(user="wrong"),
        {"Authorization": "Basic %%%"},
        {"Authorization": "Basic"},
        {"Authorization": "Digest x"},
        {"Authorization": "Bearer " + "0" * 64},
        {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},
    ):
        answer = live.ask(method, path, headers=wrong)
        assert (answer.status, answer.body) == (401, b""), wrong
    right = live.ask(method, path)
    assert right.status == status, right


def test_basic_is_asked_for_by_name(live: Live) -> None:
    answer = live.ask("GET", "/system/info", headers=basic(password="x"))
    assert answer.headers["www-authenticate"] == 'Basic realm="Authorization Required"'


def test_a_token_opens_its_own_service_and_nothing_else(live: Live) -> None:
    mine, other = live.create(), live.create()
    bearer = {"Authorization": f"Bearer {live.token_of(mine)}"}
    assert live.ask("POST", f"/job/{mine}", b"x", bearer).status == 201
    assert live.ask("POST", f"/job/{other}", b"x", bearer).status == 401
    assert live.ask("POST", "/job/absent", b"x", bearer).status == 401
    assert live.ask("GET", "/system/services", headers=bearer).status == 401
    assert live.ask("GET", f"/system/logs/{mine}", headers=bearer).status == 401


def test_health_and_unknown_routes_need_no_credentials(live: Live) -> None:
    assert (live.ask("GET", "/health", headers={}).text) == "Ok"
    assert live.ask("GET", "/ready", headers={}).status == 200
    assert live.ask("GET", "/nothing", headers={}).text == "404 page not found"
    assert live.ask("PATCH", "/health", headers={}).text == "404 page not found"


def test_events_need_the_stores_token(live: Live) -> None:
    for header in ({}, basic(), {"Authorization": "Bearer wrong"}):
        assert live.ask("POST", "/events", b"{}", header).status == 401
    right = {"Authorization": f"Bearer {live.token}"}
    assert live.ask("POST", "/events", b"", right).status == 200
    assert live.ask("POST", "/events", b"x" * (5 * 2**20), right).status == 413


SMUGGLED = [
    "Content-Length: 4\r\nTransfer-Encoding: chunked",
    "Content-Length: 4\r\nContent-Length: 5",
    "Host: a.example",
    "Authorization: Basic x\r\nAuthorization: Basic y",
]


@pytest.mark.parametrize("lines", SMUGGLED)
@pytest.mark.parametrize("path", ["/system/services", "/events"])
def test_ambiguous_requests_are_refused(live: Live, path: str, lines: str) -> None:
    request = f"POST {path} HTTP/1.1\r\nHost: here\r\n{lines}\r\n\r\n0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", live.port), timeout=10) as line:
        line.sendall(request.encode())
        assert b" 400 " in line.recv(4096).partition(b"\r\n")[0]


def test_the_interface_is_published(live: Live) -> None:
    paths = live.ask("GET", "/openapi.json", headers={}).json["paths"]
    told = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    told = {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path in told}
    named = {
        (method, path.replace("/absent/job", "/{}/{}").replace("absent", "{}"))
        for method, path, _ in USERS
    } | ENDLESS
    # A route that is in neither list would ask nobody who it is, and no test would see it.
    assert told - named == {("GET", "/health"), ("GET", "/ready"), ("POST", "/events")}
    assert named <= told


def test_who_may_come_in_to_an_exposed_service(live: Live) -> None:
    name = live.create(name="with-a-door", expose={"api_port": 80})
    token, path = live.token_of(name), f"/system/services/{name}/auth"
    cookie = f"oscar_service_with_a_door_auth={token}"
    ways = [
        (path, {"Authorization": f"Bearer {token}"}),
        (f"{path}?token={token}", {}),
        (path, {"X-Forwarded-Uri": f"/system/services/{name}/exposed/?a=b&token={token}"}),
        (path, {"Cookie": cookie}),
        (path, {"Cookie": cookie, "Authorization": "Basic the-servers-own"}),
    ]
    for where, headers in ways:
        answer = live.ask("GET", where, headers=headers)
        assert answer.status == 200, headers
        kept = answer.headers["set-cookie"]
        assert kept.startswith(f"{cookie}; HttpOnly; Path=/system/services/{name}/exposed;")
    assert "set-cookie" not in live.ask("GET", path).headers
    for headers in ({}, {"Cookie": cookie.replace(token, "0" * 64)}, basic(password="wrong")):
        assert live.ask("GET", path, headers=headers).status == 401
    assert live.ask("GET", f"/system/services/{live.create()}/auth").status == 404


BODIES = [(method, path) for method, path, _ in USERS if method in ("POST", "PUT")]


@pytest.mark.parametrize(("method", "path"), [*BODIES, ("POST", "/events")])
def test_no_body_is_taken_before_the_credentials_are(live: Live, method: str, path: str) -> None:
    for header in ("X: y", "Authorization: Bearer " + "0" * 64):
        head = f"{method} {path} HTTP/1.1\r\nHost: here\r\n{header}\r\n"
        size = "Content-Length: 67108864\r\nExpect: 100-continue\r\n\r\n"
        with socket.create_connection(("127.0.0.1", live.port), timeout=30) as line:
            line.sendall((head + size).encode())
            # Not even "100 Continue" comes: nobody waits for the body.
            assert line.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_what_a_proxy_says_is_not_passed_on_when_a_caller_says_it(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, passed = live.create(), {}

    def invoke(_: str, body: bytes, headers: dict[str, str], *__: object, **___: object) -> Reply:
        passed.update(headers)
        return Reply(200, {}, iter([body]), lambda: None)

    monkeypatch.setattr(live.manager.parts.targets["local"], "invoke", invoke)
    secret = basic() | {"Cookie": "session=1", "Proxy-Authorization": "Basic x"}
    said = {
        "X-Forwarded-For": "10.0.0.1",
        "X-Forwarded-User": "root",
        "Forwarded": "for=10.0.0.1",
        "X-Real-IP": "10.0.0.1",
        "Connection": "close, X-Internal",
        "X-Internal": "yes",
        "TE": "trailers",
        "Trailer": "X-Late",
        "Upgrade": "h2c",
        "Keep-Alive": "timeout=5",
    }
    mine = {"Content-Type": "text/plain", "ce-id": "1", "X-Mine": "kept"}
    assert live.ask("POST", f"/run/{name}", b"hello", secret | said | mine).text == "hello"
    wanted = {key.lower() for key in mine} | {"content-length", "accept-encoding"}
    assert set(passed) == wanted


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2f..%2fetc", "a%00b", "%0d%0aX:%20y", "a%2fb"]
)
def test_a_name_leads_nowhere(live: Live, name: str) -> None:
    for path in ("services", "buckets", "logs", "services/echo", "logs/echo"):
        answer = live.ask("GET", f"/system/{path}/{name}")
        assert answer.status in (400, 404), (path, answer)
        assert "x" not in answer.headers
        assert live.ask("DELETE", f"/system/{path}/{name}").status in (400, 404)
    for key in ("../other/key", "a/../../b", "."):
        sign = {"object_key": key, "operation": "upload"}
        assert live.ask("POST", f"/system/buckets/{name}/presign", sign).status in (400, 404)
    assert live.ask("POST", f"/job/{name}", b"x").status in (400, 404)
    # What is asked for is shown as it was asked for: a terminal would obey it.
    assert live.ask("POST", f"/job/%1b[31m{name}", b"x").status in (400, 404)
    said = live.ask("GET", "/system/logs").json["logs"]
    assert any("%1B" in one["path"] for one in said)
    assert all(one["raw"].isprintable() for one in said)
