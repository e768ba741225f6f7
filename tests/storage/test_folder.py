"""The folder store on a real file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import NotFoundError, PermanentError, UnsafePathError
from bridge.storage import Store, open_store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "bucket").mkdir(parents=True)
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> Store:
    return open_store("folder.here", {"root": str(root)}, {})


@pytest.mark.parametrize(
    "key", ["a.txt", "in/two words+%20.txt", "in/ñ 日本.txt", ".hidden", "a/b/c/...", "in/a\nb"]
)
def test_round_trip(store: Store, root: Path, tmp_path: Path, key: str) -> None:
    (tmp_path / "source").write_bytes(key.encode())

    put = store.put("bucket", key, tmp_path / "source", metadata={"job": "j"})

    assert (root / "bucket" / key).read_bytes() == key.encode()
    assert list(store.list("bucket")) == [put] == [store.head("bucket", key)]
    assert store.get("bucket", key, tmp_path / "back") == put
    assert (tmp_path / "back").read_bytes() == key.encode()
    store.delete("bucket", key)
    store.delete("bucket", key)
    assert list(store.list("bucket")) == []


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd", "a//b", "a/", "./a", "a\0b"])
def test_keys_that_are_no_paths_are_refused(store: Store, tmp_path: Path, key: str) -> None:
    (tmp_path / "source").write_bytes(b"x")
    for act in (
        lambda: store.put("bucket", key, tmp_path / "source"),
        lambda: store.get("bucket", key, tmp_path / "back"),
        lambda: store.head("bucket", key),
        lambda: store.delete("bucket", key),
    ):
        with pytest.raises(UnsafePathError):
            act()


@pytest.mark.parametrize("bucket", ["", "..", ".bridge-tmp", "bucket/a", "/"])
def test_buckets_are_sub_folders(store: Store, bucket: str) -> None:
    with pytest.raises(UnsafePathError):
        list(store.list(bucket))


def test_symbolic_links_lead_nowhere(store: Store, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (root / "bucket" / "link").symlink_to(tmp_path / "outside")
    (root / "bucket" / "file").symlink_to(tmp_path / "outside" / "secret")
    (tmp_path / "x").write_text("x")

    for key in ("link/secret", "file"):
        with pytest.raises(UnsafePathError):
            store.get("bucket", key, tmp_path / "back")
    with pytest.raises(UnsafePathError):
        store.put("bucket", "link/new", tmp_path / "x")
    assert list(store.list("bucket")) == []
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["secret"]


def test_order_prefix_and_start(store: Store, root: Path) -> None:
    keys = ["a.txt", "a/b", "a/c/d", "a0", "b/x", "b/y"]
    for key in keys:
        (root / "bucket" / key).parent.mkdir(parents=True, exist_ok=True)
        (root / "bucket" / key).touch()
    (root / "bucket" / "empty").mkdir()

    assert [info.key for info in store.list("bucket")] == sorted(keys)
    assert [info.key for info in store.list("bucket", "a/")] == ["a/b", "a/c/d"]
    assert [info.key for info in store.list("bucket", "a")] == sorted(keys)[:4]
    for start in keys:
        expected = [key for key in sorted(keys) if key > start]
        assert [info.key for info in store.list("bucket", start_after=start)] == expected


def test_what_is_missing(store: Store, root: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(NotFoundError):
        store.get("bucket", "gone", tmp_path / "back")
    with pytest.raises(NotFoundError):
        store.head("bucket", "gone")
    with pytest.raises(NotFoundError, match="bucket nope"):
        store.put("nope", "k", tmp_path / "x")
    with pytest.raises(NotFoundError):
        list(store.list("nope"))
    with pytest.raises(PermanentError, match="cannot read"):
        store.put("bucket", "k", tmp_path / "no-source")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["x"]
    assert list((root / ".bridge-tmp").iterdir()) == []


def test_a_key_under_a_file_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    store.put("bucket", "a", tmp_path / "x")
    with pytest.raises(PermanentError, match="bucket/a/b"):
        store.put("bucket", "a/b", tmp_path / "x")
    assert store.head("bucket", "a").size == 1


def test_a_new_version_replaces_the_old_at_once(store: Store, root: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("one")
    first = store.put("bucket", "k", tmp_path / "x")
    inode = (root / "bucket" / "k").stat().st_ino
    (tmp_path / "x").write_text("three")
    second = store.put("bucket", "k", tmp_path / "x")

    assert (root / "bucket" / "k").stat().st_ino != inode
    assert first.etag != second.etag
    assert [path.name for path in (root / "bucket").iterdir()] == ["k"]
