"""The script as a process: interpreters, output, time, and everything that it leaves behind."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path

import pytest

from bridge.supervisor import _process
from tests.supervisor.world import MARK, World, processes_with

PYTHON = "#!/usr/bin/env python3\n"


@pytest.fixture
def mark(tmp_path: Path) -> str:
    return f"{os.getpid()}-{tmp_path.name}"


def test_windows_line_ends(world: World) -> None:
    world.upload("in/a")
    report = world.run("#!/bin/sh\r\nif true; then\r\n  echo fine\r\nfi\r\nexit 3\r\n", "in/a")
    assert report.exit_code == 3
    assert b"fine\n" in world.log


@pytest.mark.parametrize(
    "line",
    [
        "#!/usr/bin/env python3",
        "#!/usr/bin/env -S python3 -u",
        "#! /usr/bin/env python3",
        "\ufeff#!/usr/bin/env python3",
    ],
)
def test_the_first_line_chooses_the_interpreter(world: World, line: str) -> None:
    world.upload("in/a", b"123")
    script = "import os, sys\nprint(len(open(os.environ['INPUT_FILE_PATH']).read()))\nsys.exit(9)\n"
    report = world.run(f"{line}\n{script}", "in/a")
    assert report.exit_code == 9
    assert b"3\n" in world.log


def test_an_absolute_interpreter_with_an_argument(world: World) -> None:
    world.upload("in/a")
    report = world.run("#!/bin/sh -e\nfalse\necho not here\n", "in/a")
    assert report.exit_code == 1
    assert b"not here" not in world.log


@pytest.mark.parametrize("line", ["#!/opt/none/bin/perl6", "#!/usr/bin/env no-such-language"])
def test_a_missing_interpreter_is_named(world: World, line: str) -> None:
    world.upload("in/a")
    report = world.run(f"{line}\necho hello\n", "in/a")
    assert (report.state, report.status, report.exit_code) == ("failed", 127, None)
    assert line.replace("/usr/bin/env ", "").removeprefix("#!") in report.reason


@pytest.mark.parametrize("line", ["#!/opt/none/bash", "#!/usr/bin/env zsh-none/zsh"])
def test_a_missing_shell_is_replaced(world: World, line: str) -> None:
    world.upload("in/a")
    report = world.run(f"{line}\necho hello\n", "in/a")
    assert report.state == "succeeded"
    assert b"hello\n" in world.log
    assert b"/bin/sh runs the script" in world.log


def test_a_program_as_script(world: World) -> None:
    world.upload("in/a")
    report = world.run(Path("/bin/true").read_bytes(), "in/a")
    assert report.state == "succeeded", report.reason


def test_output_that_is_no_text_arrives_as_it_is(world: World) -> None:
    world.upload("in/a")
    world.run(r'printf "a\377\000b\n"; printf "err\n" >&2', "in/a")
    assert b"a\xff\x00b\nerr\n" in world.log


def test_output_is_streamed(world: World, tmp_path: Path) -> None:
    world.upload("in/a")
    go = tmp_path / "go"
    seen: list[bytes] = []

    def log(block: bytes) -> None:
        seen.append(block)
        if b"first" in block:
            go.touch()

    script = f"echo first; while [ ! -e {go} ]; do sleep 0.05; done; echo second"
    report = world.run(script, "in/a", log=log, timeout=60)
    assert report.state == "succeeded"
    assert b"".join(seen).startswith(b"first\nsecond\n")


def test_much_output_is_complete_and_takes_little_memory(world: World) -> None:
    world.upload("in/a")
    size = 0

    def log(block: bytes) -> None:
        nonlocal size
        size += len(block)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = world.run("head -c 52428800 /dev/zero", "in/a", log=log, reply_limit=1)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert report.state == "succeeded"
    assert size >= 52428800
    assert after - before < 20 * 1024
    assert len(report.reply) == 1 << 20


def test_time_is_over_for_children_in_sessions_of_their_own(world: World, mark: str) -> None:
    world.upload("in/a")
    script = (
        "trap '' TERM HUP\n"
        "(trap '' TERM; setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' &)\n"
        "setsid setsid sleep 300 &\n"
        "echo started\n"
        "while :; do sleep 1; done\n"
    )
    report = world.run(script, "in/a", timeout=1.0, env={MARK: mark})
    assert (report.state, report.status, report.exit_code) == ("failed", 124, None)
    assert "time" in report.reason
    assert b"started\n" in world.log
    assert processes_with(mark) == []
    assert world.objects() == {}


def test_a_daemon_that_hides_is_found(world: World, mark: str) -> None:
    world.upload("in/a")
    script = PYTHON + (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        os.closerange(0, 100)\n"
        "        time.sleep(300)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    report = world.run(script, "in/a", env={MARK: mark})
    assert report.state == "succeeded"
    assert b"left behind" in world.log
    assert processes_with(mark) == []


def test_a_script_that_closes_its_output_is_waited_for(world: World) -> None:
    world.upload("in/a")
    script = 'exec >&- 2>&-\nsleep 0.3\ncp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/late"\nexit 0\n'
    assert world.run(script, "in/a").state == "succeeded"
    assert list(world.objects()) == ["out/late"]


def test_a_background_process_does_not_hold_the_job(world: World, mark: str) -> None:
    world.upload("in/a")
    begun = time.monotonic()
    report = world.run("sleep 300 &\necho over", "in/a", env={MARK: mark})
    assert report.state == "succeeded"
    assert time.monotonic() - begun < 60
    assert processes_with(mark) == []


def test_a_folder_that_was_removed_is_no_hindrance(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upload("in/a")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    assert world.run("true", "in/a").state == "succeeded"


def test_other_children_of_this_process_are_spared(world: World) -> None:
    world.upload("in/a")
    other = os.posix_spawn("/bin/sleep", ["sleep", "300"], os.environ)
    try:
        world.run("sleep 300 &", "in/a")
        assert os.waitpid(other, os.WNOHANG) == (0, 0)
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)


def test_signals_that_python_ignores_are_normal_in_the_script(world: World) -> None:
    world.upload("in/a")
    report = world.run("(yes; echo status $? >&2) | head -n 1\nkill -PIPE $$", "in/a")
    assert report.status == 128 + signal.SIGPIPE


def test_time_is_over_while_the_input_is_on_its_way(world: World) -> None:
    class Slow:
        def get(self, *_: object) -> None:
            time.sleep(30)

    report = world.run("echo ran", "in/a", stores=lambda _: Slow(), timeout=0.2)
    assert (report.state, report.status) == ("failed", 124)
    assert b"ran\n" not in world.log


@pytest.mark.parametrize("watched", [True, False])
def test_kernels_without_process_descriptors(
    world: World, monkeypatch: pytest.MonkeyPatch, watched: bool
) -> None:
    if not watched:
        monkeypatch.setattr(_process, "_watch", lambda _: -1)
    world.upload("in/a")
    assert world.run("exec >&- 2>&-; sleep 0.2; exit 5", "in/a").exit_code == 5
    assert world.run("sleep 60", "in/a", timeout=0.3).status == 124


def test_the_tail_is_exact_and_bounded() -> None:
    tail = _process.Tail(10)
    for number in range(100):
        tail.add(str(number % 10).encode() * 3)
    assert tail.last() == (b"".join(str(n % 10).encode() * 3 for n in range(100)))[-10:]
    assert _process.Tail(0).last() == b""
