"""The S3 store against real servers: a MinIO gateway for everything, moto for keys it refuses."""

from __future__ import annotations

import hashlib
import io
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from bridge.errors import (
    AccessError,
    NotFoundError,
    PermanentError,
    StorageUnavailable,
)
from bridge.secret import Secret
from bridge.storage import Store, open_store
from bridge.storage._keys import is_plain
from tests.servers import ObjectStore, free_port

# Keys that every S3 service takes; the second list needs one that keeps keys byte for byte.
USUAL = [
    "plain.txt",
    "in/two words.txt",
    "in/a+b.txt",
    "in/a%20b.txt",
    "in/100%.txt",
    "in/a%2Fb",
    "in/ñandú 日本語 🎉.txt",
    "in/e\u0301.txt",
    ".hidden",
    "..hidden",
    "in/...",
    "trailing.",
    "in/#&=;?*[x]'\"<>.xml",
    "in/~a!$()",
    "in/back\\slash",
    "in/ lead",
    "in/trail ",
    "in/a\tb",
    "in/no\u00a0break",
]
UNUSUAL = ["a//b", "/lead", "in/./x", "in/../x", "folder/", "//"]


def minio_store(server: ObjectStore, **settings: str) -> Store:
    return open_store("minio.test", server.settings | settings, server.secrets)


