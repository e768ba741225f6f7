"""Children die with their parent, say why they failed, and leave no group behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.errors import MissingToolError, PermanentError, TemporaryError
from bridge.local.children import (
    Child,
    SessionFolder,
    free_port,
    http_ready,
    start_child,
    temporary_folder,
)
from bridge.secret import Secret
from tests.waiting import eventually

Start = Callable[..., Child]


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made: list[Child] = []

    def begin(code: str, **options: object) -> Child:
        child = start_child(
            "thing",
            [sys.executable, "-c", code],
            tmp_path / "thing.log",
            **options,  # type: ignore[arg-type]
        )
        made.append(child)
        return child

    yield begin
    for child in made:
        child.kill()


def test_the_log_gets_both_streams_and_stop_is_idempotent(start: Start) -> None:
    child = start("import sys; print('out'); print('err', file=sys.stderr)")
    assert child.process.wait(20) == 0
    assert sorted(child.tail().splitlines()) == ["err", "out"]
    child.stop()
    child.stop()


def test_a_child_that_ends_before_it_is_ready_is_explained_by_its_log(start: Start) -> None:
    child = start("import sys; sys.exit('no such volume')")
    with pytest.raises(PermanentError, match=r"(?s)thing ended with status 1.*no such volume"):
        child.wait_ready(lambda: False)


def test_a_child_that_is_never_ready_is_stopped(start: Start) -> None:
    child = start("import time; print('warming', flush=True); time.sleep(600)")
    assert eventually(lambda: "warming" in child.tail())
    with pytest.raises(TemporaryError, match=r"(?s)not ready after 0.1 seconds.*warming"):
        child.wait_ready(lambda: False, timeout=0.1)
    assert not running(child.pid)


def test_secrets_reach_the_child_and_are_hidden_in_the_tail(start: Start) -> None:
    code = "import os; print('token', os.environ['TOKEN'])"
    child = start(code, secret_env={"TOKEN": Secret("opensesame")})
    child.process.wait(20)
    assert b"opensesame" in child.log.read_bytes()
    assert child.tail() == "token hidden"


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingToolError, match="no-such-program"):
        start_child("thing", ["no-such-program"], tmp_path / "log")


def test_stop_takes_the_whole_group_and_does_not_wait_for_the_deaf(start: Start) -> None:
    code = (
        "import signal, subprocess, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(subprocess.Popen(['sleep', '600']).pid, flush=True)\n"
        "time.sleep(600)"
    )
    child = start(code)
    assert eventually(lambda: child.tail().strip().isdigit())
    grandchild = int(child.tail())
    child.stop(grace=0.1)
    assert not child.alive
    assert eventually(lambda: not running(grandchild))


def test_a_child_started_by_a_short_lived_thread_lives_on(start: Start) -> None:
    made: list[Child] = []
    thread = threading.Thread(target=lambda: made.append(start("import time; time.sleep(600)")))
    thread.start()
    thread.join()
    time.sleep(0.3)
    assert made[0].alive


def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from bridge.local.children import start_child\n"
        "child = start_child('s', ['sleep', '600'], Path(sys.argv[1]))\n"
        "child.wait_ready(lambda: Path(f'/proc/{child.pid}/comm').read_text() == 'sleep\\n')\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert running(child)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    assert eventually(lambda: not running(child))


def test_http_ready_follows_the_server(start: Start, tmp_path: Path) -> None:
    port = free_port()
    probe = http_ready(f"http://127.0.0.1:{port}/")
    assert not probe()
    child = start(
        f"import http.server as h; h.test(h.SimpleHTTPRequestHandler, port={port}, "
        "bind='127.0.0.1')",
        cwd=tmp_path,
    )
    child.wait_ready(probe)
    assert probe()
    assert not http_ready(f"http://127.0.0.1:{port}/absent")()


def test_free_port_is_for_the_address_that_was_asked() -> None:
    port = free_port("127.0.0.1")
    with socket.create_server(("127.0.0.1", port)):
        assert free_port("127.0.0.1") != port
        with pytest.raises(PermanentError, match=rf"127.0.0.1 port {port}: .*in use"):
            free_port("127.0.0.1", port)
    with pytest.raises(PermanentError, match=r"192.0.2.1"):
        free_port("192.0.2.1")


def test_a_session_folder_is_private_and_removed(tmp_path: Path) -> None:
    with SessionFolder(tmp_path) as folder:
        assert folder.path.stat().st_mode & 0o777 == 0o700
        locked = folder.path / "made-by-a-script"
        locked.mkdir()
        (locked / "file").write_text("x")
        locked.chmod(0o500)
    assert list(tmp_path.iterdir()) == []
    folder.close()


def test_a_session_folder_goes_when_the_process_ends(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from bridge.local.children import SessionFolder\n"
        "print(SessionFolder(Path(sys.argv[1])).path.is_dir())"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(command, check=True, stdout=-1, text=True).stdout == "True\n"
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_killed_session_is_swept_and_a_living_one_is_not(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from bridge.local.children import SessionFolder\n"
        "folder = SessionFolder(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    living = SessionFolder(tmp_path)
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    with SessionFolder(tmp_path) as fresh:
        assert set(tmp_path.iterdir()) == {living.path, fresh.path}
    living.close()


def test_a_temporary_folder_is_there_for_the_block(tmp_path: Path) -> None:
    with temporary_folder(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []
