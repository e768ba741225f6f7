"""Tasks in containers of a real engine: the same contract as processes, with real limits."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.errors import PermanentError
from bridge.local.executors import (
    Executor,
    Task,
    container_executor,
    engine_available,
    gateway,
    sweep,
)
from tests.waiting import eventually

pytestmark = pytest.mark.docker
IMAGE = "oscar-bridge/busybox:local"
MIB = 1024 * 1024


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[Executor]:
    if reason := engine_available():
        pytest.skip(reason)
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "hello").write_text("from the runtime\n")
    one = container_executor(f"test-{tmp_path.name}", tmp_path / "runtime")
    try:
        one.check(IMAGE)
    except PermanentError:
        pytest.skip(f"{IMAGE} is not built: tools/base-images.sh busybox")
    yield one
    one.close()


def run(executor: Executor, script: str, **settings: object):
    lines: list[str] = []
    task = Task("t", IMAGE, argv=("sh", "-c", script), **settings)  # type: ignore[arg-type]
    end = executor.start(task, lines.append).wait(60)
    assert end is not None
    return end, lines


def test_exit_code_output_and_environment(executor: Executor) -> None:
    end, lines = run(executor, "echo out; echo err >&2; echo $WHO; exit 7", env={"WHO": "mé"})
    assert (end.code, end.signal, end.oom) == (7, None, False)
    assert sorted(lines) == ["err", "mé", "out"]


def test_lines_come_while_the_container_runs_and_kill_ends_it(executor: Executor) -> None:
    seen = threading.Event()
    task = Task("t", IMAGE, argv=("sh", "-c", "echo first; exec sleep 600"))
    running = executor.start(task, lambda line: seen.set())
    assert seen.wait(30)
    assert running.wait(0) is None
    assert running.kill().signal == 9


def test_much_output_is_complete(executor: Executor) -> None:
    _, lines = run(executor, "seq 1 100000")
    assert lines == [str(n) for n in range(1, 100_001)]


def test_memory_above_the_limit_is_told(executor: Executor) -> None:
    end, _ = run(executor, "head -c 100m /dev/zero | tail", memory=32 * MIB)
    assert end.oom


def test_limits_are_set_and_cores_are_those_of_this_machine(executor: Executor) -> None:
    read = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null"
    end, lines = run(executor, f"{read}; true", memory=64 * MIB, cpus=512.0)
    assert (end.code, lines) == (0, [str(64 * MIB)])


def test_arguments_replace_the_command_and_keep_the_entrypoint(executor: Executor) -> None:
    lines: list[str] = []
    end = executor.start(Task("t", IMAGE, args=("echo", "as CMD")), lines.append).wait(60)
    assert end is not None
    assert lines == ["as CMD"]


def test_the_runtime_and_the_mounts_are_there_and_read_only(
    executor: Executor, tmp_path: Path
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "f").write_text("mounted\n")
    end, lines = run(
        executor,
        "cat /opt/bridge/hello /oscar/config/f; pwd; touch /opt/bridge/x 2>/dev/null",
        mounts={tmp_path / "config": "/oscar/config"},
        workdir="/tmp",
    )
    assert end.code != 0
    assert lines == ["from the runtime", "mounted", "/tmp"]


def test_a_missing_image_says_how_to_get_it(executor: Executor) -> None:
    with pytest.raises(PermanentError, match=r"nobody/knows:this is not on this machine") as caught:
        executor.start(Task("t", "nobody/knows:this", argv=("true",)), print)
    assert "docker pull nobody/knows:this" in caught.value.hint


def test_a_missing_program_is_a_clear_error(executor: Executor) -> None:
    with pytest.raises(PermanentError, match="no-such-program"):
        executor.start(Task("t", IMAGE, argv=("no-such-program",)), print)
    assert sweep(f"test-{Path('x').name}") == 0


def test_containers_are_removed_and_close_kills_the_rest(
    executor: Executor, tmp_path: Path
) -> None:
    run(executor, "true")
    running = executor.start(Task("t", IMAGE, argv=("sleep", "600")), lambda line: None)
    session = f"test-{tmp_path.name}"
    executor.close()
    eventually(lambda: running.wait(0) is not None)
    assert sweep(session) == 0


def test_a_sweep_removes_what_a_killed_session_left(executor: Executor, tmp_path: Path) -> None:
    running = executor.start(Task("t", IMAGE, argv=("sleep", "600")), lambda line: None)
    assert sweep(f"test-{tmp_path.name}") == 1
    assert running.wait(30) is not None


def test_a_container_reaches_this_machine_at_the_gateway(executor: Executor) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"reached\n")

        def log_message(self, *_: object) -> None:
            return

    with http.server.HTTPServer((gateway(), 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        _, lines = run(executor, f"wget -q -O- http://{gateway()}:{server.server_port}/")
        thread.join()
    assert lines == ["reached"]
