"""A day with a real deployment: apply, submit, jobs, logs, cost, get, destroy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.command import Done, bridge, write
from tests.standing import Up, up

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("node") is None, reason="stacks are made with node"),
]

FDL = """
functions:
  aws:
  - lambda:
      name: shout
      memory: 256
      timeout: 60
      init_script: shout.sh
      container: {image: 'oscar-bridge/busybox:local'}
      input: [{storage_provider: s3, path: flow-data/in, suffix: [.txt]}]
      output: [{storage_provider: s3, path: flow-data/mid}]
  - lambda:
      name: count
      execution_mode: batch
      init_script: count.sh
      container: {image: 'oscar-bridge/busybox:local'}
      input: [{storage_provider: s3, path: flow-data/mid}]
      output: [{storage_provider: s3, path: flow-data/out}]
    batch: {platform: FARGATE, vcpus: 0.25, memory: 512}
  - lambda:
      name: both
      execution_mode: lambda-batch
      timeout: 5
      init_script: both.sh
      container: {image: 'oscar-bridge/busybox:local', timeout_threshold: 2}
      output: [{storage_provider: s3, path: flow-data/late}]
    batch: {platform: FARGATE, vcpus: 0.25, memory: 512}
  - lambda:
      name: answer
      memory: 256
      init_script: answer.sh
      container: {image: 'oscar-bridge/busybox:local'}
"""
SCRIPTS = {
    "shout.sh": 'echo "shouting"\ntr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/loud.txt"\n',
    "count.sh": 'echo "counting"\nwc -c < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/count.txt"\n',
    "both.sh": 'echo "here"\nsleep 6\necho late > "$TMP_OUTPUT_DIR/late.txt"\n',
    "answer.sh": "grep -q fail $INPUT_FILE_PATH && exit 5\nprintf got:; cat $INPUT_FILE_PATH\n",
}


@dataclass(frozen=True)
class Day:
    """A deployment, and the command in its environment."""

    standing: Up
    folder: Path

    def run(self, *arguments: str | Path) -> Done:
        return bridge(*arguments, env=self.standing.variables, cwd=self.folder)

    def ok(self, *arguments: str | Path) -> Any:
        done = self.run(*arguments, "--json")
        assert done.status == 0, (done.err, done.out)
        return done.json

    def file(self, name: str, data: bytes) -> Path:
        (self.folder / name).write_bytes(data)
        return self.folder / name


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    folder = tmp_path_factory.mktemp("day")
    write(folder, {"flow.yaml": FDL, **SCRIPTS})
    with up(folder) as standing:
        made = Day(standing, folder)
        done = made.run("apply", "flow.yaml", "--yes")
        assert done.status == 0, (done.err, done.out)
        yield made


def test_what_was_applied_is_listed_and_ready(day: Day) -> None:
    found = {one["service"]: one for one in day.ok("ls")["services"]}
    assert set(found) == {"shout", "count", "both", "answer"}
    assert {one["state"] for one in found.values()} == {"ready"}
    assert {one["deployment"] for one in found.values()} == {"flow"}


def test_a_file_goes_through_lambda_and_batch_and_comes_back(day: Day) -> None:
    file = day.file("hello.txt", b"hello world")
    (first,) = day.ok("submit", "shout", file, "--wait")["jobs"]
    assert first["state"] == "succeeded"
    detail = day.ok("job", first["id"])
    assert [one["url"] for one in detail["outputs"]] == ["s3://flow-data/mid/loud.txt"]
    assert detail["decision"]["target"] == "aws-lambda"

    said = day.run("logs", "shout", "--job", first["id"], "-f")
    assert "shouting" in said.out, said.err
    second = next(
        one
        for _ in range(120)
        for one in day.ok("jobs", "count")["jobs"]
        if one["state"] == "succeeded"
    )
    assert second["input"] == "flow-data/mid/loud.txt"
    assert "counting" in day.run("logs", "count", "--job", second["id"], "-f").out
    assert day.run("get", "count", day.folder / "back").status == 0
    assert (day.folder / "back" / "count.txt").read_text().strip() == "11"

    price = day.ok("cost", "count")
    assert [run["job"] for run in price["runs"]] == [second["id"]]
    assert float(price["total"]) > 0


def test_a_service_without_an_input_answers_and_takes_events(day: Day) -> None:
    file = day.file("question.txt", b"why?")
    assert day.run("invoke", "answer", file).out == "got:why?"
    assert day.run("invoke", "answer", day.file("bad.txt", b"fail")).status == 1
    handed = day.ok("submit", "answer", file, "--wait")
    assert [job["id"] for job in handed["jobs"]] == handed["files"][0]["jobs"]
    failed = day.run("submit", "answer", day.folder / "bad.txt", "--wait", "--json")
    assert failed.status == 1
    assert json.loads(failed.out)["jobs"][0]["exit_code"] == 5


def test_what_is_too_long_for_lambda_ends_in_batch_with_both_logs(day: Day) -> None:
    handed = day.ok("submit", "both", day.file("any.txt", b"x"), "--wait")
    (job,) = handed["jobs"]
    assert job["state"] == "succeeded", job
    said = day.run("logs", "both", "--job", job["id"], "-f").out
    assert {line.split()[1] for line in said.splitlines() if line.endswith("here")} == {
        "lambda",
        "batch",
    }
    assert {run["target"] for run in day.ok("cost", "both")["runs"]} == {"aws-lambda", "aws-batch"}


def test_after_destroy_there_is_nothing_to_list_and_data_stays(day: Day) -> None:
    done = day.run("destroy", "flow.yaml", "--yes")
    assert done.status == 0, done.err
    assert day.ok("ls")["services"] == []
    assert day.run("get", "s3://flow-data/in", day.folder / "kept").status == 0
    assert (day.folder / "kept" / "hello.txt").read_bytes() == b"hello world"
