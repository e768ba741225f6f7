"""The runtime folder in images that have nothing that it could lean on."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge import __version__
from tests.engines.conftest import Engine
from tests.lambda_runtime.runtime_api import RuntimeApi

pytestmark = pytest.mark.docker

BIN = "/opt/bridge/bin"


def mount(folder: Path) -> list[str]:
    return ["-v", f"{folder}:/opt/bridge:ro"]


@pytest.mark.parametrize("name", ["python", "busybox", "musl"])
@pytest.mark.parametrize(
    "entry", ["bridge-supervisor", "bridge-lambda", "bridge-batch", "bridge-http"]
)
def test_it_starts_in_any_image(
    engine: Engine, image: Callable[[str], str], runtime_folder: Path, name: str, entry: str
) -> None:
    done = engine.run(image(name), [f"{BIN}/{entry}", "--version"], *mount(runtime_folder))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{entry} {__version__} (runtime ")


def test_it_starts_where_the_image_has_an_entrypoint_and_a_user(
    engine: Engine, image: Callable[[str], str], runtime_folder: Path
) -> None:
    options = [*mount(runtime_folder), "--entrypoint", f"{BIN}/bridge-supervisor"]
    done = engine.run(image("entrypoint"), ["--version"], *options)
    assert done.returncode == 0, done.stderr
    assert engine.run(image("entrypoint"), ["--version"]).returncode == 64  # its own refuses


def test_it_starts_on_a_read_only_root(
    engine: Engine, image: Callable[[str], str], runtime_folder: Path
) -> None:
    options = [*mount(runtime_folder), "--read-only", "--tmpfs", "/tmp"]
    command = [f"{BIN}/bridge-supervisor", "--version"]
    assert engine.run(image("busybox"), command, *options).returncode == 0


def test_variables_of_a_hostile_image_do_no_harm(
    engine: Engine, image: Callable[[str], str], runtime_folder: Path
) -> None:
    names = ["PYTHONHOME=/nowhere", "PYTHONPATH=/nowhere", "LD_LIBRARY_PATH=/lib"]
    names += ["LD_PRELOAD=/lib/ld-musl-x86_64.so.1"]
    options = [*mount(runtime_folder), *(word for name in names for word in ("-e", name))]
    done = engine.run(image("musl"), [f"{BIN}/bridge-supervisor", "--version"], *options)
    assert (done.returncode, done.stderr) == (0, "")


SCRIPT = """#!/bin/sh
tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/loud.txt"
env | sort > "$TMP_OUTPUT_DIR/environment.txt"
echo ran as $(id -u)
"""


def job_folder(tmp_path: Path) -> Path:
    """A folder store that any user may write to, and a service whose output is in it."""
    work = tmp_path / "job"
    (work / "store" / "photos").mkdir(parents=True)
    for folder in (work, work / "store", work / "store" / "photos"):
        folder.chmod(0o777)
    provider = {"folder": {"default": {"root": "/job/store"}}}
    service = {
        "name": "shout",
        "output": [{"storage_provider": "folder.default", "path": "photos/out"}],
        "storage_providers": provider,
    }
    (work / "service.json").write_text(json.dumps(service))
    (work / "script.sh").write_text(SCRIPT)
    return work


EVENT = {"event": "quiet\n", "job_id": "shout-1", "attempt": 1}


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("busybox", []),
        ("entrypoint", []),
        ("busybox", ["--read-only", "--tmpfs", "/tmp"]),
    ],
    ids=["busybox", "entrypoint-and-user", "read-only"],
)
@pytest.mark.parametrize("entry", ["bridge-supervisor", "bridge-batch"])
def test_a_job_runs(  # noqa: PLR0917
    engine: Engine,
    image: Callable[[str], str],
    runtime_folder: Path,
    tmp_path: Path,
    name: str,
    more: list[str],
    entry: str,
) -> None:
    work = job_folder(tmp_path)
    environment = {
        "BRIDGE_SERVICE_FILE": "/job/service.json",
        "BRIDGE_SCRIPT_FILE": "/job/script.sh",
        "BRIDGE_REPORT": "/job/report.json",
        "EVENT": json.dumps(EVENT),
        "MINE": "a  b*",
    }
    options = [*mount(runtime_folder), "-v", f"{work}:/job", *more]
    options += [word for k, v in environment.items() for word in ("-e", f"{k}={v}")]
    done = engine.run(image(name), [], *options, "--entrypoint", f"{BIN}/{entry}")
    assert done.returncode == 0, done.stdout + done.stderr
    out = work / "store" / "photos" / "out"
    assert (out / "loud.txt").read_text() == "QUIET\n"
    report = json.loads((work / "report.json").read_text())
    assert (report["job"], report["state"], report["exit_code"]) == ("shout-1", "succeeded", 0)
    seen = dict(
        line.split("=", 1)
        for line in (out / "environment.txt").read_text().splitlines()
        if "=" in line
    )
    assert seen["MINE"] == "a  b*"
    assert seen["PATH"] == "/bin"
    assert not {"LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "SSL_CERT_FILE"} & seen.keys()


def test_lambda_invocations_in_a_busybox_image(
    engine: Engine, image: Callable[[str], str], runtime_folder: Path, tmp_path: Path
) -> None:
    """As on Lambda: only /tmp can be written, and what was in it is gone at the next invocation."""
    work = job_folder(tmp_path)
    (work / "script.sh").write_text("ls /tmp; touch /tmp/left; exec cat $INPUT_FILE_PATH")
    environment = {
        "BRIDGE_SERVICE_FILE": "/job/service.json",
        "BRIDGE_SCRIPT_FILE": "/job/script.sh",
    }
    api = RuntimeApi()
    environment["AWS_LAMBDA_RUNTIME_API"] = api.address
    options = ["-v", f"{work}:/job:ro", "--read-only", "--tmpfs", "/tmp", "--network", "host"]
    options += [word for k, v in environment.items() for word in ("-e", f"{k}={v}")]
    command = [engine.command, "run", "--rm", "-i", *mount(runtime_folder), *options]
    process = subprocess.Popen([*command, image("busybox"), f"{BIN}/bridge-lambda"])
    try:
        for text in ("first!", "second!"):
            answer = api.invoke({"event": text, "job_id": "j"})
            assert answer.ok, answer.body
            seen = base64.b64decode(answer.value["body"]).decode().split()
            assert [word for word in seen if not word.startswith("bridge-")] == [text]
    finally:
        api.close()
        assert process.wait(60) == 1
