"""The layer: the same folder gives the same bytes, whoever owns it and whenever it was written."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

from bridge.images._layer import compressed, write
from bridge.images.registry import digest_of
from tests.images.conftest import small_runtime


def archive(folder: Path) -> bytes:
    out = io.BytesIO()
    write(folder, out)
    return out.getvalue()


def test_time_and_umask_do_not_matter(tmp_path: Path) -> None:
    first, second = small_runtime(tmp_path / "a"), small_runtime(tmp_path / "b")
    os.utime(second / "bin" / "bridge-batch", (1, 1))
    os.utime(second / "bin", (2, 2))
    (second / "runtime.json").chmod(0o600)
    (second / "bin" / "bridge-lambda").chmod(0o700)
    assert archive(first) == archive(second)
    with compressed(first) as one, compressed(second) as two:
        assert (one.digest, one.diff_id, one.size) == (two.digest, two.diff_id, two.size)


def test_content_names_and_the_right_to_execute_matter(tmp_path: Path) -> None:
    first = archive(small_runtime(tmp_path / "a"))
    text, name, mode = (small_runtime(tmp_path / part) for part in "bcd")
    (text / "bin" / "bridge-batch").write_text("other")
    (name / "bin" / "bridge-batch").rename(name / "bin" / "batch")
    (mode / "bin" / "bridge-batch").chmod(0o644)
    assert len({first, archive(text), archive(name), archive(mode)}) == 4


def test_what_is_in_it(tmp_path: Path) -> None:
    data = archive(small_runtime(tmp_path / "a"))
    with tarfile.open(fileobj=io.BytesIO(data)) as read:
        entries = {entry.name: entry for entry in read.getmembers()}
    assert list(entries) == sorted(entries)
    assert {"opt", "opt/bridge", "opt/bridge/bin", "opt/bridge/bin/bridge-batch"} < set(entries)
    assert all(name == "opt" or name.startswith("opt/bridge") for name in entries)
    assert {(e.uid, e.gid, e.uname, e.gname, e.mtime) for e in entries.values()} == {
        (0, 0, "", "", 315532800)
    }
    assert {oct(e.mode) for e in entries.values()} == {"0o755", "0o644"}
    assert entries["opt/bridge/bin/bridge-batch"].mode == 0o755


def test_the_digests_are_of_the_file_and_of_its_content(tmp_path: Path) -> None:
    folder = small_runtime(tmp_path / "a")
    with compressed(folder) as layer:
        data = layer.path.read_bytes()
        assert (layer.size, layer.digest) == (len(data), digest_of(data))
        assert layer.diff_id == digest_of(gzip.decompress(data))
        assert gzip.decompress(data) == archive(folder)
    assert not layer.path.exists()
