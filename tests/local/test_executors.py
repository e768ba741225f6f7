"""Programs as processes: what they get, what is heard of them, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.errors import MissingToolError, PermanentError, TemporaryError, UsageError
from bridge.local.executors import Guard, ProcessExecutor, Task, choose, engine_available, resolve
from tests.waiting import eventually


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[ProcessExecutor]:
    one = ProcessExecutor("s" + os.urandom(4).hex(), tmp_path / "tasks")
    yield one
    one.close()


def run(executor: ProcessExecutor, script: str, **settings: object):
    lines: list[str] = []
    task = Task("t", argv=("sh", "-c", script), **settings)  # type: ignore[arg-type]
    end = executor.start(task, lines.append).wait(60)
    assert end is not None
    return end, lines


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state in "ZX"


def test_exit_code_and_both_streams_reach_the_caller(executor: ProcessExecutor) -> None:
    end, lines = run(executor, "echo out; echo err >&2; printf 'no end'; exit 7")
    assert (end.code, end.signal, end.oom) == (7, None, False)
    assert lines == ["out", "err", "no end"]


def test_a_signal_is_told_apart_from_an_exit_code(executor: ProcessExecutor) -> None:
    end, _ = run(executor, "kill -TERM $$")
    assert (end.code, end.signal) == (143, 15)


def test_the_environment_is_the_tasks_own_and_not_ours(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-parent")
    _, lines = run(executor, "env", env={"GREETING": "hé llo"})
    seen = dict(line.split("=", 1) for line in lines)
    assert seen["GREETING"] == "hé llo"
    assert "AWS_SECRET_ACCESS_KEY" not in seen
    assert {"PATH", "LANG", "HOME", "TMPDIR"} <= set(seen)


def test_a_task_works_in_a_folder_of_its_own_that_is_removed(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    end, lines = run(
        executor, "pwd; mkdir -p locked/in; echo x > locked/in/f; chmod 0 locked/in locked"
    )
    assert end.code == 0
    assert not Path(lines[0]).exists()
    assert list((tmp_path / "tasks").iterdir()) == []


def test_lines_come_while_the_task_runs(executor: ProcessExecutor) -> None:
    seen = threading.Event()
    task = Task("t", argv=("sh", "-c", "echo first; exec sleep 600"))
    running = executor.start(task, lambda line: seen.set() if line == "first" else None)
    assert seen.wait(30)
    assert running.wait(0) is None
    assert running.kill().signal == signal.SIGKILL


def test_long_lines_come_in_pieces_and_lose_nothing(executor: ProcessExecutor) -> None:
    script = "head -c 300000 /dev/zero | tr '\\0' 'x'; printf 'ééé\\nlast\\n'"
    end, lines = run(executor, script)
    assert end.code == 0
    assert "".join(lines) == "x" * 300_000 + "ééé" + "last"
    assert max(map(len, lines)) <= 65_536


def test_much_output_is_complete(executor: ProcessExecutor) -> None:
    _, lines = run(executor, "seq 1 200000")
    assert lines == [str(n) for n in range(1, 200_001)]


def test_a_task_that_closes_its_output_is_still_waited_for(executor: ProcessExecutor) -> None:
    end, _ = run(executor, "exec >&- 2>&-; sleep 0.3; exit 5")
    assert end.code == 5


@pytest.mark.parametrize("how", ["end", "kill"])
def test_daemons_of_a_task_die_with_it(executor: ProcessExecutor, how: str, tmp_path: Path) -> None:
    """Forked twice, in a session of its own, with the output still open."""
    note = tmp_path / "pid"
    daemon = (
        "import os, sys, time\n"
        "if os.fork(): sys.exit()\n"
        "os.setsid()\n"
        "if os.fork(): sys.exit()\n"
        f"open({str(note)!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(600)\n"
    )
    wait = f"while [ ! -s {note} ]; do sleep 0.01; done"
    last = "" if how == "end" else "; sleep 600"
    script = f'"{sys.executable}" -c "$DAEMON"; {wait}{last}'
    task = Task("t", argv=("sh", "-c", script), env={"DAEMON": daemon})
    running = executor.start(task, lambda line: None)
    eventually(lambda: note.exists() and note.read_text() != "")
    if how == "kill":
        running.kill()
    end = running.wait(60)
    assert end is not None
    assert gone(int(note.read_text()))


def test_kill_with_grace_lets_the_task_tidy_up(executor: ProcessExecutor) -> None:
    lines: list[str] = []
    script = "trap 'echo tidy; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    running = executor.start(Task("t", argv=("sh", "-c", script)), lines.append)
    eventually(lambda: lines == ["ready"])
    assert running.kill(grace=30).code == 3
    assert lines == ["ready", "tidy"]


def test_a_task_that_ignores_sigterm_is_killed(executor: ProcessExecutor) -> None:
    lines: list[str] = []
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    running = executor.start(Task("t", argv=("sh", "-c", script)), lines.append)
    eventually(lambda: lines == ["ready"])
    assert running.kill(grace=0.2).signal == signal.SIGKILL


def test_memory_above_the_limit_ends_the_task(executor: ProcessExecutor) -> None:
    hog = "x = bytearray(200_000_000); import time; time.sleep(600)"
    task = Task("t", argv=("sh", "-c", f'"{sys.executable}" -c "{hog}"; true'), memory=100_000_000)
    end = executor.start(task, lambda line: None).wait(60)
    assert end is not None
    assert end.oom
    assert end.code == 137
    assert "95 MiB" in end.reason


def test_the_peak_of_memory_is_known(executor: ProcessExecutor) -> None:
    ready = threading.Event()
    hog = "x = bytearray(60_000_000); print('ready', flush=True); import time; time.sleep(600)"
    task = Task("t", argv=(sys.executable, "-c", hog))
    running = executor.start(task, lambda line: ready.set())
    assert ready.wait(30)
    assert (running.peak_memory or 0) > 60_000_000


def test_a_missing_program_is_a_clear_error_and_leaves_nothing(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    with pytest.raises(PermanentError, match="no-such-program cannot be started"):
        executor.start(Task("t", argv=("no-such-program",)), print)
    with pytest.raises(PermanentError, match="which program to run"):
        executor.start(Task("t", image="some:image"), print)
    assert list((tmp_path / "tasks").iterdir()) == []


def test_the_runtimes_programs_run_from_this_installation(executor: ProcessExecutor) -> None:
    lines: list[str] = []
    task = Task("t", argv=("/opt/bridge/bin/bridge-batch", "--no-such-option"))
    end = executor.start(task, lines.append).wait(60)
    assert end is not None
    assert not any("bridge-batch" in line and "cannot be started" in line for line in lines)


def test_paths_below_a_mount_are_those_of_this_machine(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    (tmp_path / "service.json").write_text("{}")
    mounts = {tmp_path: "/oscar/config"}
    task = Task(
        "t",
        argv=("sh", "-c", 'cat "$FILE" "$1"; echo "$OTHER"', "sh", "/oscar/config/service.json"),
        env={"FILE": "/oscar/config/service.json", "OTHER": "/oscar/configuration"},
        mounts=mounts,
    )
    lines: list[str] = []
    end = executor.start(task, lines.append).wait(60)
    assert end is not None
    assert "".join(lines) == "{}{}/oscar/configuration"


def test_the_end_is_told_once_after_the_last_line(executor: ProcessExecutor) -> None:
    told: list[object] = []
    running = executor.start(
        Task("t", argv=("sh", "-c", "echo a; echo b")), told.append, on_exit=told.append
    )
    end = running.wait(60)
    eventually(lambda: len(told) == 3)
    assert told == ["a", "b", end]


def test_drain_waits_for_what_was_written(executor: ProcessExecutor, tmp_path: Path) -> None:
    lines: list[str] = []
    flag = tmp_path / "written"
    script = f"seq 1 5000; touch {flag}; sleep 600"
    running = executor.start(Task("t", argv=("sh", "-c", script)), lines.append)
    eventually(flag.exists)
    running.drain(10)
    assert len(lines) == 5000


def test_close_ends_everything_and_refuses_more(executor: ProcessExecutor) -> None:
    running = [executor.start(Task("t", argv=("sleep", "600")), print) for _ in range(3)]
    executor.close()
    assert all(one.wait(0) is not None for one in running)
    with pytest.raises(TemporaryError):
        executor.start(Task("t", argv=("true",)), print)


def test_a_guard_cleans_up_for_a_parent_that_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "tasks"
    parent = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from bridge.local.executors import Guard, ProcessExecutor, Task\n"
        "folder = Path(sys.argv[1])\n"
        "guard = Guard('guarded', folder, containers=False)\n"
        "executor = ProcessExecutor('guarded', folder)\n"
        "task = Task('t', argv=('sh', '-c', 'echo $$; exec sleep 600'))\n"
        "executor.start(task, lambda line: print(line, flush=True))\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    assert not gone(child)
    process.kill()
    process.wait()
    process.stdout.close()
    eventually(lambda: gone(child) and not folder.exists())


def test_a_guard_that_is_told_all_is_well_leaves_the_folder(tmp_path: Path) -> None:
    with Guard("calm", tmp_path, containers=False):
        pass
    assert tmp_path.exists()


def test_an_engines_name_is_resolved_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert engine_available() is not None
    assert resolve("auto") == resolve("process") == "process"
    executor = choose("auto", "s")
    assert executor.engine == "process"
    executor.close()
    with pytest.raises(MissingToolError, match="no container engine answers"):
        resolve("container")
    with pytest.raises(UsageError, match="podman"):
        resolve("podman")
