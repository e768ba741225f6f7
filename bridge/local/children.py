"""Servers and workers that this process starts, and that never outlive it.

A child runs in its own process group, gets `death_signal` from the kernel when this process is
gone (even by SIGKILL), and writes to a log file whose tail is part of every start-up error.
"""

from __future__ import annotations

import atexit
import fcntl
import http.client
import os
import queue
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bridge.errors import MissingToolError, PermanentError, TemporaryError
from bridge.secret import HIDDEN, Secret

__all__ = [
    "Child",
    "SessionFolder",
    "free_port",
    "http_ready",
    "start_child",
    "temporary_folder",
]

_POLL: Final = 0.01
_TAIL_BYTES: Final = 16_384
_FOLDER_PREFIX: Final = "oscar-bridge-"
_LOCK: Final = ".lock"

# Runs in the child before the program: asks the kernel for the signal, checks that the parent did
# not die in between, becomes the program. A wrapper and not preexec_fn, which is not safe with
# threads; isolated and without site, so that it costs one bare interpreter start.
_WRAPPER: Final = """\
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, int(sys.argv[1]), 0, 0, 0)
if os.getppid() != int(sys.argv[2]):
    sys.exit(1)
os.execv(sys.argv[3], sys.argv[3:])
"""


class _Spawner:
    """Starts processes from one thread that lives as long as this process.

    The kernel sends the death signal when the *thread* that forked is gone; a child that was
    started from a short-lived worker thread would die with that thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: queue.SimpleQueue[
            tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]
        ] = queue.SimpleQueue()
        self._owner = 0

    def __call__(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._owner != os.getpid():
                self._owner = os.getpid()
                threading.Thread(target=self._run, name="bridge-spawner", daemon=True).start()
        answer: Future[subprocess.Popen[bytes]] = Future()
        self._requests.put((start, answer))
        return answer.result()

    def _run(self) -> None:
        while True:
            start, answer = self._requests.get()
            try:
                answer.set_result(start())
            except OSError as error:
                answer.set_exception(error)


_spawn = _Spawner()


def free_port(address: str = "127.0.0.1", port: int = 0) -> int:
    """A TCP port that nothing listens on at this address now; not reserved for the caller.

    PermanentError when `port` is given and taken, or the address is not this machine's.
    """
    try:
        with socket.create_server((address, port)) as server:
            return int(server.getsockname()[1])
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PermanentError(f"cannot listen on {address} port {port}: {reason}") from error


def http_ready(url: str) -> Callable[[], bool]:
    """A probe for `Child.wait_ready`: true once a GET of the URL answers with 2xx."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def probe() -> bool:
        try:
            with opener.open(url, timeout=2) as answer:
                return 200 <= int(answer.status) < 300
        except (OSError, http.client.HTTPException):
            return False

    return probe


