"""The WebDAV store against a real server (rclone's), and against what dCache does besides."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bridge.errors import AccessError, NotFoundError, PermanentError, UnsafePathError
from bridge.storage import Store, open_store

from ..servers import DavServer, webdav_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DavServer]:
    with webdav_server(tmp_path_factory.mktemp("dav")) as running:
        yield running


@pytest.fixture
def store(server: DavServer) -> Store:
    return open_store("webdav.lab", server.settings, server.secrets)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "source").write_bytes(b"some words")
    return tmp_path / "source"


@pytest.mark.parametrize("key", ["a.txt", "in/two words+%20#?.txt", "in/ñ 日本.txt", "a/b/c/d"])
def test_round_trip(store: Store, server: DavServer, file: Path, tmp_path: Path, key: str) -> None:
    put = store.put("bucket", key, file)

    assert (server.root / "bucket" / key).read_bytes() == b"some words"
    assert [put] == list(store.list("bucket")) == [store.head("bucket", key)]
    assert put.size == 10 and put.etag and put.modified.endswith("Z")
    assert store.get("bucket", key, tmp_path / "back") == put
    assert (tmp_path / "back").read_bytes() == b"some words"
    store.delete("bucket", key)
    store.delete("bucket", key)
    assert list(store.list("bucket")) == []
    with pytest.raises(NotFoundError):
        store.get("bucket", key, tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def test_listing_is_in_key_order_and_within_the_prefix(store: Store, file: Path) -> None:
    keys = ["in/a", "in/a-b", "in/a/b", "in/b/c", "inn/x", "z"]
    for key in ("in/a-b", "in/a", "in/b/c", "inn/x", "z"):
        store.put("sorted", key, file)

    assert [info.key for info in store.list("sorted")] == [k for k in keys if k != "in/a/b"]
    assert [info.key for info in store.list("sorted", "in/")] == ["in/a", "in/a-b", "in/b/c"]
    assert [info.key for info in store.list("sorted", "in/a")] == ["in/a", "in/a-b"]
    assert [i.key for i in store.list("sorted", start_after="in/a-b")] == ["in/b/c", "inn/x", "z"]
    assert list(store.list("sorted", "absent/")) == []
    with pytest.raises(NotFoundError):
        list(store.list("absent"))


def test_a_changed_file_has_another_tag(store: Store, file: Path) -> None:
    before = store.put("bucket", "tag", file)
    file.write_bytes(b"other words")
    assert store.put("bucket", "tag", file).etag != before.etag
    store.delete("bucket", "tag")


@pytest.mark.parametrize(
    "key", ["../x", "a/../../x", "/etc/passwd", "a//b", "a/", "./a", "a\0b", ""]
)
def test_keys_that_are_no_paths_are_refused(store: Store, file: Path, key: str) -> None:
    with pytest.raises(UnsafePathError):
        store.put("bucket", key, file)
    with pytest.raises(UnsafePathError):
        store.head("bucket", key)


def test_credentials(server: DavServer, file: Path) -> None:
    for wrong in ({}, {"login": "tester", "password": "wrong-word"}):
        with pytest.raises(AccessError) as caught:
            open_store("webdav.lab", server.settings, wrong).head("bucket", "a")
        assert "wrong-word" not in str(caught.value)


@pytest.mark.parametrize("hostname", ["", "ftp://host", "https://user:hunter2@host"])
def test_a_hostname_without_a_meaning(hostname: str) -> None:
    with pytest.raises(PermanentError) as caught:
        open_store("webdav.lab", {"hostname": hostname}, {})
    assert "hunter2" not in str(caught.value)


class _Door(BaseHTTPRequestHandler):
    """Says what dCache's door says: no ETag, `Location` of another machine, folders' names."""

    pool = ""
    seen: list[str | None] = []  # noqa: RUF012  one server for the module

    def do_PROPFIND(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        parts = [
            f"<d:response><d:href>{href}</d:href><d:propstat><d:prop>{kind}"
            "<d:getlastmodified>Thu, 01 Jan 2026 00:00:00 GMT</d:getlastmodified></d:prop>"
            "</d:propstat></d:response>"
            for href, kind in (
                ("http://elsewhere/b/", "<d:resourcetype><d:collection/></d:resourcetype>"),
                ("/b/f", "<d:resourcetype/><d:getcontentlength>4</d:getcontentlength>"),
                ("/b/../up", "<d:resourcetype/><d:getcontentlength>4</d:getcontentlength>"),
                ("/c/other", "<d:resourcetype/><d:getcontentlength>4</d:getcontentlength>"),
            )
            if self.headers["Depth"] == "1" or href == "/b/f"
        ]
        self._answer(207, f'<d:multistatus xmlns:d="DAV:">{"".join(parts)}</d:multistatus>')

    def do_GET(self) -> None:
        self.seen.append(self.headers["Authorization"])
        if self.path.startswith("/b/"):
            self.send_response(302)
            self.send_header("Location", f"http://{self.headers['Host']}/pool?ticket=1")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._answer(200, "four")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_that_sends_readers_on_and_has_no_tags(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Door) as door:
        threading.Thread(target=door.serve_forever, daemon=True).start()
        settings = {"hostname": f"http://127.0.0.1:{door.server_port}"}
        store = open_store("webdav.dcache", settings, {"login": "u", "password": "p"})
        (found,) = store.list("b")
        store.get("b", "f", tmp_path / "f")
        door.shutdown()

    assert (found.key, found.etag) == ("f", "4-2026-01-01T00:00:00Z")
    assert (tmp_path / "f").read_text() == "four"
    assert _Door.seen[0] and _Door.seen[1] is None, "the other machine gets no credentials of ours"
