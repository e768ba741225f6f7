"""The folder: the same on every build, whole or absent, readable by everybody."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bridge import runtime
from bridge.errors import MissingToolError, UsageError


def tree(folder: Path) -> dict[str, tuple[int, float, str]]:
    """Mode, time and content of everything below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        state = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(folder))] = (state.st_mode, state.st_mtime, content)
    return found


def test_two_builds_are_the_same(folder: Path, tmp_path: Path) -> None:
    # A process of its own, with another hash seed, umask and folder.
    program = (
        "import os, sys, pathlib; os.umask(0o077); from bridge import runtime;"
        "runtime.build(pathlib.Path(sys.argv[1])); print(runtime.digest())"
    )
    other = tmp_path / "deep" / "other"
    done = subprocess.run(
        [sys.executable, "-c", program, other],
        env={**os.environ, "PYTHONHASHSEED": "123"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert tree(other) == tree(folder)
    facts = json.loads((folder / "runtime.json").read_text())
    assert facts["digest"] == done.stdout.strip() == runtime.digest()


def test_content_decides_the_digest() -> None:
    assert runtime.digest(compile=False) != runtime.digest()


def test_everything_is_readable_and_no_path_of_this_machine_is_inside(folder: Path) -> None:
    home = str(Path(sys.base_prefix)).encode()
    for path in folder.rglob("*"):
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode == (0o755 if path.is_dir() or mode & 0o100 else 0o644)
        assert not path.is_symlink()
        if path.suffix in (".py", ".pyc", ".json") or path.parent.name == "bin":
            data = path.read_bytes()
            assert data.startswith(b"\x7fELF") or home not in data, path


def test_it_is_small(folder: Path) -> None:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < 60_000_000


def test_what_is_left_out(folder: Path) -> None:
    names = {path.name for path in folder.rglob("*")}
    assert names.isdisjoint({"idlelib", "tkinter", "ensurepip", "test", "tests", "pydoc.pyc"})
    assert not [name for name in names if name.endswith((".a", ".pyi"))]
    assert {"bridge-supervisor", "bridge-lambda", "bridge-batch", "bridge-http"} <= names


def test_an_existing_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(UsageError, match="not an empty folder"):
        runtime.build(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_nothing_remains_of_a_build_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.runtime._build.compile_all", _no_room)
    with pytest.raises(OSError, match="no room"):
        runtime.build(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def _no_room(units: object) -> None:
    raise OSError("no room")


def test_other_systems_get_a_clear_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(MissingToolError, match="Linux only, and this is darwin"):
        runtime.digest()


def test_cached_builds_once_also_for_two_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    program = "from bridge import runtime; print(runtime.cached())"
    both = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = {process.communicate()[0].strip() for process in both}
    assert all(process.returncode == 0 for process in both)
    folder = tmp_path / "oscar-bridge" / "runtime" / runtime.digest()
    assert answers == {str(folder)}
    before = folder.stat().st_ino
    assert runtime.cached() == folder
    assert folder.stat().st_ino == before
    assert [p.name for p in folder.parent.iterdir() if p.name.startswith(".")] == []


def test_cached_removes_folders_that_nobody_used_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    root = tmp_path / "oscar-bridge" / "runtime"
    for age in range(5):
        (root / f"old{age}").mkdir(parents=True)
        mark = root / f"old{age}.used"
        mark.touch()
        os.utime(mark, (1_000_000 - age, 1_000_000 - age))
    runtime.cached()
    left = {path.name for path in root.iterdir() if path.is_dir()}
    assert left == {runtime.digest(), "old0", "old1", "old2"} - {"old2"}