def start_child(
    name: str,
    argv: Sequence[str],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    secret_env: Mapping[str, Secret] | None = None,
    cwd: Path | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> Child:
    """Start a program that dies with this process; its standard error is appended to `log`.

    `env` is the whole environment (default: a copy of ours), `secret_env` is added to it and its
    values are hidden in `Child.tail`. `stdout` is `subprocess.PIPE` for a worker that is spoken to,
    by default the log. May be called from any thread. MissingToolError: no such program.
    """
    program = shutil.which(argv[0])
    if program is None:
        raise MissingToolError(f"{name}: the program {argv[0]!r} is not installed")
    hidden = dict(secret_env or {})
    whole = dict(os.environ if env is None else env)
    whole.update({key: secret.reveal() for key, secret in hidden.items()})
    wrapper = [sys.executable, "-I", "-S", "-c", _WRAPPER]
    command = [*wrapper, str(int(death_signal)), str(os.getpid()), program, *argv[1:]]
    log.parent.mkdir(parents=True, exist_ok=True)

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as sink:
            return subprocess.Popen(
                command,
                stdin=stdin,
                stdout=sink if stdout is None else stdout,
                stderr=sink,
                env=whole,
                cwd=cwd,
                start_new_session=True,
            )

    return Child(name, _spawn(start), log, tuple(hidden.values()))


class Child:
    """A running child process, the leader of its own group."""

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], log: Path, hidden: tuple[Secret, ...]
    ) -> None:
        self.name = name
        self.process = process
        self.log = log
        self._hidden = hidden
        self._ending = threading.Lock()
        self._over = False

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its group."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """True until the process has ended."""
        return self.process.poll() is None

    def wait_ready(self, probe: Callable[[], bool], timeout: float = 30.0) -> None:
        """Return once the probe is true.

        PermanentError when the child ends first, TemporaryError after `timeout` seconds; both with
        the tail of the log. The child is stopped before the error is raised.
        """
        limit = time.monotonic() + timeout
        while not probe():
            if not self.alive:
                status = self.process.returncode
                raise PermanentError(f"{self.name} ended with status {status}{self._said()}")
            if time.monotonic() > limit:
                self.stop()
                raise TemporaryError(
                    f"{self.name} was not ready after {timeout:g} seconds{self._said()}"
                )
            time.sleep(_POLL)

    def tail(self, lines: int = 20) -> str:
        """The last lines of the log, secrets hidden; "" when there is none."""
        try:
            with self.log.open("rb") as source:
                source.seek(max(0, source.seek(0, os.SEEK_END) - _TAIL_BYTES))
                text = source.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        for secret in self._hidden:
            text = text.replace(secret.reveal(), HIDDEN)
        return "\n".join(text.splitlines()[-lines:])

    def end(self, grace: float = 5.0) -> None:
        """SIGTERM to the group, SIGKILL after `grace` seconds; pipes stay open for their reader."""
        with self._ending:
            if self._over:
                return
            if grace > 0 and self.alive:
                self._signal(signal.SIGTERM)
                self._wait(grace)
            self._signal(signal.SIGKILL)
            self.process.wait()
            # The group's id may belong to strangers from now on.
            self._over = True

    def close_input(self) -> None:
        """Let a child with a pipe for its input read the end of it."""
        if self.process.stdin is not None:
            _close(self.process.stdin.close)

    def stop(self, grace: float = 5.0) -> None:
        """As `end`, and close the pipes, which no other thread may be reading."""
        self.end(grace)
        self.close_input()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def kill(self) -> None:
        """SIGKILL to the whole group; as `stop` without grace."""
        self.stop(0)

    def _said(self) -> str:
        tail = self.tail()
        return f"; the end of {self.log}:\n{tail}" if tail else "; its log is empty"

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return

    def _wait(self, seconds: float) -> None:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return


def _close(close: Callable[[], None]) -> None:
    """Close a pipe whose other end may be gone with bytes still buffered."""
    try:
        close()
    except BrokenPipeError:
        return


class SessionFolder:
    """A private folder (0700) for one session, removed by `close` and at exit.

    It is locked while this process lives; a new one first removes those of the same user whose
    process was killed before it could.
    """

    def __init__(self, parent: Path | None = None) -> None:
        root = Path(tempfile.gettempdir()) if parent is None else parent
        for stale in root.glob(f"{_FOLDER_PREFIX}*/{_LOCK}"):
            _sweep(stale)
        self.path = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX, dir=root))
        # Locked under another name first: what is named _LOCK is never seen unlocked while in use.
        fresh = self.path / f"{_LOCK}.new"
        self._lock = os.open(fresh, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        fresh.rename(self.path / _LOCK)
        self._open = True
        atexit.register(self.close)

    def close(self) -> None:
        """Remove the folder and all in it; no error when it is gone."""
        if self._open:
            self._open = False
            atexit.unregister(self.close)
            _remove_tree(self.path)
            os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _sweep(lock: Path) -> None:
    """Remove the folder of a lock file that no living process holds and that is ours."""
    try:
        if lock.lstat().st_uid != os.getuid():
            return
        handle = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        _remove_tree(lock.parent)
    finally:
        os.close(handle)


def _remove_tree(folder: Path) -> None:
    """Remove what can be; scripts may leave folders without write permission behind."""
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        return
    for place, names, _ in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if not path.is_symlink() and path.stat().st_uid == os.getuid():
                path.chmod(stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def temporary_folder(parent: Path | None = None) -> Iterator[Path]:
    """The path of a `SessionFolder` that lives as long as the block."""
    with SessionFolder(parent) as folder:
        yield folder.path
