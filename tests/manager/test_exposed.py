"""Exposed services on this machine: their lives, and their pages through the manager."""

from __future__ import annotations

import http.client
import secrets
import socket
import sys
import textwrap
from base64 import b64encode
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import websocket

from bridge.local.children import free_port
from bridge.targets.calls import Address
from tests.waiting import eventually

from .conftest import Live, basic, echo
from .issuer import MEMBER, Provider

# What was asked for comes back; `/slow` streams, `/never` says nothing, `/torn` breaks off.
SERVER = """
    import http.server, os, sys, time

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if self.path == "/never":
                time.sleep(60)
            self.send_response(207 if self.path.startswith("/status") else 200)
            self.send_header("X-Own", "yes")
            self.send_header("Service-Worker-Allowed", "/")
            self.send_header("Set-Cookie", "a=1")
            self.send_header("Set-Cookie", "b=2")
            if self.path == "/slow" or self.path == "/torn":
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.chunk(b"first")
                if self.path == "/torn":
                    self.close_connection = True
                    return
                while not os.path.exists(os.environ["GO"]):
                    time.sleep(0.01)
                self.chunk(b"last")
                self.chunk(b"")
                return
            body = f"{self.command} {self.path}\\n{self.headers}".encode() + self.read()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_DELETE = do_GET

        def chunk(self, data):
            self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(data), data))
            self.wfile.flush()

        def read(self):
            size = self.headers.get("Content-Length")
            if size:
                return self.rfile.read(int(size))
            found = b""
            while self.headers.get("Transfer-Encoding"):
                part = self.rfile.read(int(self.rfile.readline(), 16))
                self.rfile.readline()
                if not part:
                    break
                found += part
            return found

        def log_message(self, *said):
            print("asked for", self.path, flush=True)

    print("begun with", os.environ["SAID"], flush=True)
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def server(name: str, port: int, go: str = "/nowhere", **expose: Any) -> dict[str, Any]:
    code = textwrap.dedent(SERVER)
    script = f"cat > server.py <<'END'\n{code}\nEND\nexec python3 server.py {port}\n"
    told = {"variables": {"GO": go}, "secrets": {"SAID": "a-secret"}}
    exposed = {"api_port": port, "min_scale": 1, **expose}
    return echo(name=name, script=script, environment=told, expose=exposed, memory="256Mi")


def made(live: Live, header: dict[str, str] | None = None, **expose: Any) -> str:
    """A server that is ready; its path."""
    name = f"exposed{secrets.token_hex(4)}"
    body = server(name, free_port(), **expose)
    answer = live.ask("POST", "/system/services", body, header)
    assert answer.status == 201, answer
    assert eventually(lambda: state(live, name) == "ready")
    return f"/system/services/{name}/exposed"


def state(live: Live, name: str) -> str:
    return str(live.ask("GET", f"/system/services/{name}/deployment").json["state"])


@pytest.fixture(scope="module")
def live(shared: Live) -> Live:
    return shared


@pytest.fixture(scope="module")
def path(live: Live) -> str:
    return made(live)


def test_a_request_goes_to_the_server_as_it_is(live: Live, path: str) -> None:
    """Open as OSCAR's are: it may look at credentials itself."""
    sent = {"Authorization": "Bearer its-own", "X-Forwarded-For": "6.6.6.6", "X-Some": "thing"}
    answer = live.ask("PUT", f"{path}/status/a%2Fb//c/?x=1&y=%20", b"body", sent)
    assert (answer.status, answer.headers["x-own"]) == (207, "yes")
    assert "service-worker-allowed" not in answer.headers
    first, *said = answer.text.split("\r\n")[0].split("\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in said) if v}
    assert first == "PUT /status/a%2Fb//c/?x=1&y=%20"
    assert headers["authorization"] == "Bearer its-own"
    assert (headers["x-some"], headers["x-forwarded-for"]) == ("thing", "127.0.0.1")
    assert headers["x-forwarded-proto"] == "http"
    assert answer.text.endswith("body")
    assert live.ask("GET", path, headers={}).text.splitlines()[0] == "GET /"


def test_bodies_are_streamed_in_both_directions(live: Live, tmp_path: Any) -> None:
    go = tmp_path / "go"
    path = made(live, go=str(go))
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)
    connection.request("GET", f"{path}/slow")
    answer = connection.getresponse()
    assert answer.read1(100) == b"first"
    go.touch()
    assert answer.read() == b"last"
    assert [v for k, v in answer.getheaders() if k.lower() == "set-cookie"] == ["a=1", "b=2"]
    blocks = (b"x" * 2**20 for _ in range(3))
    connection.request(
        "POST", f"{path}/up", blocks, encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
    )
    assert len(connection.getresponse().read()) > 3 * 2**20
    connection.request("GET", f"{path}/torn")
    with pytest.raises(http.client.IncompleteRead):
        connection.getresponse().read()
    connection.close()


