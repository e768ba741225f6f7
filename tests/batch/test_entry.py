"""The Batch entry: exit statuses, arrays, nodes, attempts, the event as it came."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.batch.conftest import Run
from tests.servers import ObjectStore

Reports = Callable[[], dict[str, dict[str, Any]]]
COPY = 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/copy"; echo ran'


def job(event: object = "hello!") -> dict[str, object]:
    return {"event": event, "job_id": "job-1", "attempt": 1}


def test_a_job(run: Run, reports: Reports, bucket: Path) -> None:
    done = run(COPY, job())
    assert done.returncode == 0, done.stdout
    assert "\nran\n" in f"\n{done.stdout}"
    assert (bucket / "out" / "copy").read_text() == "hello!"
    assert reports()["job-1"]["state"] == "succeeded"


@pytest.mark.parametrize(
    ("script", "status", "more"),
    [
        ("exit 7", 7, {}),
        ("sleep 60", 124, {"BRIDGE_TIMEOUT": "0.3"}),
        ('rmdir "$TMP_OUTPUT_DIR"; ln -s / "$TMP_OUTPUT_DIR"', 126, {}),
        ("", 127, {"BRIDGE_SCRIPT_FILE": ""}),
        ("kill -9 $$", 137, {}),
        ("true", 125, {"BRIDGE_TIMEOUT": "soon"}),
        ("true", 125, {"AWS_BATCH_JOB_ATTEMPT": "first"}),
        ("true", 125, {"EVENT": '{"Records": [{"eventSource": "aws:s3"}]}'}),
    ],
)
def test_the_exit_status_is_the_contracts(
    run: Run, reports: Reports, script: str, status: int, more: dict[str, str]
) -> None:
    done = run(script, job(), **more)
    assert done.returncode == status, done.stdout
    assert "[supervisor]" in done.stdout
    assert done.stderr == ""
    if "EVENT" not in more and status != 125:
        assert reports()["job-1"]["state"] == "failed"


def test_a_job_that_cannot_begin_is_reported_under_its_name(run: Run, reports: Reports) -> None:
    done = run("true", "{}", JOB_UUID="job-5", BRIDGE_SERVICE_FILE="/nowhere.json")
    assert done.returncode == 125
    assert "/nowhere.json" in reports()["job-5"]["reason"]


def test_an_event_survives_as_it_is(run: Run, bucket: Path) -> None:
    text = '{"x": "a  b * \\\\n $HOME `id` \'\\" ñ"}'
    assert run(COPY, text).returncode == 0
    assert json.loads((bucket / "out" / "copy").read_text()) == json.loads(text)


def test_the_attempt_is_batchs(run: Run, reports: Reports) -> None:
    run("true", job(), AWS_BATCH_JOB_ATTEMPT="3")
    assert reports()["job-1"]["attempt"] == 3


def test_batchs_own_retries_come_after_the_dispatchers(run: Run, reports: Reports) -> None:
    run(
        "true",
        json.dumps({"event": "x", "job_id": "job-1", "attempt": 2}),
        AWS_BATCH_JOB_ATTEMPT="1",
    )
    assert reports()["job-1"]["attempt"] == 2


def queue(*bodies: str) -> dict[str, object]:
    """An event with several records, each with data of its own."""
    return {
        "Records": [
            {"eventSource": "aws:sqs", "messageId": f"m{n}", "body": body}
            for n, body in enumerate(bodies)
        ]
    }


def test_a_child_of_an_array_takes_its_own_record(run: Run, reports: Reports, bucket: Path) -> None:
    event = job(queue("zero!", "one!", "two!"))
    done = run(COPY, event, AWS_BATCH_JOB_ARRAY_INDEX="1")
    assert done.returncode == 0, done.stdout
    assert (bucket / "out" / "copy").read_text() == "one!"
    assert list(reports()) == ["job-1-1"]


def test_a_child_without_a_record_fails(run: Run, reports: Reports) -> None:
    done = run(COPY, job(queue("zero!", "one!")), AWS_BATCH_JOB_ARRAY_INDEX="2")
    assert done.returncode == 125
    assert "child 2" in done.stdout


def test_children_of_one_event_differ_by_index_and_name(run: Run, reports: Reports) -> None:
    script = "echo child $AWS_BATCH_JOB_ARRAY_INDEX"
    done = [run(script, job(), AWS_BATCH_JOB_ARRAY_INDEX=str(n)) for n in range(2)]
    assert ["child 0\n" in done[0].stdout, "child 1\n" in done[1].stdout] == [True, True]
    assert sorted(reports()) == ["job-1-0", "job-1-1"]


def test_without_an_array_every_record_is_run(run: Run) -> None:
    done = run('cat "$INPUT_FILE_PATH"; echo', queue("zero!", "one!"))
    assert "zero!\n" in done.stdout
    assert "one!\n" in done.stdout


def test_only_the_main_node_stages_out(run: Run, reports: Reports, bucket: Path) -> None:
    nodes = {"AWS_BATCH_JOB_NUM_NODES": "2", "AWS_BATCH_JOB_MAIN_NODE_INDEX": "1"}
    main_address = "AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS"
    script = f'echo node $AWS_BATCH_JOB_NODE_INDEX of ${main_address} | tee "$TMP_OUTPUT_DIR/n"'
    helper = run(script, job(), AWS_BATCH_JOB_NODE_INDEX="0", **nodes, **{main_address: "10.0.0.9"})
    assert helper.returncode == 0
    assert "node 0 of 10.0.0.9\n" in helper.stdout
    assert not (bucket / "out").exists()
    assert reports() == {}
    assert run(script, job(), AWS_BATCH_JOB_NODE_INDEX="1", **nodes).returncode == 0
    assert (bucket / "out" / "n").read_text() == "node 1 of\n"
    assert list(reports()) == ["job-1"]


def test_a_helping_node_that_fails_says_so(run: Run) -> None:
    nodes = {"AWS_BATCH_JOB_NUM_NODES": "2", "AWS_BATCH_JOB_MAIN_NODE_INDEX": "0"}
    assert run("exit 4", job(), AWS_BATCH_JOB_NODE_INDEX="1", **nodes).returncode == 4


def test_event_and_report_in_the_object_store(
    run: Run, object_store: ObjectStore, tmp_path: Path
) -> None:
    bucket = object_store.make_bucket()
    (tmp_path / "event.json").write_text(json.dumps(job()))
    object_store.client().fput_object(bucket, "events/1.json", str(tmp_path / "event.json"))
    variables = {
        "AWS_ENDPOINT_URL_S3": object_store.endpoint,
        "AWS_ACCESS_KEY_ID": object_store.access_key,
        "AWS_SECRET_ACCESS_KEY": object_store.secret_key,
        "AWS_REGION": "us-east-1",
        "BRIDGE_EVENT_URL": f"s3://{bucket}/events/1.json",
        "BRIDGE_REPORT": f"s3://{bucket}/reports/",
    }
    first = run("echo once $AWS_ACCESS_KEY_ID", "ignored", **variables)
    assert first.returncode == 0, first.stdout
    assert f"once {object_store.access_key}\n" in first.stdout
    answer = object_store.client().get_object(bucket, "reports/job-1.json")
    assert json.loads(answer.data)["state"] == "succeeded"
    again = run("echo once", "ignored", **variables)
    assert (again.returncode, "once\n" in again.stdout) == (0, False)


def test_sigterm_ends_the_script_and_is_reported(
    environment: Callable[..., dict[str, str]], reports: Reports, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    variables = environment(f"echo x; touch {begun}; sleep 1000", job())
    process = subprocess.Popen(
        [sys.executable, "-m", "batch"], env=variables, stdout=subprocess.PIPE, text=True
    )
    limit = time.monotonic() + 60
    while not begun.exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert (reports()["job-1"]["state"], reports()["job-1"]["temporary"]) == ("failed", True)
    assert list((tmp_path / "tmp").iterdir()) == []
