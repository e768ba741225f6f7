"""Lambda's own faults: an invocation killed at its timeout, and a Runtime API that goes away."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bridge.targets import JobState
from tests.conformance.places import Place
from tests.conformance.suite import running
from tests.lambda_runtime.runtime_api import PATIENCE, Function


@pytest.fixture
def place(all_places: Mapping[str, Place]) -> Place:
    found: Place = all_places["lambda"]
    return found


def test_a_kill_at_the_timeout_takes_grandchildren_too(place: Place) -> None:
    """With nothing kept back, Lambda itself kills the environment."""
    mark = secrets.token_hex(8)
    script = (
        "trap '' TERM\necho it began\n"
        f"setsid sh -c \"trap '' TERM; sleep 300; : {mark}\" &\nsh -c 'sleep 300; : {mark}'\n"
    )
    run = place.run(script, timeout=4.0, variables={"TIMEOUT_THRESHOLD": "0"})
    assert run.update.state is JobState.FAILED
    assert "timed out after 4.00 seconds" in run.update.reason
    assert "it began" in run.log
    assert run.outputs == {}
    assert running(mark) == []


def test_the_function_serves_again_after_a_kill(place: Place) -> None:
    script = '[ "$(basename "$INPUT_FILE_PATH")" = good ] || sleep 300\necho fine\n'
    service = place.service(script, timeout=3.0, variables={"TIMEOUT_THRESHOLD": "0"})
    assert not place.finish(service, place.job(service, "bad")).ok
    assert place.finish(service, place.job(service, "good")).ok


@pytest.fixture
def function(tmp_path: Path) -> Iterator[Function]:
    (tmp_path / "service.json").write_text('{"name": "svc"}')
    (tmp_path / "script.sh").write_text(
        f"echo $$ > {tmp_path}/pid\n[ -e {tmp_path}/quick ] || sleep 300 &\nwait\n"
    )
    files = {"BRIDGE_SERVICE_FILE": "service.json", "BRIDGE_SCRIPT_FILE": "script.sh"}
    made = Function(tmp_path, {name: str(tmp_path / file) for name, file in files.items()})
    yield made
    made.close()


def test_a_runtime_api_that_goes_away_between_invocations_ends_the_process(
    function: Function, tmp_path: Path
) -> None:
    (tmp_path / "quick").touch()
    assert function.invoke({}).ok
    function.api.close()
    assert function.process.wait(PATIENCE) == 1
    assert "Runtime API" in function.text()
    assert function.temporary == []


def test_a_runtime_api_that_goes_away_meanwhile_leaves_nothing(
    function: Function, tmp_path: Path
) -> None:
    function.api.send({}, timeout=4.0)
    limit = time.monotonic() + PATIENCE
    while not (tmp_path / "pid").exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    function.api.close()
    assert function.process.wait(PATIENCE) == 1
    assert "Runtime API" in function.text()
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
    assert function.temporary == []
