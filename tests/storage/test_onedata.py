"""The Onedata store, against a stand-in for a Oneprovider's REST interface.

No Oneprovider can be had here: what this one answers follows what `onedatafilerestclient` 25.2.0,
Onedata's own client, asks and expects.
"""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import AccessError, NotFoundError, PermanentError, UnsafePathError
from bridge.secret import Secret
from bridge.storage import Store, open_store

TOKEN = "MDAzM2xvY2F0aW9u"
SECRETS = {"token": Secret(TOKEN)}


@dataclass
class Space:
    """Files by path, folders with None; a path's place in the order of its making is its id."""

    files: dict[str, bytes | None] = field(default_factory=lambda: {"space": None})

    def id_of(self, path: str) -> str:
        return f"id{list(self.files).index(path)}"

    def path_of(self, number: str) -> str:
        return list(self.files)[int(number.removeprefix("id"))]

    def make(self, path: str) -> None:
        parts = path.split("/")
        for count in range(2, len(parts)):
            self.files.setdefault("/".join(parts[:count]), None)
        self.files.setdefault(path, b"")

    def attributes(self, path: str) -> dict[str, Any]:
        data = self.files[path]
        name, size = path.rpartition("/")[2], None if data is None else len(data)
        kind = "DIR" if data is None else "REG"
        known = {"name": name, "type": kind, "size": size, "mtime": 1_767_225_600}
        return {"fileId": self.id_of(path), **known}

    def children(self, path: str) -> list[str]:
        return [one for one in self.files if one.rpartition("/")[0] == path]


class _Oneprovider(BaseHTTPRequestHandler):
    space: Space
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        path = urllib.parse.unquote(url.path).removeprefix("/api/v3/oneprovider/")
        status, said = 401, json.dumps({"error": {"id": "unauthorized"}}).encode()
        if self.headers.get("X-Auth-Token") == TOKEN:
            try:
                status, said = 200, self.done(path, query, body)
            except (KeyError, ValueError, IndexError):
                status, said = 404, json.dumps({"error": {"id": "posix"}}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def done(self, path: str, query: dict[str, str], body: bytes) -> bytes:
        space, (what, _, rest) = self.space, path.partition("/")
        if what == "lookup-file-id":
            assert self.command == "POST"
            return json.dumps({"fileId": space.id_of(rest)}).encode()
        number, _, part = rest.partition("/")
        place = space.path_of(number)
        if part.startswith("path/"):
            assert query == {"type": "REG", "create_parents": "true"}
            made = f"{place}/{part.removeprefix('path/')}"
            space.make(made)
            return json.dumps({"fileId": space.id_of(made)}).encode()
        if part == "content":
            if self.command == "PUT":
                space.files[place] = body
            return space.files[place] or b""
        if part == "children":
            return self.page(space, place, query, json.loads(body)["attributes"])
        if self.command == "DELETE":
            # Its place stays, so that the others keep theirs.
            space.files = {
                (f"gone{number}" if k == place else k): v for k, v in space.files.items()
            }
            return b""
        wanted = json.loads(body)["attributes"]
        return json.dumps({k: space.attributes(place)[k] for k in wanted}).encode()

    @staticmethod
    def page(space: Space, place: str, query: dict[str, str], wanted: list[str]) -> bytes:
        """Two names at a time, whatever is asked for: a Oneprovider may give fewer, too."""
        found, start = space.children(place), int(query.get("token", "0"))
        some = [space.attributes(one) for one in found[start : start + 2]]
        last = start + 2 >= len(found)
        token = {} if last else {"nextPageToken": str(start + 2)}
        chosen = [{k: one[k] for k in wanted} for one in some]
        return json.dumps({"children": chosen, "isLast": last, **token}).encode()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host() -> Iterator[str]:
    handler = type("Handler", (_Oneprovider,), {"space": Space()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def opened(host: str, **secrets: Any) -> Store:
    return open_store("onedata.lab", {"oneprovider_host": host, "space": "space"}, secrets)


def test_round_trip(host: str, tmp_path: Path) -> None:
    store, source = opened(host, **SECRETS), tmp_path / "source"
    source.write_bytes(b"some words")
    keys = ["in/a", "in/a-b", "in/b/c", "in/ñ 日+%?#.txt", "inn/x", "z"]
    for key in keys:
        put = store.put("bucket", key, source)
        assert (put.size, put.etag, put.modified) == (
            10,
            "10-1767225600",
            "2026-01-01T00:00:00Z",
        )
        assert store.get("bucket", key, tmp_path / "back") == put == store.head("bucket", key)
        assert (tmp_path / "back").read_bytes() == b"some words"
    assert [info.key for info in store.list("bucket")] == keys
    assert [info.key for info in store.list("bucket", "in/a")] == ["in/a", "in/a-b"]
    assert [info.key for info in store.list("bucket", start_after="in/b/c")] == keys[3:]
    assert list(store.list("bucket", "absent/")) == []
    source.write_bytes(b"fewer")
    assert store.put("bucket", "z", source).etag == "5-1767225600"
    store.delete("bucket", "z")
    store.delete("bucket", "z")
    for ask in (lambda: store.head("bucket", "z"), lambda: store.head("bucket", "in")):
        with pytest.raises(NotFoundError):
            ask()
    with pytest.raises(NotFoundError):
        list(store.list("absent"))


def test_what_cannot_be(host: str, tmp_path: Path) -> None:
    with pytest.raises(AccessError) as caught:
        opened(host, token="wrong-token").head("bucket", "a")
    assert "wrong-token" not in str(caught.value)
    with pytest.raises(AccessError, match="no token"):
        opened(host)
    with pytest.raises(PermanentError, match="no space"):
        open_store("onedata.lab", {"oneprovider_host": host}, SECRETS)
    with pytest.raises(PermanentError, match="no oneprovider_host"):
        open_store("onedata.lab", {"space": "space"}, SECRETS)
    for key in ("../x", "a//b", "", "/a"):
        with pytest.raises(UnsafePathError):
            opened(host, **SECRETS).get("bucket", key, tmp_path / "x")