@pytest.mark.parametrize("body", [b"Content-Length: 100\r\n\r\npart", b"\r\n"])
def test_a_server_that_says_nothing_is_let_go_of_when_the_client_leaves(
    live: Live, path: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when its time is up: it would be held, and so would what waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        there = Address("127.0.0.1", silent.getsockname()[1], "silent")
        monkeypatch.setattr("manager.routes.exposed.address_of_server", lambda *_: there)
        with socket.create_connection(("127.0.0.1", live.port), timeout=20) as line:
            line.sendall(f"POST {path}/x HTTP/1.1\r\nHost: x\r\n".encode() + body)
            server, _ = silent.accept()
            server.settimeout(20)
            assert server.recv(4096)
        with server:
            while server.recv(4096):
                continue


def test_one_that_does_not_answer_is_502_or_504(
    live: Live, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = path.split("/")[3]
    assert live.ask("POST", f"/system/services/{name}/stop").json["state"] == "stopped"
    answer = live.ask("GET", path, headers={})
    assert (answer.status, "is not ready" in answer.text) == (502, True)
    assert live.ask("POST", f"/system/services/{name}/start").status == 200
    assert eventually(lambda: state(live, name) == "ready")
    assert live.ask("POST", f"/system/services/{name}/restart").status == 200
    assert eventually(lambda: state(live, name) == "ready")
    log = live.ask("GET", f"/system/services/{name}/deployment/logs?timestamps=true").json
    assert sum(one["message"] == "begun with a-secret" for one in log["entries"]) == 3
    monkeypatch.setattr(live.manager, "settings", replace(live.manager.settings, run_wait=0.3))
    late = live.ask("GET", f"{path}/never", headers={})
    assert (late.status, late.text) == (504, f"{name} did not answer in time")
    assert live.ask("GET", "/system/services/absent/exposed/x", headers={}).status == 404
    other = live.create()
    assert live.ask("GET", f"/system/services/{other}/exposed/", headers={}).status == 404


def test_a_server_that_ends_is_started_again_and_says_why(live: Live) -> None:
    port = free_port()
    body = server("crashes", port) | {"script": "echo broken; exit 7"}
    assert live.ask("POST", "/system/services", body).status == 201

    def found() -> dict[str, Any]:
        return dict(live.ask("GET", "/system/services/crashes/deployment").json)

    def said() -> list[dict[str, str]]:
        return list(live.ask("GET", "/system/services/crashes/deployment/logs").json["entries"])

    assert eventually(lambda: found()["state"] == "failed")
    assert found()["reason"] == "it has ended with status 7"
    assert (found()["affected_instances"], found()["resource_kind"]) == (1, "exposed_service")
    assert eventually(lambda: len(said()) >= 2)
    with socket.create_server(("127.0.0.1", port)):
        assert live.ask("PUT", "/system/services", server("crashes", port)).status == 204
        assert eventually(lambda: "is taken by another program" in found().get("reason", ""))
    assert eventually(lambda: found()["state"] == "ready")
    assert live.ask("DELETE", "/system/services/crashes").status == 204
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port))


