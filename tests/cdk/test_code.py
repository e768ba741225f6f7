"""The dispatcher's code is whole: it starts with nothing but the folder and boto3."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import boto3

from cdk import code

_PROGRAM = """
import sys
import bridge, lambda_runtime.app as app
for module in (bridge, app, sys.modules["chalice"]):
    assert module.__file__.startswith(sys.argv[1]), module.__file__
assert all(map(callable, (app.app, app.events, app.states, app.reconcile)))
import lambda_runtime.dispatcher, obstore, yaml
assert obstore.__file__.startswith(sys.argv[1])
assert yaml.__file__.startswith(sys.argv[1])
"""


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_folder_is_all_that_the_dispatcher_needs(tmp_path: Path) -> None:
    code.assemble(tmp_path)
    # The managed runtime brings boto3; here it comes from the tests' own packages, last.
    site = str(Path(boto3.__file__).parents[1])
    program = f"import sys; sys.path.append({site!r})\n{_PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, str(tmp_path)],
        env={"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]},
        cwd=tmp_path.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_same_environment_makes_the_same_folder_without_waste(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    code.assemble(one)
    code.assemble(other)
    made = files(one)
    assert made == files(other)
    assert not [name for name in made if "__pycache__" in name or name.endswith(".pyc")]
    assert not [name for name in made if name.startswith(("bridge/local/", "bridge/cli/"))]
    assert not [name for name in made if name.startswith("chalice/deploy")]
    assert "bridge/fdl/data/limits.toml" in made


def test_the_runtime_is_this_interpreters() -> None:
    assert code.runtime() == "python" + ".".join(map(str, sys.version_info[:2]))
    assert code.architecture() in ("x86_64", "arm64")
