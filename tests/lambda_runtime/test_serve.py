"""The life of the process: failures, limits, warm reuse, its start and its end."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from tests.lambda_runtime.conftest import Start
from tests.lambda_runtime.runtime_api import Function


def reply(value: dict[str, object]) -> str:
    return base64.b64decode(str(value["body"])).decode()


def test_a_failing_script_is_a_failed_invocation(start: Start, outputs: Path) -> None:
    function = start('echo x > "$TMP_OUTPUT_DIR/x"; echo the reason >&2; exit 7')
    answer = function.invoke({})
    assert not answer.ok
    assert answer.kind == answer.value["errorType"] == "ScriptError"
    assert "exit status 7" in answer.value["errorMessage"]
    assert answer.value["errorMessage"].endswith("the reason")
    assert not (outputs / "out").exists()
    assert function.process.poll() is None


def test_a_script_that_kills_itself(start: Start) -> None:
    answer = start("kill -9 $$").invoke({})
    assert "SIGKILL" in answer.value["errorMessage"]


def test_a_missing_script(tmp_path: Path, start: Start) -> None:
    function = start("", environment={"BRIDGE_SCRIPT_FILE": ""})
    assert function.invoke({}).value["errorType"] == "NoScriptError"


def test_a_timeout_ends_the_whole_tree_and_the_next_invocation_runs(
    start: Start, tmp_path: Path
) -> None:
    function = start(
        f"""
        [ -e {tmp_path}/once ] && echo second && exit
        touch {tmp_path}/once
        (setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 1000' &)
        sleep 1000
        """,
        service={"output": []},
        environment={"TIMEOUT_THRESHOLD": "1"},
    )
    # In this time a busy machine starts the script, too.
    answer = function.invoke({}, timeout=6)
    assert not answer.ok
    assert answer.value["errorType"] == "ScriptTimeout"
    child = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert reply(function.invoke({}).value) == "second\n"


def test_no_time_left_is_said(start: Start) -> None:
    function = start("true", environment={"TIMEOUT_THRESHOLD": "5"})
    answer = function.invoke({}, timeout=4)
    assert answer.value["errorType"] == "ScriptTimeout"
    assert "no time left" in answer.value["errorMessage"]


LEAK = """
env | grep -c '^LEAK='
ls "$TMPDIR" "$TMP_OUTPUT_DIR" "$(dirname "$INPUT_FILE_PATH")" . | grep -c leak
echo "${CONT_VAR_who-none}"
export LEAK=1
touch "$TMPDIR/leak" "$TMP_OUTPUT_DIR/leak" ./leak
mkdir -p "$SCRATCH/leak/deep"; chmod 0 "$SCRATCH/leak"
(setsid sleep 1000 >/dev/null 2>&1 &)
ps -eo args | grep -c '^sleep 1000$'
ls "$SCRATCH"
"""


def test_an_invocation_sees_nothing_of_the_one_before(start: Start, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    (scratch / "kept").mkdir(parents=True)
    environment = {"BRIDGE_SCRATCH": str(scratch), "SCRATCH": str(scratch)}
    script = LEAK.replace("1000", "98765")
    function = start(script, service={"output": []}, environment=environment)
    request = {
        "version": "2.0",
        "requestContext": {"http": {"method": "GET"}},
        "queryStringParameters": {"who": "me"},
    }
    first = function.invoke(request)
    assert first.value["statusCode"] == 200
    second = function.invoke({"other": 1})
    # The file in the output folder is the reply; the log has the text.
    assert second.ok
    ran = [line for line in function.text().splitlines() if not line.startswith("[supervisor]")]
    assert ran[:3] == ["0", "0", "me"]
    half = len(ran) // 2
    assert ran[half : half + 3] == ["0", "0", "none"]
    assert "leak" in ran[:half] and ran[half + 3] == "1"
    assert function.process.poll() is None
    # The folders are emptied after the answer, before the next invocation is taken.
    wait_until(lambda: sorted(p.name for p in scratch.iterdir()) == ["kept"])
    assert function.temporary == []
    assert running("sleep 98765") == []


def wait_until(check: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not check():
        assert time.monotonic() < limit
        time.sleep(0.02)


def running(command: str) -> list[str]:
    """Ids of the processes with this command line."""
    found = []
    for place in Path("/proc").iterdir():
        try:
            text = (place / "cmdline").read_bytes().replace(b"\0", b" ").strip().decode()
        except OSError:
            continue
        if text == command:
            found.append(place.name)
    return found


def test_the_script_cannot_reach_the_runtime_api_and_sees_the_roles_credentials(
    start: Start,
) -> None:
    function = start(
        "env", service={"output": []}, environment={"AWS_SESSION_TOKEN": "of-the-role"}
    )
    lines = reply(function.invoke({}).value).splitlines()
    assert not [line for line in lines if line.startswith(("AWS_LAMBDA_RUNTIME_API", "BRIDGE_"))]
    assert "AWS_SESSION_TOKEN=of-the-role" in lines
    assert "AWS_LAMBDA_FUNCTION_NAME=f" in lines


def test_a_response_above_the_limit_is_a_clear_error(start: Start) -> None:
    script = 'head -c $(cat "$INPUT_FILE_PATH") /dev/zero > "$TMP_OUTPUT_DIR/big"'
    function = start(script, service={"output": []})
    for size in (5_000_000, 20_000_000):
        answer = function.invoke(size)
        assert not answer.ok
        assert answer.value["errorType"] == "ResponseTooLarge"
        assert "6291556" in answer.value["errorMessage"] or "limit" in answer.value["errorMessage"]
    assert function.invoke(1000).ok


def test_a_response_that_the_runtime_api_refuses(start: Start) -> None:
    function = start(
        'head -c 5000 /dev/zero > "$TMP_OUTPUT_DIR/f"', service={"output": []}, largest=999
    )
    answer = function.invoke({})
    assert answer.value["errorType"] == "ResponseTooLarge"


def test_a_payload_that_is_not_json(start: Start) -> None:
    assert start("true").invoke(b"{").value["errorType"] == "EventError"


def test_a_service_that_cannot_be_loaded_is_an_init_error(start: Start, tmp_path: Path) -> None:
    function = start("true", environment={"BRIDGE_SERVICE_FILE": str(tmp_path / "absent.json")})
    answer = function.api.init.get(timeout=30)
    assert answer.kind == "PermanentError"
    assert "absent.json" in answer.value["errorMessage"]
    assert function.process.wait(30) == 1


def test_the_end_of_the_runtime_api_is_a_clean_end(start: Start) -> None:
    function = start("true", service={"output": []})
    assert function.invoke({}).ok
    function.api.close()
    assert function.process.wait(30) == 1
    last = function.text().splitlines()[-1]
    assert last.startswith("bridge-lambda: the connection to the Lambda Runtime API")
    assert "Traceback" not in function.text()


def test_sigterm_while_it_waits(start: Start) -> None:
    function = start("true", service={"output": []})
    assert function.invoke({}).ok
    function.process.send_signal(signal.SIGTERM)
    assert function.process.wait(30) == 128 + signal.SIGTERM
    assert "Traceback" not in function.text()


def test_sigterm_while_the_script_runs(start: Start, tmp_path: Path) -> None:
    function = start(f"touch {tmp_path}/begun; sleep 1000", service={"output": []})
    function.api.send({})
    wait_until((tmp_path / "begun").exists)
    function.process.send_signal(signal.SIGTERM)
    assert function.process.wait(30) == 128 + signal.SIGTERM


@pytest.mark.parametrize("address", ["", "nowhere", "host:port"])
def test_a_start_without_a_runtime_api(tmp_path: Path, address: str) -> None:
    function = Function(tmp_path, {"AWS_LAMBDA_RUNTIME_API": address})
    assert function.process.wait(30) == 2
    assert "AWS_LAMBDA_RUNTIME_API" in function.text()
    function.close()


def test_the_limit_is_dated_data() -> None:
    limits = tomllib.loads(files("lambda_runtime").joinpath("limits.toml").read_text())
    assert limits["date"]
    assert json.dumps(limits["response"]["source"]).startswith('"https://')
