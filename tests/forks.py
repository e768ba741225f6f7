"""The command in a process of its own, forked from one that has imported what commands import.

An interpreter and its imports are most of what a command costs, and the tests start hundreds.
What the start itself does, and what it must not import, is tried with real starts elsewhere
(`tests/cli/test_face.py`).
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bridge.targets.aws import account

_AHEAD = (
    "bridge.cli.main",
    "bridge.cli.deployment",
    "bridge.cli.jobs",
    "bridge.cli.logs",
    "bridge.cli.oneshot",
    "bridge.cli.operate",
    "bridge.cli.placement",
    "bridge.deploy",
    "bridge.operate.sides",
    "boto3",
    "botocore.client",
    "rich.live",
    "rich.table",
)
# Services of AWS that commands ask, whose descriptions are megabytes of JSON.
_ASKED = ("batch", "cloudformation", "dynamodb", "lambda", "logs", "s3", "sqs", "ssm", "sts")
_MOST = 1 << 20  # bytes of a request


@cache
def _server() -> tuple[str, subprocess.Popen[bytes]]:
    """Address of this process's server, which ends with this process."""
    address = str(Path(tempfile.mkdtemp(prefix="forks-")) / "socket")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen()
    program = f"from tests.forks import serve; serve({listener.fileno()})"
    started = subprocess.Popen(
        ["env", "--default-signal", sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        pass_fds=[listener.fileno()],
        cwd=Path(__file__).parents[1],
    )
    listener.close()
    return address, started


def run(
    arguments: Sequence[str], cwd: Path | None, env: Mapping[str, str], timeout: float
) -> tuple[int, str, str]:
    """Status (negative: by that signal), standard output and standard error of a command."""
    address, _ = _server()
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line,
    ):
        line.connect(address)
        request = [list(arguments), str(cwd or Path.cwd()), dict(env)]
        socket.send_fds(line, [json.dumps(request).encode()], [out.fileno(), err.fileno()])
        line.settimeout(timeout)
        child = int(line.recv(64))
        try:
            status = int(line.recv(64))
        except TimeoutError:
            os.kill(child, signal.SIGKILL)
            raise subprocess.TimeoutExpired(["oscar-bridge", *arguments], timeout) from None
        return status, _text(out), _text(err)


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode())


def serve(listening: int) -> None:
    """Fork a child for each request until standard input ends; one thread, so that forks work."""
    for name in _AHEAD:
        importlib.import_module(name)
    for name in _ASKED:
        account.descriptions().load_service_model(name, "service-2")
    gc.collect()
    gc.freeze()  # what is collected is copied
    listener = socket.socket(fileno=listening)
    news, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    lines: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as ready:
        for source in (listener, news, sys.stdin):
            ready.register(source, selectors.EVENT_READ)
        while True:
            found = [key.fileobj for key, _ in ready.select()]
            if sys.stdin in found:
                return
            if news in found:
                news.recv(4096)
                _reap(lines)
            if listener in found:
                line, _ = listener.accept()
                request, files, _, _ = socket.recv_fds(line, _MOST, 2)
                child = os.fork()
                if not child:
                    break
                for file in files:
                    os.close(file)
                line.send(str(child).encode())
                lines[child] = line
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for one in (line, listener, news, wake, *lines.values()):
        one.close()
    _become(*json.loads(request), *files)


def _reap(lines: dict[int, socket.socket]) -> None:
    """Tell those whose command has ended."""
    while lines:
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            return
        with lines.pop(child) as line:
            line.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(arguments: list[str], cwd: str, env: dict[str, str], out: int, err: int) -> None:
    """The command, in the forked child; it ends as any other."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    with open(os.devnull) as nothing:  # noqa: PTH123  the descriptor is what is wanted
        os.dup2(nothing.fileno(), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    sys.argv = ["oscar-bridge", *arguments]
    importlib.import_module("bridge.cli.main").main()
