"""The warm entry: many jobs through one process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.supervisor.world import (
    MARK,
    World,
    clean_environment,
    peak_memory,
    processes_with,
)

COPY = 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/"\n'


class Warm:
    """A warm supervisor and what to ask of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bridge.supervisor", "--serve"],
            env=clean_environment() | {"BRIDGE_WORK_DIR": str(world.base)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def send(self, script: str | None, event: object, **values: Any) -> None:
        files = self.world.files(script)
        request = {
            "service_file": files["BRIDGE_SERVICE_FILE"],
            "script_file": files.get("BRIDGE_SCRIPT_FILE"),
            "event": event,
            "job": None,
            "attempt": 1,
            "timeout": None,
            "report": None,
            "log": str(self.world.folder / "log"),
            "env": {},
            "secrets_dir": files["BRIDGE_SECRETS_DIR"],
        }
        self.line(json.dumps(request | values))

    def line(self, text: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        return dict(json.loads(self.process.stdout.readline()))

    def ask(self, script: str | None, event: object, **values: Any) -> dict[str, Any]:
        self.send(script, event, **values)
        return self.answer()

    @property
    def log(self) -> bytes:
        return (self.world.folder / "log").read_bytes()

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


@pytest.fixture
def warm(world: World) -> Iterator[Warm]:
    warm = Warm(world)
    yield warm
    if warm.process.poll() is None:
        warm.process.kill()
    warm.process.wait()
    for pipe in (warm.process.stdin, warm.process.stdout, warm.process.stderr):
        if pipe:
            with suppress(BrokenPipeError):
                pipe.close()


def test_fifty_jobs_leave_nothing_behind(world: World, warm: Warm) -> None:
    mark = f"{os.getpid()}-{world.bucket}"
    for number in range(50):
        world.upload(f"in/{number}", str(number).encode())
    show = 'env > "$TMP_OUTPUT_DIR/env-$N"; pwd >> "$TMP_OUTPUT_DIR/env-$N"; sleep 300 &\n'
    descriptors = 0
    for number in range(50):
        env = {"N": str(number), f"ONLY_{number}": "x", MARK: mark}
        report = warm.ask(show if number % 10 == 9 else COPY, world.record(f"in/{number}"), env=env)
        assert report["state"] == "succeeded", report
        assert list(world.base.iterdir()) == []
        if number == 9:
            descriptors = warm.descriptors()

    objects = world.objects()
    assert {objects[f"out/{n}"] for n in range(50) if n % 10 != 9} == {
        str(n).encode() for n in range(50) if n % 10 != 9
    }
    only = [line for line in objects["out/env-49"].decode().splitlines() if "ONLY_" in line]
    assert only == ["ONLY_49=x"]
    assert processes_with(mark) == []
    assert warm.descriptors() <= descriptors
    assert warm.process.stdin
    warm.process.stdin.close()
    assert warm.process.wait(30) == 0


def test_answers_are_reports_and_logs_are_files(world: World, warm: Warm) -> None:
    world.upload("in/a")
    report = world.folder / "report.json"
    log = world.folder / "logs" / "j-1.log"
    answer = warm.ask(
        f"echo said\necho complained >&2\n{COPY}",
        world.record("in/a"),
        job="j-1",
        attempt=2,
        report=str(report),
        log=str(log),
    )
    assert (answer["job"], answer["attempt"], answer["state"]) == ("j-1", 2, "succeeded")
    assert json.loads(report.read_text()) == answer
    assert log.read_bytes().startswith(b"said\ncomplained\n")

    failed = warm.ask("echo so; exit 4", world.record("in/a"), log=str(log))
    assert (failed["state"], failed["exit_code"], failed["status"]) == ("failed", 4, 4)
    assert b"complained\n" in log.read_bytes()
    assert b"so\n" in log.read_bytes()


def test_50_mb_of_output_are_kept_and_take_little_memory(world: World, warm: Warm) -> None:
    assert warm.ask("head -c 52428800 /dev/zero; exit 5", "raw text")["exit_code"] == 5
    assert (world.folder / "log").stat().st_size > 52428800
    assert 0 < peak_memory(warm.process.pid) < 64 << 20


def test_time_limit_and_next_job(world: World, warm: Warm) -> None:
    world.upload("in/a")
    assert warm.ask("sleep 300", world.record("in/a"), timeout=0.3)["status"] == 124
    assert warm.ask(COPY, world.record("in/a"), timeout=60)["state"] == "succeeded"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("not json", "not JSON"),
        ("[]", "object"),
        ('{"event": 1}', "service_file"),
        ('{"service_file": "/s", "event": 1, "nonsense": 2}', "nonsense"),
        ('{"service_file": "/s", "event": 1, "timeout": -1}', "timeout"),
        ('{"service_file": "/s", "event": 1, "timeout": "5"}', "timeout"),
        ('{"service_file": "/s", "event": 1, "attempt": 0}', "attempt"),
        ('{"service_file": "/s", "event": 1, "env": {"A": 1}}', "env"),
        ('{"service_file": "/s", "event": 1, "log": 5}', "log"),
        ('{"service_file": "/no/service", "event": 1}', "/no/service"),
        ('{"service_file": "/s", "event": 1, "log": "/proc/x/log"}', "/proc/x/log"),
    ],
)
def test_a_wrong_line_is_answered_and_the_next_one_served(
    world: World, warm: Warm, line: str, words: str
) -> None:
    warm.line(line)
    answer = warm.answer()
    assert (answer["state"], answer["status"]) == ("failed", 125)
    assert words in answer["reason"]
    warm.line("")
    assert warm.ask("exit 3", "raw text")["exit_code"] == 3


def test_the_script_cannot_speak_for_the_supervisor(world: World, warm: Warm) -> None:
    script = 'echo \'{"state": "succeeded"}\'; cat; exit 8'
    assert warm.ask(script, "raw text")["exit_code"] == 8
    assert b'{"state": "succeeded"}' in warm.log


def test_sigterm_ends_the_script_first(world: World, warm: Warm) -> None:
    ready, report = world.folder / "ready", world.folder / "report.json"
    mark = f"{os.getpid()}-{world.bucket}"
    warm.send(
        f"setsid sleep 300 & touch {ready}; sleep 300",
        "raw text",
        env={MARK: mark},
        report=str(report),
    )
    while not ready.exists():
        time.sleep(0.02)
    warm.process.send_signal(signal.SIGTERM)
    assert warm.answer()["reason"] == "terminated"
    assert warm.process.wait(30) == 143
    assert json.loads(report.read_text())["reason"] == "terminated"
    assert processes_with(mark) == []
    assert list(world.base.iterdir()) == []


def test_sigterm_while_idle(warm: Warm) -> None:
    assert warm.ask("exit 2", "raw text")["exit_code"] == 2
    warm.process.send_signal(signal.SIGTERM)
    assert warm.process.wait(30) == 143


def test_the_end_of_answers_is_an_end(world: World, warm: Warm) -> None:
    assert warm.process.stdout
    warm.process.stdout.close()
    warm.send("exit 0", "raw text")
    assert warm.process.wait(30) == 1
