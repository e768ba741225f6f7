"""Faults that only containers have: images that are not there or lack a shell, and full disks."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import PermanentError
from bridge.local.executors import Exit, Task, choose, engine_available
from bridge.runtime import cached
from bridge.targets import JobState
from tests.conformance.places import NAMES, Place, places

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(engine_available() is not None, reason="no container engine answers"),
]

BARE = "oscar-bridge/bare:local"


@pytest.fixture(scope="module")
def all_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Place]]:
    with places("container", tmp_path_factory.mktemp("places")) as found:
        yield found


@pytest.fixture(params=NAMES)
def place(request: pytest.FixtureRequest, all_places: Mapping[str, Place]) -> Place:
    found: Place = all_places[request.param]
    return found


@pytest.fixture(scope="module")
def bare_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image of empty folders, where things are mounted: no shell, no program at all."""
    root = tmp_path_factory.mktemp("bare")
    for name in ("dev", "etc", "opt/bridge", "proc", "sys", "tmp"):
        (root / name).mkdir(parents=True)
    for name in ("hosts", "hostname", "resolv.conf"):
        (root / "etc" / name).touch()
    packed = subprocess.run(["tar", "-C", root, "-c", "."], check=True, capture_output=True)
    command = ["docker", "import", "-", BARE]
    subprocess.run(command, input=packed.stdout, check=True, capture_output=True)
    yield BARE
    subprocess.run(["docker", "rmi", "--force", BARE], check=False, capture_output=True)


def test_an_image_that_is_not_there_is_named(place: Place) -> None:
    """At the deployment or, where the place finds out later, in the job's reason."""
    missing = "oscar-bridge/no-such-image:local"
    try:
        service = place.service("true\n", image=missing)
    except PermanentError as error:
        assert missing in str(error)
        return
    run = None
    try:
        run = place.finish(service, place.job(service))
    except PermanentError as error:
        assert missing in str(error)
        return
    assert run.update.state is JobState.FAILED
    assert not run.update.temporary
    assert missing in run.update.reason, run.update


def test_an_image_without_a_shell_says_so(place: Place, bare_image: str) -> None:
    run = place.run("echo hello\n", image=bare_image)
    assert run.update.state is JobState.FAILED
    assert "/bin/sh" in run.update.reason, run.update
    assert not run.update.temporary


def job(tmp_path: Path, script: str, data: str, size: str, **more: Any) -> tuple[int, str, Any]:
    """Run the Batch entry with a small /tmp: its status, what it printed, its report."""
    work = tmp_path / "job"
    (work / "store" / "b").mkdir(parents=True)
    provider = {"folder": {"default": {"root": "/job/store"}}}
    output = [{"storage_provider": "folder.default", "path": "b/out"}]
    service = {"name": "s", "output": output, "storage_providers": provider} | more
    (work / "service.json").write_text(json.dumps(service))
    (work / "script.sh").write_text(script)
    (work / "event.json").write_text(json.dumps({"event": data, "job_id": "job-1"}))
    variables = {
        "BRIDGE_SERVICE_FILE": "/job/service.json",
        "BRIDGE_SCRIPT_FILE": "/job/script.sh",
        "BRIDGE_EVENT_FILE": "/job/event.json",
        "BRIDGE_REPORT": "/job/report.json",
    }
    command = ["docker", "run", "--rm", "--network", "none", "--read-only"]
    command += ["--tmpfs", f"/tmp:rw,exec,size={size}", "-v", f"{work}:/job"]
    command += ["-v", f"{cached()}:/opt/bridge:ro"]
    command += [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
    command += ["--entrypoint", "/opt/bridge/bin/bridge-batch", "oscar-bridge/busybox:local"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    report = work / "report.json"
    return done.returncode, done.stdout, json.loads(report.read_text())


def test_a_full_disk_under_the_outputs_is_the_scripts_failure(tmp_path: Path) -> None:
    script = (
        'echo small > "$TMP_OUTPUT_DIR/a"\ndd if=/dev/zero of="$TMP_OUTPUT_DIR/b" bs=1M count=9'
    )
    status, log, report = job(tmp_path, script, "x", "4m")
    assert status == 1
    assert "No space left on device" in log
    assert (report["state"], report["exit_code"]) == ("failed", 1)
    assert not (tmp_path / "job" / "store" / "b" / "out").exists()


def test_a_full_disk_that_the_script_does_not_mind(tmp_path: Path) -> None:
    """The report, written last, needs no room."""
    script = "dd if=/dev/zero of=/tmp/big bs=1M count=9 2>/dev/null; exit 0\n"
    status, _, report = job(tmp_path, script, "x", "4m")
    assert (status, report["state"]) == (0, "succeeded")


def test_an_input_that_does_not_fit_is_said(tmp_path: Path) -> None:
    status, log, report = job(tmp_path, "echo ran\n", "not base64! " * 500_000, "4m")
    assert status == 125
    assert "No space left on device" in log
    assert report["state"] == "failed"
    assert "No space left on device" in report["reason"]
    assert "\nran\n" not in log


def test_no_room_for_anything_at_all(tmp_path: Path) -> None:
    status, log, report = job(tmp_path, "echo ran\n", "x", "0")
    assert status in (0, 125)  # a size of 0 is no limit on some kernels
    status, log, report = job(tmp_path / "again", "echo ran\n", "x", "4k")
    assert status in (125, 127)
    assert "No space left on device" in log
    assert report["state"] == "failed"


def test_a_container_that_ends_before_its_limit_is_set_has_simply_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_late(pid: int) -> None:
        while Path(f"/proc/{pid}").exists():
            pass

    monkeypatch.setattr("bridge.local.executors._docker.memory_file", too_late)
    executor = choose("container", "s" + os.urandom(4).hex())
    task = Task(
        "short",
        image="oscar-bridge/busybox:local",
        argv=("/bin/sleep", "0.2"),
        memory=64 << 20,
        scratch={"/tmp": 1 << 20},
    )
    try:
        assert executor.start(task, print).wait(60) == Exit(0)
    finally:
        executor.close()
