"""The client against a real registry: what arrives, who may, and what happens when it breaks."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bridge.errors import AccessError, NotFoundError, PermanentError, TemporaryError
from bridge.images import Credentials
from bridge.images._auth import REFRESH, Challenge, authorization
from bridge.images._http import is_loopback
from bridge.images.registry import Blob, Registry, digest_of
from bridge.secret import Secret
from tests.images import pictures
from tests.images.registries import GOOD, PASSWORD, WRONG, Cutting, Served, registry
from tests.images.tokens import TokenServer
from tests.servers import free_port


def no_pause(_: float) -> None:
    pass


def read(blob: Blob) -> bytes:
    with blob.open() as pieces:
        return b"".join(pieces)


def test_a_blob_comes_back_as_it_went(open_registry: Served) -> None:
    client, name = Registry(open_registry.host), pictures.repository()
    data = secrets.token_bytes(3_000_000)
    blob = Blob.of(data)
    assert not client.has_blob(name, blob.digest)
    assert client.push_blob(name, blob) == "uploaded"
    assert client.has_blob(name, blob.digest)
    assert read(client.blob(name, blob.digest, blob.size)) == data


def test_a_blob_is_not_sent_twice(open_registry: Served) -> None:
    client, name = Registry(open_registry.host), pictures.repository()
    blob = Blob.of(secrets.token_bytes(1000))
    client.push_blob(name, blob)
    before = open_registry.writes()
    assert client.push_blob(name, blob) == "present"
    assert open_registry.writes() == before


def test_a_blob_of_another_repository_is_taken_over(open_registry: Served) -> None:
    client, first, second = Registry(open_registry.host), *(pictures.repository() for _ in "12")
    blob = Blob.of(secrets.token_bytes(1000))
    client.push_blob(first, blob)
    assert client.push_blob(second, blob, mount_from=first) == "mounted"
    assert client.has_blob(second, blob.digest)


def test_what_cannot_be_taken_over_is_sent(open_registry: Served) -> None:
    client, name = Registry(open_registry.host), pictures.repository()
    blob = Blob.of(secrets.token_bytes(1000))
    assert client.push_blob(name, blob, mount_from="tests/nowhere") == "uploaded"
    assert client.has_blob(name, blob.digest)


def test_a_blob_that_is_not_what_its_digest_says_is_found_out(open_registry: Served) -> None:
    client, name = Registry(open_registry.host, pause=no_pause), pictures.repository()
    blob = Blob.of(b"x" * 1000)
    client.push_blob(name, blob)
    with pytest.raises(TemporaryError, match="1000 of 999 bytes"):
        read(client.blob(name, blob.digest, 999))
    with pytest.raises(TemporaryError, match="1000 of 1001 bytes"):
        read(client.blob(name, blob.digest, 1001))


def test_a_registry_refuses_bytes_of_another_digest(open_registry: Served) -> None:
    client, name = Registry(open_registry.host), pictures.repository()
    lie = Blob(digest_of(b"other"), 5, Blob.of(b"bytes").open)
    with pytest.raises(PermanentError, match="digest"):
        client.push_blob(name, lie)


def test_a_manifest_by_tag_and_by_digest(open_registry: Served) -> None:
    client, name = Registry(open_registry.host), pictures.repository()
    digest = pictures.put(client, name)
    assert client.digest(name, "1") == digest
    assert client.manifest(name, "1") == client.manifest(name, digest)
    assert client.digest(name, "2") == ""
    with pytest.raises(NotFoundError, match=f"{open_registry.host}/{name}"):
        client.manifest(name, "2")


def test_a_password_opens_a_private_registry(private_registry: Served) -> None:
    client, name = Registry(private_registry.host, GOOD), pictures.repository()
    assert client.digest(name, pictures.put(client, name))


@pytest.mark.parametrize("credentials", [None, WRONG], ids=["none", "wrong"])
def test_a_private_registry_refuses_and_no_secret_is_told(
    private_registry: Served, credentials: Credentials | None
) -> None:
    client = Registry(private_registry.host, credentials)
    with pytest.raises(AccessError) as refused:
        client.digest("tests/any", "1")
    text = f"{refused.value} {refused.value.hint} {refused.value!r} {refused.getrepr(style='long')}"
    assert "docker login" in refused.value.hint
    assert WRONG.password.reveal() not in text
    assert PASSWORD not in text


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenServer]:
    server = TokenServer(tmp_path / "tokens")
    yield server
    server.close()


@pytest.mark.parametrize(
    "credentials",
    [GOOD, Credentials(REFRESH, Secret(TokenServer.refresh))],
    ids=["password", "refresh-token"],
)
def test_a_token_opens_a_registry_that_asks_for_one(
    tmp_path: Path, tokens: TokenServer, credentials: Credentials
) -> None:
    with registry(tmp_path / "registry", tokens.auth()) as served:
        client = Registry(served.host, credentials)
        digest = pictures.put(client, "tests/mine")
        assert client.digest("tests/mine", "1") == digest
        assert client.push_blob("tests/other", _first_layer(client), mount_from="tests/mine")
    assert ["repository:tests/mine:pull"] in tokens.asked
    assert any(len(scopes) == 2 for scopes in tokens.asked)  # for taking over: both repositories


def _first_layer(client: Registry) -> Blob:
    layer = client.manifest("tests/mine", "1").document["layers"][0]
    return client.blob("tests/mine", layer["digest"], layer["size"])


def test_a_token_is_used_again(tmp_path: Path, tokens: TokenServer) -> None:
    with registry(tmp_path / "registry", tokens.auth()) as served:
        client = Registry(served.host, GOOD)
        digest = pictures.put(client, "tests/mine")
        before = len(tokens.asked)
        for _ in range(3):
            assert client.digest("tests/mine", "1") == digest
        assert len(tokens.asked) == before


def test_a_token_server_that_refuses(tmp_path: Path, tokens: TokenServer) -> None:
    with (
        registry(tmp_path / "registry", tokens.auth()) as served,
        pytest.raises(AccessError) as refused,
    ):
        Registry(served.host, WRONG).digest("tests/mine", "1")
    assert WRONG.password.reveal() not in f"{refused.value}{refused.value.hint}"


def test_a_password_is_never_sent_in_clear_to_a_foreign_token_server() -> None:
    challenge = (
        'Bearer realm="http://tokens.example.org/token",service="x",scope="repository:a:pull"'
    )
    with pytest.raises(AccessError, match="https"):
        authorization((challenge,), GOOD, "registry.example.org")


def test_a_challenge_is_read() -> None:
    parsed = Challenge.parse(
        'Bearer realm="https://a/t",service="b",scope="repository:c:pull,push"'
    )
    assert parsed.scheme == "bearer"
    assert parsed.parameters["scope"] == "repository:c:pull,push"


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.9.9.9", True),
        ("[::1]:5000", True),
        ("localhost.example.org", False),
        ("registry.example.org:5000", False),
        ("10.0.0.1:5000", False),
    ],
)
def test_plain_http_is_for_this_machine_only(host: str, local: bool) -> None:
    assert is_loopback(host) is local


def test_an_upload_that_breaks_starts_anew(open_registry: Served) -> None:
    proxy = Cutting(open_registry.host, cuts=2, after=200_000)
    try:
        client, name = Registry(proxy.host, pause=no_pause), pictures.repository()
        data = secrets.token_bytes(5_000_000)
        blob = Blob.of(data)
        assert client.push_blob(name, blob) == "uploaded"
        assert proxy.cuts_left == 0
    finally:
        proxy.close()
    direct = Registry(open_registry.host)
    assert read(direct.blob(name, blob.digest, blob.size)) == data


def test_an_upload_that_always_breaks_is_given_up(open_registry: Served) -> None:
    proxy = Cutting(open_registry.host, cuts=100, after=200_000)
    pauses: list[float] = []
    try:
        client = Registry(proxy.host, pause=pauses.append)
        with pytest.raises(TemporaryError, match="upload sha256:"):
            client.push_blob(pictures.repository(), Blob.of(secrets.token_bytes(5_000_000)))
    finally:
        proxy.close()
    assert len(pauses) == 3
    assert pauses[2] > pauses[0]


def test_nobody_listens() -> None:
    client = Registry(f"127.0.0.1:{free_port()}", pause=no_pause)
    with pytest.raises(TemporaryError, match="refused"):
        client.digest("tests/any", "1")


class Busy:
    """A registry that answers each request with the next status, then with 200."""

    def __init__(self, *refusals: tuple[int, str]) -> None:
        left = list(refusals)

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                status, after = left.pop(0) if left else (200, "")
                self.send_response(status)
                if after:
                    self.send_header("Retry-After", after)
                if status == 200:
                    self.send_header("Docker-Content-Digest", "sha256:there")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Busy:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_busy_registry_is_given_the_time_that_it_asks_for() -> None:
    pauses: list[float] = []
    with Busy((429, "7"), (503, "")) as busy:
        assert Registry(busy.host, pause=pauses.append).digest("a/b", "1") == "sha256:there"
    assert len(pauses) == 2
    assert 7 <= pauses[0] < 9
    assert 1 <= pauses[1] < 2


def test_who_asks_for_too_much_time_is_not_waited_for() -> None:
    pauses: list[float] = []
    with Busy((429, "3600")) as busy, pytest.raises(TemporaryError) as refused:
        Registry(busy.host, pause=pauses.append).digest("a/b", "1")
    assert refused.value.delay == 3600
    assert pauses == []


class Elsewhere:
    """A registry that sends every reader to another host, and that host."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None]] = []
        outer = self

        class Registrar(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.headers.get("Authorization")
                self.send_response(307 if known else 401)
                self.send_header("WWW-Authenticate", 'Basic realm="tests"')
                self.send_header("Location", f"http://{outer.store}/signed")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        class Store(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.seen.append((self.command, self.headers.get("Authorization")))
                self.send_response(200)
                self.send_header("Content-Length", "5")
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(b"bytes")

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), kind) for kind in (Registrar, Store)]
        self.host, self.store = (f"127.0.0.1:{one.server_address[1]}" for one in self._servers)
        for one in self._servers:
            threading.Thread(target=one.serve_forever, daemon=True).start()

    def close(self) -> None:
        for one in self._servers:
            one.shutdown()
            one.server_close()


def test_who_is_sent_elsewhere_takes_no_credentials_there() -> None:
    away = Elsewhere()
    try:
        client, digest = Registry(away.host, GOOD), digest_of(b"bytes")
        assert client.has_blob("a/b", digest)
        assert read(client.blob("a/b", digest, 5)) == b"bytes"
    finally:
        away.close()
    assert away.seen == [("HEAD", None), ("GET", None)]


@pytest.mark.parametrize(("status", "kind"), [(403, AccessError), (400, PermanentError)])
def test_other_refusals(status: int, kind: type[Exception]) -> None:
    with Busy((status, "")) as busy, pytest.raises(kind, match=f"status {status}"):
        Registry(busy.host).digest("a/b", "1")