@pytest.fixture(scope="module")
def exact_server() -> Iterator[str]:
    """An S3 server that keeps any key, however odd."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.mark.parametrize("key", USUAL)
def test_keys_come_and_go_unchanged(object_store: ObjectStore, tmp_path: Path, key: str) -> None:
    bucket, store = object_store.make_bucket(), minio_store(object_store)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(key.encode())

    info = store.put(bucket, key, source)

    seen = list(object_store.client().list_objects(bucket, recursive=True))
    assert [entry.object_name for entry in seen] == [key]
    assert store.get(bucket, key, target) == store.head(bucket, key)
    assert target.read_bytes() == key.encode()
    assert [listed.key for listed in store.list(bucket)] == [key]
    assert (info.key, info.size, info.etag) == (
        key,
        len(key.encode()),
        hashlib.md5(key.encode()).hexdigest(),
    )
    store.delete(bucket, key)
    assert list(store.list(bucket)) == []


@pytest.mark.parametrize("key", [*USUAL, *UNUSUAL])
def test_odd_keys_are_exact_too(exact_server: str, tmp_path: Path, key: str) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=exact_server,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    bucket = f"b{hashlib.md5(key.encode()).hexdigest()}"
    client.create_bucket(Bucket=bucket)
    keys = {"access_key": "a", "secret_key": "b"}
    store = open_store("s3.other", {"endpoint": exact_server}, keys)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"content")

    store.put(bucket, key, source)

    assert [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    assert store.get(bucket, key, target).size == 7
    assert target.read_bytes() == b"content"
    assert [info.key for info in store.list(bucket)] == ([] if key.endswith("/") else [key])
    store.delete(bucket, key)
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("bucket", ["", "a/b", "../x"])
def test_a_bucket_is_one_name(object_store: ObjectStore, tmp_path: Path, bucket: str) -> None:
    store = minio_store(object_store)
    for key in ("k", "odd\tk"):
        with pytest.raises(PermanentError, match="no name of a bucket"):
            store.get(bucket, key, tmp_path / "x")
    with pytest.raises(PermanentError, match="no name of a bucket"):
        list(store.list(bucket))


def test_which_keys_the_native_client_carries() -> None:
    assert all(is_plain(key) for key in USUAL if key.isprintable())
    assert not any(is_plain(key) for key in [*UNUSUAL, "", "in/a\tb", "in/\x7f", "a/.", ".."])


def test_a_large_file_goes_in_parts_and_comes_back_whole(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    bucket, store = object_store.make_bucket(), minio_store(object_store)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(256)) * (4096 * 20))  # 20 MiB

    put = store.put(bucket, "big.bin", source)
    got = store.get(bucket, "big.bin", target)

    assert "-" in put.etag
    assert (put.size, put.etag) == (got.size, got.etag)
    assert target.read_bytes() == source.read_bytes()


def test_empty_file_and_metadata(object_store: ObjectStore, tmp_path: Path) -> None:
    bucket, store = object_store.make_bucket(), minio_store(object_store)
    (tmp_path / "empty").touch()

    for key in ("empty", "odd\tempty"):
        store.put(bucket, key, tmp_path / "empty", metadata={"job": "j-1"})
        assert store.get(bucket, key, tmp_path / "back").size == 0
        assert (tmp_path / "back").read_bytes() == b""
        facts = object_store.client().stat_object(bucket, key)
        assert facts.metadata is not None
        assert facts.metadata["x-amz-meta-job"] == "j-1"


def test_list_is_in_order_and_by_characters_not_segments(object_store: ObjectStore) -> None:
    bucket, store = object_store.make_bucket(), minio_store(object_store)
    keys = sorted(["in/a.txt", "in/ab.txt", "in/b c+d%.txt", "inner/x", "out/y"])
    client = object_store.client()
    for key in [*keys, "in/folder/"]:
        client.put_object(bucket, key, io.BytesIO(b""), 0)

    assert [info.key for info in store.list(bucket)] == keys
    assert [info.key for info in store.list(bucket, "in/a")] == ["in/a.txt", "in/ab.txt"]
    assert [info.key for info in store.list(bucket, "in")] == [k for k in keys if k[:2] == "in"]
    assert [info.key for info in store.list(bucket, "in/", start_after="in/ab.txt")] == [
        "in/b c+d%.txt"
    ]


def test_list_reads_every_page(object_store: ObjectStore, tmp_path: Path) -> None:
    bucket, store = object_store.make_bucket(), minio_store(object_store)
    client = object_store.client()
    names = [f"n/{i:04}" for i in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: client.put_object(bucket, name, io.BytesIO(b"x"), 1), names))

    assert [info.key for info in store.list(bucket, "n/")] == names


def test_what_is_missing_is_named(object_store: ObjectStore, tmp_path: Path) -> None:
    bucket, store = object_store.make_bucket(), minio_store(object_store)
    (tmp_path / "x").write_bytes(b"x")

    with pytest.raises(NotFoundError, match=rf"{bucket}/gone.*object does not exist"):
        store.get(bucket, "gone", tmp_path / "target")
    with pytest.raises(NotFoundError, match=r"no-bucket/k.*the bucket does not exist"):
        store.get("no-bucket", "k", tmp_path / "target")
    with pytest.raises(NotFoundError, match="the bucket does not exist"):
        store.put("no-bucket", "k", tmp_path / "x")
    with pytest.raises(NotFoundError):
        store.head(bucket, "gone")
    with pytest.raises(NotFoundError):
        list(store.list("no-bucket"))
    store.delete(bucket, "gone")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]


@pytest.mark.parametrize("key", ["k", "odd\tk"])
def test_wrong_credentials_are_said_without_showing_them(
    object_store: ObjectStore, tmp_path: Path, key: str
) -> None:
    bucket = object_store.make_bucket()
    for wrong in (
        {"access_key": object_store.access_key, "secret_key": "not-the-secret"},
        {"access_key": "nobody-known", "secret_key": object_store.secret_key},
    ):
        store = open_store("minio.test", object_store.settings, wrong)
        with pytest.raises(AccessError, match=f"{bucket}/k|{bucket}/odd") as caught:
            store.get(bucket, key, tmp_path / "target")
        text = f"{caught.value} {caught.value.hint}"
        assert "not-the-secret" not in text
        assert object_store.secret_key not in text
        assert "nobody-known" not in text


def test_another_environment_does_not_leak_into_a_provider(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = object_store.make_bucket()
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "other",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_SESSION_TOKEN": "other",
        "AWS_SKIP_SIGNATURE": "true",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "x").write_bytes(b"x")

    assert minio_store(object_store).put(bucket, "k", tmp_path / "x").size == 1


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_s3_without_settings_uses_the_environment(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    bucket = object_store.make_bucket()
    monkeypatch.setenv(variable, object_store.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", object_store.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", object_store.secret_key)
    (tmp_path / "x").write_bytes(b"x")
    store = open_store("s3", {}, {})

    store.put(bucket, "in/k", tmp_path / "x")

    assert [info.key for info in store.list(bucket)] == ["in/k"]


def test_a_profile_serves_where_boto3_is_installed(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = object_store.make_bucket()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "keys").write_text(
        f"[work]\naws_access_key_id={object_store.access_key}\n"
        f"aws_secret_access_key={object_store.secret_key}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("AWS_PROFILE", "work")

    store = open_store("s3.default", {"endpoint": object_store.endpoint}, {})

    assert store.put(bucket, "k", tmp_path / "keys").size > 0


def test_container_credentials_are_fetched_for_listings(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bucket = object_store.make_bucket()
    answer = (
        f'{{"AccessKeyId":"{object_store.access_key}","Token":"",'
        f'"SecretAccessKey":"{object_store.secret_key}",'
        '"Expiration":"2099-01-01T00:00:00Z"}'
    )

    class Credentials(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = self.headers.get("Authorization") == "let-me"
            self.send_response(200 if allowed else 403)
            self.end_headers()
            self.wfile.write(answer.encode() if allowed else b"")

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Credentials)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setenv(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{server.server_port}/keys"
    )
    (tmp_path / "token").write_text("let-me")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    store = open_store("s3.default", {"endpoint": object_store.endpoint}, {})
    try:
        assert store.put(bucket, "k", tmp_path / "token").size == 6
        assert [info.key for info in store.list(bucket)] == ["k"]
        # The native client cannot bear a line end in this file; that must not end the process.
        (tmp_path / "token").write_text("let-me\n")
        store = open_store("s3.other", {"endpoint": object_store.endpoint}, {})
        with pytest.raises(PermanentError, match="native client failed"):
            store.head(bucket, "k")
        assert [info.key for info in store.list(bucket)] == ["k"]
    finally:
        server.shutdown()
        server.server_close()


class _Faulty(BaseHTTPRequestHandler):
    """Answers each GET with the next of `script`; then 404."""

    script: list[str]
    body = b"0123456789"

    def do_GET(self) -> None:
        step = self.script.pop(0) if self.script else "404"
        content = b"damaged!!!" if step == "damaged" else self.body
        self.send_response({"503": 503, "404": 404}.get(step, 200))
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.md5(self.body).hexdigest()}"')
        self.send_header("Last-Modified", "Sun, 22 Nov 2026 19:17:36 GMT")
        if step == "kms":
            self.send_header("x-amz-server-side-encryption", "aws:kms")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def faulty() -> Iterator[tuple[list[str], Store]]:
    script: list[str] = []
    handler = type("Faulty", (_Faulty,), {"script": script})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    keys = {"access_key": "a", "secret_key": Secret("b")}
    yield (
        script,
        open_store("minio.bad", {"endpoint": f"http://127.0.0.1:{server.server_port}"}, keys),
    )
    server.shutdown()
    server.server_close()


def test_a_busy_service_is_tried_again(faulty: tuple[list[str], Store], tmp_path: Path) -> None:
    script, store = faulty
    for key in ("k", "odd\tk"):
        script[:] = ["503", "503", "ok"]
        assert store.get("b", key, tmp_path / "target").size == 10


def test_damage_on_the_way_is_seen(faulty: tuple[list[str], Store], tmp_path: Path) -> None:
    script, store = faulty
    script[:] = ["damaged", "ok", "ok"]  # the second is the HEAD that asks how it is encrypted
    store.get("b", "k", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == _Faulty.body

    script[:] = ["damaged", "ok"] * 4
    with pytest.raises(StorageUnavailable, match=r"b/k.*not what is stored"):
        store.get("b", "k", tmp_path / "never")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_an_etag_of_the_key_service_is_no_digest(
    faulty: tuple[list[str], Store], tmp_path: Path
) -> None:
    script, store = faulty
    script[:] = ["damaged", "kms"]
    assert store.get("b", "k", tmp_path / "target").size == 10


def test_nobody_there(tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    store = open_store("minio.off", {"endpoint": endpoint}, {"access_key": "a", "secret_key": "b"})
    with pytest.raises(StorageUnavailable, match=r"read b/k in minio\.off: nobody listens"):
        store.get("b", "k", tmp_path / "target")


def test_many_threads_share_one_store(object_store: ObjectStore, tmp_path: Path) -> None:
    bucket, store = object_store.make_bucket(), minio_store(object_store)

    def round_trip(number: int) -> bytes:
        source = tmp_path / f"s{number}"
        source.write_bytes(str(number).encode() * 100)
        store.put(bucket, f"k{number}", source)
        store.get(bucket, f"k{number}", tmp_path / f"t{number}")
        return (tmp_path / f"t{number}").read_bytes()

    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(round_trip, range(40)))
    assert contents == [str(number).encode() * 100 for number in range(40)]


def test_an_unwritable_target_is_not_the_stores_fault(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    bucket, store = object_store.make_bucket(), minio_store(object_store)
    object_store.client().put_object(bucket, "k", io.BytesIO(b"x"), 1)
    with pytest.raises(PermanentError, match=r"cannot write .*nowhere"):
        store.get(bucket, "k", tmp_path / "nowhere" / "target")