# Says how it was asked, then whatever is said to it; ends when it is told to.
TALKER = """
    import sys, uvicorn

    async def app(scope, receive, send):
        await receive()
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        if scope["path"] == "/no":
            await send({"type": "websocket.http.response.start", "status": 418, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b"not here"})
            return
        chosen = scope["subprotocols"][-1] if scope["subprotocols"] else None
        own = [(b"x-own", b"yes")]
        await send({"type": "websocket.accept", "subprotocol": chosen, "headers": own})
        query = scope["query_string"].decode()
        await send({"type": "websocket.send", "text": f"{scope['path']}?{query} {headers}"})
        while (said := await receive())["type"] == "websocket.receive":
            if said.get("text") == "end":
                await send({"type": "websocket.close", "code": 4321, "reason": "as you say"})
                return
            told = {key: said[key] for key in ("text", "bytes") if said.get(key) is not None}
            await send({"type": "websocket.send", **told})
        print("left with", said["code"], flush=True)

    uvicorn.run(app, port=int(sys.argv[1]), ws="wsproto", lifespan="off", log_level="error")
"""


@pytest.fixture(scope="module")
def talker(live: Live) -> str:
    """A server of WebSockets with a door; its path."""
    port = free_port()
    code = textwrap.dedent(TALKER)
    body = server(f"t{secrets.token_hex(4)}", port, set_auth=True, auth_type="forward")
    body["script"] = f"cat > talk.py <<'END'\n{code}\nEND\nexec {sys.executable} talk.py {port}\n"
    body["expose"]["health_path"] = ""
    assert live.ask("POST", "/system/services", body).status == 201
    return f"/system/services/{body['name']}/exposed"


