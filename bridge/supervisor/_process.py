"""Running the user's script: its output streamed, its time limited, its processes ended."""

from __future__ import annotations

import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from bridge.supervisor import _tree
from bridge.supervisor._signals import held_back

GRACE = 5.0
# Processes that the script leaves behind when it ends get less.
_LEFT_GRACE = 1.0
_BLOCK = 65536
_TICK_MS = 50
# What is still in the pipe when every writer is dead arrives at once; this bounds a foreign writer.
_DRAIN_MS = 500
# Python ignores the first two, and an ignored signal would stay ignored in the script.
_DEFAULTS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT)

Log = Callable[[bytes], object]


class Outcome(NamedTuple):
    """How a script ended. `code` is its exit status, negative for the signal that killed it.

    `timed_out` says that it was ended for lack of time (`code` is then of no meaning), `text` is
    the end of what it wrote, `left` how many processes had to be ended after it, `log_error` why
    the log is not complete.
    """

    code: int
    timed_out: bool = False
    text: bytes = b""
    left: int = 0
    log_error: str = ""


class Tail:
    """The last bytes of a stream: at least `limit` of them, less than a block more."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._blocks: deque[bytes] = deque()
        self._size = 0

    def add(self, block: bytes) -> None:
        """Take the next bytes and forget what is too old."""
        self._blocks.append(block)
        self._size += len(block)
        while self._blocks and self._size - len(self._blocks[0]) >= self._limit:
            self._size -= len(self._blocks.popleft())

    def last(self) -> bytes:
        """The last `limit` bytes, or all when there were fewer."""
        return b"".join(self._blocks)[-self._limit :] if self._limit else b""


def run(
    command: Sequence[str],
    env: Mapping[str, str],
    folder: str,
    *,
    log: Log,
    keep: int,
    deadline: float | None,
    grace: float = GRACE,
    listener: Log | None = None,
) -> Outcome:
    """Run a command in a folder until it ends or `deadline` (of time.monotonic) is over.

    Standard output and error go to `log` as they come, whose last line is ended, and to `listener`
    as they are; the last `keep` bytes are in the outcome.
    When the time is over, what runs has `grace` seconds between SIGTERM and SIGKILL.
    Nothing that the command started lives on, whatever session or group it made for itself.
    Only one command at a time per process: until then this one is the parent of all orphans, and
    its working folder changes for a moment. Raises OSError when the command cannot be started.
    """
    _tree.adopt_orphans()
    spare = _tree.descendants()
    running = _Running(log, keep, listener)
    try:
        # No signal between the start and the moment when we know whom we started.
        with held_back():
            running.start(command, env, folder)
        timed_out = not running.follow(deadline)
    finally:
        patience = grace if running.code is None else min(grace, _LEFT_GRACE)
        with held_back():
            left = _tree.end_all(spare, patience, running.drain)
            _tree.adopt_orphans(False)
            running.close()
    code = 0 if running.code is None else running.code
    return Outcome(code, timed_out, running.tail.last(), left, running.log_error)


class _Running:
    """A started command and the pipe that its output comes through."""

    def __init__(self, log: Log, keep: int, listener: Log | None) -> None:
        self._listener = listener
        self.code: int | None = None
        self.tail = Tail(keep)
        self.log_error = ""
        self._unfinished = False
        self._log = log
        self._pid = 0
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._open = True

    def start(self, command: Sequence[str], env: Mapping[str, str], folder: str) -> None:
        """Start the command in a session of its own that inherits nothing of ours."""
        # A descriptor, because the folder may have been removed meanwhile.
        before = os.open(".", os.O_PATH | os.O_CLOEXEC)
        try:
            os.chdir(folder)
            self._pid = os.posix_spawn(
                command[0],
                list(command),
                dict(env),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, self._writer, 1),
                    (os.POSIX_SPAWN_DUP2, self._writer, 2),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=_DEFAULTS,
            )
        finally:
            os.fchdir(before)
            os.close(before)
            os.close(self._writer)
            self._writer = -1

    def follow(self, deadline: float | None) -> bool:
        """Take output until the command is over; False when the time is over first."""
        poller = select.poll()
        poller.register(self._reader, select.POLLIN)
        watch = _watch(self._pid)
        if watch >= 0:
            poller.register(watch, select.POLLIN)
        try:
            while not self._over():
                wait = _wait_ms(deadline, watch)
                if wait == 0:
                    return False
                poller.poll(wait)
                if self._open and not self.drain():
                    poller.unregister(self._reader)
            return True
        finally:
            if watch >= 0:
                os.close(watch)

    def drain(self) -> bool:
        """Take what is in the pipe; False once nobody can write to it any more."""
        while self._open:
            try:
                block = os.read(self._reader, _BLOCK)
            except BlockingIOError:
                return True
            if not block:
                self._open = False
                break
            self.tail.add(block)
            if self._listener is not None:
                self._listener(block)
            self._write(block)
        return False

    def close(self) -> None:
        """Take the rest of the output, end its last line in the log, let go of the pipe."""
        if self._writer >= 0:
            os.close(self._writer)
        if self.drain():
            poller = select.poll()
            poller.register(self._reader, select.POLLIN)
            while poller.poll(_DRAIN_MS) and self.drain():
                continue
        os.close(self._reader)
        if self._unfinished:
            self._write(b"\n")

    def _over(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def _write(self, block: bytes) -> None:
        if self.log_error:
            return
        self._unfinished = not block.endswith(b"\n")
        try:
            self._log(block)
        except OSError as error:
            # The work goes on: a full disk of logs is no reason to lose it.
            self.log_error = f"the log is not complete: {error.strerror or error}"


def _watch(pid: int) -> int:
    """A descriptor that becomes readable when the process ends; -1 where kernels have none."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1


def _wait_ms(deadline: float | None, watch: int) -> int | None:
    """How long to sleep at most: None for ever, 0 when the time is over."""
    if deadline is None:
        return None if watch >= 0 else _TICK_MS
    left = deadline - time.monotonic()
    if left <= 0:
        return 0
    wait = min(int(left * 1000) + 1, 2**30)
    return wait if watch >= 0 else min(wait, _TICK_MS)
