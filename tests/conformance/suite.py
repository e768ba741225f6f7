"""What every place that runs services promises. Imported by a test module for each engine."""

from __future__ import annotations

import json
import os
import secrets
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.events import decode, job_id
from bridge.secret import Secret
from bridge.targets import Job, JobState
from tests.conformance.places import MIB, Place

COPY = 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/"\n'


def test_an_object_goes_in_and_an_object_comes_out(place: Place) -> None:
    run = place.run('tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/upper.txt"\n', data=b"abc")
    assert run.ok, run
    assert run.update.exit_code == 0
    assert run.outputs == {"upper.txt": b"ABC"}
    assert run.update.started is not None
    assert run.update.ended is not None
    assert run.update.started <= run.update.ended


@pytest.mark.parametrize(
    "name",
    ["with space.txt", "a+b%20c.txt", "ñandú-日本.txt", "deep/er/file.bin", "-dash", "q?x&y=z"],
)
def test_every_name_survives(place: Place, name: str) -> None:
    run = place.run(COPY + 'printf %s "$STORAGE_OBJECT_KEY" > "$TMP_OUTPUT_DIR/key"\n', key=name)
    assert run.ok, run
    assert set(run.outputs) == {Path(name).name, "key"}
    assert run.outputs["key"].decode().endswith(f"/in/{name}")


def test_an_empty_object_is_an_input_too(place: Place) -> None:
    assert place.run(COPY, data=b"").outputs == {"input.txt": b""}


def test_the_script_sees_its_environment_and_nothing_of_ours(place: Place) -> None:
    secret = secrets.token_hex(8)
    script = 'env -0 > "$TMP_OUTPUT_DIR/env"; printf %s "$EVENT" > "$TMP_OUTPUT_DIR/event"\n'
    run = place.run(
        script, variables={"COLOUR": "blue sky", "EMPTY": ""}, secrets={"PASSWORD": Secret(secret)}
    )
    assert run.ok, run
    pairs = (line.partition("=") for line in run.outputs["env"].decode().split("\0") if line)
    found = {name: value for name, _, value in pairs}
    assert found["COLOUR"] == "blue sky"
    assert found["PASSWORD"] == secret
    assert found["JOB_UUID"] == run.job.id
    assert Path(found["INPUT_FILE_PATH"]).name == "input.txt"
    assert Path(found["INPUT_FILE_PATH"]).parent == Path(found["TMP_INPUT_DIR"])
    # Plain processes carry one mark, by which all of them are found when the job ends.
    assert {name for name in found if name.startswith("BRIDGE_")} <= {"BRIDGE_TASK"}
    event = json.loads(run.outputs["event"])
    assert event["Records"][0]["s3"]["bucket"]["name"] == run.job.event.bucket
    assert secret not in "\n".join(run.log)


def test_it_writes_to_another_provider(place: Place) -> None:
    ref, store = place.other
    service = place.service(COPY)
    (path,) = service.outputs
    service = replace(service, outputs=(path, replace(path, provider=ref)))
    place.target.deploy([service])
    run = place.finish(service, place.job(service))
    assert run.ok, run
    assert run.outputs == {"input.txt": b"data"}
    assert [info.key for info in store.list(path.bucket, path.key_for(""))] == [
        path.key_for("input.txt")
    ]
    assert {output["provider"] for output in run.update.report["outputs"]} == {
        str(ref),
        str(path.provider),
    }