def test_a_websocket_goes_to_the_server_and_back(
    live: Live, talker: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    name = talker.split("/")[3]
    token, url = live.token_of(name), f"ws://127.0.0.1:{live.port}{talker}"
    origin = f"http://127.0.0.1:{live.port}"

    def opened() -> Any:
        with suppress(websocket.WebSocketBadStatusException):
            return websocket.create_connection(
                f"{url}/a%20b?token={token}&x=1", subprotocols=["one", "two"], origin=origin,
                timeout=60, cookie="own=1", header={"X-Forwarded-For": "6.6.6.6"},
            )  # fmt: skip

    line = eventually(opened)
    told = line.recv()
    assert (line.subprotocol, line.headers["x-own"]) == ("two", "yes")
    # As by HTTP: what opened the door stays outside, and what we say of it is ours to say.
    assert told.startswith("/a b?x=1 ")
    assert token not in told
    for said in (f"'origin': '{origin}'", f"'host': '127.0.0.1:{live.port}'", "'cookie': 'own=1'",
                 "'x-forwarded-for': '127.0.0.1'", "'x-forwarded-proto': 'http'"):  # fmt: skip
        assert said in told
    for message in ("grüße", b"\0\xff" * 50_000, "", "x" * 300_000):
        line.send(message, 2 if isinstance(message, bytes) else 1)
        assert line.recv() == message
    line.ping("still there?")
    line.send("end")
    opcode, data = line.recv_data(control_frame=True)
    while opcode != websocket.ABNF.OPCODE_CLOSE:
        opcode, data = line.recv_data(control_frame=True)
    assert data == (4321).to_bytes(2, "big") + b"as you say"
    line.shutdown()
    logs = f"/system/services/{name}/deployment/logs"
    for leave, code in ((lambda one: one.close(4999), 4999), (lambda one: one.shutdown(), 1000)):
        leave(opened())
        assert eventually(lambda code=code: f"left with {code}" in live.ask("GET", logs).text)
    assert not [one for one in caplog.records if one.exc_info or token in one.getMessage()]


def test_who_may_not_come_in_opens_no_websocket(
    live: Live, talker: str, path: str, provider: Provider
) -> None:
    url = f"ws://127.0.0.1:{live.port}"

    def refused(at: str, header: dict[str, str]) -> tuple[int, bytes]:
        with pytest.raises(websocket.WebSocketBadStatusException) as caught:
            websocket.create_connection(url + at, header=header, timeout=60)
        return caught.value.status_code, caught.value.resp_body

    bob = provider.header("bob", **MEMBER)
    for header, status in (({}, 401), (basic(password="wrong"), 401), (bob, 403)):
        assert refused(talker, header) == (status, b"")
    # The server may refuse, too; one that knows no WebSockets answers as it does.
    eventually(lambda: live.ask("GET", f"{talker}/x").status != 502)
    assert refused(f"{talker}/no", basic()) == (418, b"not here")
    assert refused(f"{path}/status", basic())[0] == 207
    assert refused("/system/services/absent/exposed/x", basic()) == (404, b"")
    assert refused("/system/services", basic())[0] == 403


def test_who_may_come_in(live: Live, provider: Provider) -> None:
    ann, bob = (provider.header(name, **MEMBER) for name in ("ann", "bob"))
    for kind in ("", "forward"):
        path = made(live, ann, set_auth=True, auth_type=kind)
        name = path.split("/")[3]
        token = live.token_of(name)
        own = {"Authorization": "Basic " + b64encode(f"{name}:{token}".encode()).decode()}
        right = [{"Authorization": f"Bearer {token}"}, ann, basic()] if kind else [own]
        wrong: list[tuple[dict[str, str], int]] = [
            ({}, 401),
            (basic(password="wrong"), 401),
            ({"Authorization": f"Bearer {'0' * 64}"}, 401),
            (bob, 403 if kind else 401),
        ]
        wrong += [] if kind else [(basic(name, "x" * 64), 401), (ann, 401)]
        for header, status in wrong:
            refused = live.ask("GET", f"{path}/x", headers=header)
            assert (refused.status, "GET" in refused.text) == (status, False), (kind, header)
        for header in right:
            answer = live.ask("GET", f"{path}/x", headers={**header, "Cookie": "own=1"})
            assert answer.status == 200, (kind, header)
            # What opened the door stays outside.
            assert "uthorization" not in answer.text
            assert token not in answer.text
            assert "own=1" in answer.text
        if kind:
            cookie = f"oscar_service_{name}_auth={token}; own=1"
            door = f"/system/services/{name}/auth"
            assert live.ask("GET", door, headers=bob).status == 403
            # From the query it becomes a cookie, and the server is shown neither, nor where it
            # was said.
            sent = {"Referer": f"http://here{path}/?token={token}"}
            said = "token=the-servers-own&x=1"
            answer = live.ask("GET", f"{path}/x?token={token}&{said}", headers=sent)
            assert (answer.status, answer.text.splitlines()[0]) == (200, f"GET /x?{said}")
            assert token not in answer.text
            kept = answer.headers["set-cookie"]
            assert f"oscar_service_{name}_auth={token}; HttpOnly; Path={path};" in kept
            answer = live.ask("GET", f"{path}/x", headers={"Cookie": cookie})
            assert "oscar_service" not in answer.headers["set-cookie"]
            assert (answer.status, token in answer.text, "own=1" in answer.text) == (
                200,
                False,
                True,
            )
        rotated = f"/api/v1/services/{name}/token"
        assert live.ask("POST", rotated, headers=bob).status == 404
        assert live.token_of(name) == token
        new = live.ask("POST", rotated, headers=ann).json["token"]
        assert new == live.token_of(name) != token
        for one, status in ((token, 401), (new, 200)):
            pair = {"Authorization": "Basic " + b64encode(f"{name}:{one}".encode()).decode()}
            sent = {"Authorization": f"Bearer {one}"} if kind else pair
            assert live.ask("GET", f"{path}/x", headers=sent).status == status
            job = live.ask("POST", f"/job/{name}", b"x", {"Authorization": f"Bearer {one}"})
            assert job.status == (201 if status == 200 else 401)


def test_a_prefix_is_kept_where_the_server_wants_it(live: Live) -> None:
    path = made(live, rewrite_target=True)
    assert live.ask("GET", f"{path}/a?b", headers={}).text.splitlines()[0] == f"GET {path}/a?b"
