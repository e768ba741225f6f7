"""How the folder starts on this machine: by any path, with any environment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bridge import __version__


def version(command: str | Path, **more: object) -> str:
    """What `--version` prints."""
    done = subprocess.run(
        [command, "--version"], check=False, capture_output=True, text=True, **more
    )  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@pytest.mark.parametrize(
    "entry", ["bridge-supervisor", "bridge-lambda", "bridge-batch", "bridge-http"]
)
def test_every_entry_says_its_version(folder: Path, entry: str) -> None:
    assert version(folder / "bin" / entry).startswith(f"{entry} {__version__} (runtime ")


def test_it_starts_through_links_from_any_folder_and_from_path(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").symlink_to(folder / "bin" / "bridge-supervisor")
    (tmp_path / "a" / "b" / "two").symlink_to("../one")
    (tmp_path / "bin").symlink_to(folder / "bin")
    expected = version(folder / "bin" / "bridge-supervisor")
    relative = os.path.relpath(folder / "bin" / "bridge-supervisor", tmp_path)
    assert version(tmp_path / "a" / "b" / "two") == expected
    assert version(f"./{relative}", cwd=tmp_path) == expected
    assert version("./two", cwd=tmp_path / "a" / "b") == expected
    assert version(tmp_path / "bin" / "bridge-supervisor") == expected
    by_name = ["/bin/sh", "-c", "cd /; bridge-supervisor --version"]
    path = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin"}
    assert subprocess.check_output(by_name, env=path, text=True) == expected


def test_the_variables_of_the_image_do_not_reach_the_interpreter(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the image\\'s json was loaded')")
    hostile = {
        "PYTHONPATH": str(tmp_path),
        "PYTHONHOME": str(tmp_path),
        "PYTHONSTARTUP": str(tmp_path / "json.py"),
        "LD_LIBRARY_PATH": str(tmp_path),
        "PATH": "/usr/bin:/bin",
    }
    (tmp_path / "libm.so.6").write_bytes(b"not a library")  # /bin/sh does not need it
    entry = folder / "bin" / "bridge-supervisor"
    program = ["/usr/bin/env", "-i", *(f"{k}={v}" for k, v in hostile.items()), entry, "--version"]
    done = subprocess.run(program, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_it_reads_nothing_from_the_machine_and_writes_nothing(folder: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    program = "import sys, ssl, json, obstore.store; print(sys.prefix); print(*sys.path, sep='\\n')"
    lines = inside(folder, program).splitlines()
    assert set(lines) and all(line.startswith(str(folder)) for line in lines)
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


def test_all_that_the_entries_import_is_inside(folder: Path) -> None:
    modules = "bridge.events, bridge.storage, bridge.supervisor, lambda_runtime, batch"
    assert inside(folder, f"import {modules}; print('all')") == "all\n"


def inside(folder: Path, program: str) -> str:
    """Run a Python program with the folder's interpreter, as its launcher would."""
    loader = next((folder / "lib").glob("ld-*"))
    python = next((folder / "bin").glob("python*"))
    command = [loader, "--library-path", folder / "lib", python, "-I", "-S", "-B", "-c", program]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={})
    assert done.returncode == 0, done.stderr
    return done.stdout