def test_an_event_of_two_megabytes_arrives_whole(place: Place) -> None:
    data = b"<neither JSON nor base64>\n" * (2 * MIB // 26)
    service = place.service(COPY + 'cd "$TMP_OUTPUT_DIR"; mv * data\n', inputs=())
    (event,) = decode(data, nonce=secrets.token_hex(8))
    run = place.finish(service, Job(job_id(service.name, event), service.name, event))
    assert run.ok, run
    assert run.outputs == {"data": data}


def test_outputs_are_filtered_by_prefix_and_suffix(place: Place) -> None:
    service = place.service(
        'cd "$TMP_OUTPUT_DIR"; mkdir sub; echo 1 > keep.csv; echo 2 > keep.txt; echo 3 > drop.csv;'
        " echo 4 > sub/keep.csv\n"
    )
    (path,) = service.outputs
    service = replace(service, outputs=(replace(path, prefix=("keep", "sub/"), suffix=(".csv",)),))
    place.target.deploy([service])
    run = place.finish(service, place.job(service))
    assert run.outputs == {"keep.csv": b"1\n", "sub/keep.csv": b"4\n"}


def test_the_exit_code_counts_and_a_failure_writes_nothing(place: Place) -> None:
    run = place.run(COPY + "echo this went wrong >&2\nexit 7\n")
    assert run.update.state is JobState.FAILED
    assert run.update.exit_code == 7
    assert run.outputs == {}
    assert any("this went wrong" in line for line in run.log)


def test_what_is_printed_is_in_the_log_in_its_order(place: Place) -> None:
    run = place.run("echo one; echo two >&2; echo 'three é'; printf four\n")
    kept = [line for line in run.log if line in ("one", "two", "three é", "four")]
    assert kept == ["one", "two", "three é", "four"]


def test_a_lot_of_output_does_no_harm(place: Place) -> None:
    run = place.run("i=0; while [ $i -lt 20000 ]; do echo line-$i; i=$((i+1)); done\n" + COPY)
    assert run.ok, run.update
    assert "line-0" in run.log
    assert "line-19999" in run.log


def test_the_time_limit_kills_grandchildren_and_what_ignores_sigterm(place: Place) -> None:
    mark = secrets.token_hex(8)
    script = (
        f"trap '' TERM\n(trap '' TERM; setsid sh -c 'sleep 300; : {mark}') &\n"
        f"sh -c 'sleep 300; : {mark}'\n"
    )
    run = place.run(script, timeout=2.0)
    assert run.update.state is JobState.FAILED
    assert "time" in run.update.reason.lower()
    assert run.outputs == {}
    _assert_gone(mark)


def test_daemons_of_a_script_end_with_it(place: Place) -> None:
    mark = secrets.token_hex(8)
    run = place.run(f"setsid sh -c 'sleep 300; : {mark}' >/dev/null 2>&1 &\n" + COPY)
    assert run.ok, run.update
    _assert_gone(mark)


def test_a_script_may_close_its_output(place: Place) -> None:
    assert place.run(COPY + "exec >&- 2>&-\nsleep 0.2\n").outputs == {"input.txt": b"data"}


def test_windows_line_ends_do_no_harm(place: Place) -> None:
    assert place.run(COPY.replace("\n", "\r\n")).outputs == {"input.txt": b"data"}


def test_an_interpreter_that_is_not_there_is_named(place: Place) -> None:
    run = place.run("#!/usr/bin/no-such-interpreter\necho hello\n")
    assert run.update.state is JobState.FAILED
    assert "no-such-interpreter" in run.update.reason + "\n".join(run.log)


def test_another_interpreter_is_honoured(place: Place) -> None:
    write = "open(os.environ['TMP_OUTPUT_DIR'] + '/x', 'w').write('py')"
    script = f"#!/usr/bin/env python3\nimport os\n{write}\n"
    assert place.run(script).outputs == {"x": b"py"}


def test_an_object_that_is_gone_is_a_failure_with_its_name(place: Place) -> None:
    service = place.service(COPY)
    job = place.job(service, "vanishing.txt")
    place.store.delete(job.event.bucket, job.event.key)
    run = place.finish(service, job)
    assert run.update.state is JobState.FAILED
    assert "vanishing.txt" in run.update.reason


def test_a_memory_hog_fails_with_that_reason(place: Place) -> None:
    if not place.limits_memory:
        pytest.skip("a warm supervisor as a plain process promises no memory limit")
    hog = f"import time\nx = bytearray({600 * MIB})\nfor i in range(0, len(x), 4096): x[i] = 1\n"
    run = place.run(f"#!/usr/bin/env python3\n{hog}time.sleep(20)\n")
    assert run.update.state is JobState.FAILED
    assert run.outputs == {}


def test_one_job_leaves_nothing_to_the_next(place: Place) -> None:
    mark = secrets.token_hex(8)
    service = place.service(
        'ls -A "$TMPDIR" "$TMP_INPUT_DIR" "$TMP_OUTPUT_DIR" > "$TMP_OUTPUT_DIR/seen-$(basename'
        f' "$INPUT_FILE_PATH")"\n[ -z "$LEFT" ] || exit 9\nexport LEFT={mark}\n'
        'echo x > "$TMP_INPUT_DIR/left"; echo x > left-in-work\n'.replace("$TMPDIR", "$PWD")
    )
    first = place.finish(service, place.job(service, "one"))
    second = place.finish(service, place.job(service, "two"))
    assert first.ok, first
    assert second.ok, second
    assert b"left" not in second.outputs["seen-two"]


def test_the_same_job_again_runs_once(place: Place) -> None:
    service = place.service('echo run >> "$TMP_OUTPUT_DIR/runs-$$-$(date +%s%N)"\n')
    job = place.job(service)
    first = place.finish(service, job)
    assert first.ok, first
    place.target.submit(job)
    time.sleep(1.0)
    assert len(place.outputs(service)) == 1


def test_a_cancelled_job_stops(place: Place) -> None:
    mark = secrets.token_hex(8)
    stops = place.name != "lambda"  # which cannot stop an invocation: it goes on to its end
    seconds = 300 if stops else 3
    script = f"echo begun; sh -c 'sleep {seconds}; : {mark}'\n" + COPY
    service = place.service(script, timeout=200.0)
    job = place.job(service)
    place.target.submit(job)
    deadline = time.monotonic() + 30
    while not running(mark) and time.monotonic() < deadline:
        list(place.target.poll())
        time.sleep(0.05)
    assert running(mark)
    place.target.cancel(job.id)
    run = place.ended(service, job)
    assert run.ok is not stops
    assert (run.update.state in (JobState.CANCELLED, JobState.FAILED)) is stops
    _assert_gone(mark)


def running(mark: str) -> list[int]:
    """Processes of this machine, in containers too, that carry the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if f": {mark}".encode() in line:
                found.append(int(entry.name))
    return found


def _assert_gone(mark: str) -> None:
    deadline = time.monotonic() + 15
    while running(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running(mark) == []
