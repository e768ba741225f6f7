"""Tasks as plain processes of this user: no isolation, and the image is not used."""

from __future__ import annotations

import array
import errno
import fcntl
import os
import select
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from bridge.errors import PermanentError, TemporaryError
from bridge.local.executors import _proc
from bridge.local.executors._files import remove_tree
from bridge.local.executors._lines import LineSplitter
from bridge.local.executors._sampler import Sampler, Watch
from bridge.local.executors.model import Exit, OnExit, Sink, Task

_CHUNK: Final = 65_536
_LAST_OUTPUT: Final = 2.0
_MIB: Final = 1024 * 1024

RUNTIME_PROGRAMS: Final[Mapping[str, str]] = {
    "/opt/bridge/bin/bridge-supervisor": "bridge.supervisor",
    "/opt/bridge/bin/bridge-lambda": "lambda_runtime",
    "/opt/bridge/bin/bridge-batch": "batch",
}


class ProcessExecutor:
    """Runs each task as a process tree in a folder of its own, which is its TMPDIR and HOME.

    `session` marks every process that it starts, `folder` is where the tasks' folders are made
    (default: a new temporary folder, removed by `close`). The runtime's programs run from this
    installation. Environment: PATH, LANG, HOME, TMPDIR and the task's own, nothing of ours.
    A value of the environment or an argument that is a path below a mount's target becomes the
    path on this machine. Memory limits are enforced by sampling (see _sampler); `cpus` is not.
    """

    engine = "process"

    def __init__(self, session: str, folder: Path | None = None) -> None:
        self._session = session
        self._own_folder = folder is None
        self._folder = Path(tempfile.mkdtemp(prefix="bridge-tasks-")) if folder is None else folder
        self._sampler = Sampler()
        self._lock = threading.Lock()
        self._running: dict[str, _RunningProcess] = {}
        self._count = 0
        self._closed = False

    def start(self, task: Task, sink: Sink, on_exit: OnExit | None = None) -> _RunningProcess:
        """See `Executor.start`."""
        with self._lock:
            if self._closed:
                raise TemporaryError(f"{task.name}: this machine's executor is shutting down")
            self._count += 1
            number = self._count
        name = f"{self._session}.{number}"
        place = self._folder / f"task-{number}"
        place.mkdir(parents=True)
        try:
            return self._launch(task, name, place, sink, on_exit)
        except BaseException:
            remove_tree(place)
            raise

    def check(self, image: str) -> None:
        """Nothing to check: the image is not used."""

    def close(self) -> None:
        """See `Executor.close`; no task can start afterwards."""
        with self._lock:
            self._closed = True
            running = list(self._running.values())
        for one in running:
            one.kill()
        _proc.kill_task(None, f"{self._session}.")
        if self._own_folder:
            remove_tree(self._folder)

    def _launch(
        self, task: Task, name: str, place: Path, sink: Sink, on_exit: OnExit | None
    ) -> _RunningProcess:
        command = [_on_host(word, task) for word in _command(task)]
        workdir = Path(task.workdir) if task.workdir and Path(task.workdir).is_dir() else place
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=workdir,
                env=_environment(task, name, place),
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise _cannot_start(task, command[0], error) from error
        finish = _Finish(on_exit, lambda: self._forget(name, place))
        running = _RunningProcess(
            name, process, limit=task.memory, sink=sink, sampler=self._sampler, finish=finish
        )
        with self._lock:
            self._running[name] = running
        running.follow()
        return running

    def _forget(self, name: str, place: Path) -> None:
        remove_tree(place)
        with self._lock:
            self._running.pop(name, None)


class _Finish:
    """What to do when a task has ended."""

    def __init__(self, on_exit: OnExit | None, clean: Callable[[], None]) -> None:
        self._on_exit = on_exit
        self._clean = clean

    def clean(self) -> None:
        """Remove what the task left, before anybody hears of its end."""
        self._clean()

    def tell(self, end: Exit) -> None:
        """Tell who asked for it."""
        if self._on_exit is not None:
            self._on_exit(end)


class _RunningProcess:
    """A process tree, followed by one thread that reads its output and then its end."""

    def __init__(
        self,
        name: str,
        process: subprocess.Popen[bytes],
        *,
        limit: int | None,
        sink: Sink,
        sampler: Sampler,
        finish: _Finish,
    ) -> None:
        assert process.stdout is not None
        self._name = name
        self._marker = f"{name}\0"
        self._process = process
        self._reaped = False
        self._pipe = process.stdout.fileno()
        self._lines = LineSplitter(sink)
        self._sampler = sampler
        self._finish = finish
        self._watch = Watch(process.pid, limit, self._out_of_memory)
        self._excess = ""
        self._idle = threading.Event()
        self._ended = threading.Event()
        self._exit: Exit | None = None
        self._thread = threading.Thread(target=self._follow, name=f"bridge-{name}", daemon=True)

    @property
    def id(self) -> str:
        """See `Running.id`."""
        return self._name

    @property
    def peak_memory(self) -> int | None:
        """See `Running.peak_memory`."""
        if self._exit is None:
            self._watch.see(_proc.table())
        return self._watch.peak or None

    def follow(self) -> None:
        """Start the thread; once."""
        self._sampler.add(self._watch)
        self._thread.start()

    def wait(self, timeout: float | None = None) -> Exit | None:
        """See `Running.wait`."""
        self._ended.wait(timeout)
        return self._exit

    def kill(self, grace: float = 0.0) -> Exit:
        """See `Running.kill`."""
        if grace > 0 and self._exit is None:
            self._terminate()
            self.wait(grace)
        if self._exit is None:
            _proc.kill_task(self._root(), self._marker)
        self._ended.wait()
        assert self._exit is not None
        return self._exit

    def drain(self, timeout: float = 0.05) -> None:
        """See `Running.drain`."""
        limit = time.monotonic() + timeout
        while not self._ended.is_set() and time.monotonic() < limit:
            if self._idle.is_set() and not _readable(self._pipe):
                return
            time.sleep(0.0005)

    def _out_of_memory(self, held: int) -> None:
        if not self._excess:
            limit = (self._watch.limit or 0) // _MIB
            self._excess = f"out of memory: {held // _MIB} MiB held, the limit is {limit} MiB"
            _proc.kill_task(self._root(), self._marker)

    def _terminate(self) -> None:
        """To the first process only, as an engine does; what becomes of the others is its duty."""
        if root := self._root():
            _proc.send(root, signal.SIGTERM)

    def _root(self) -> int | None:
        """The first process, as long as its number cannot be anybody else's."""
        return None if self._reaped else self._process.pid

    def _follow(self) -> None:
        try:
            self._read_until_exit()
        finally:
            # As in a container: when the first process is gone, so are all others. It is reaped
            # last, so that its number still means this task.
            _proc.kill_task(self._process.pid, self._marker)
            self._reaped = True
            self._process.wait()
            self._read_rest()
            self._sampler.remove(self._watch)
            self._lines.finish()
            self._end()

    def _read_until_exit(self) -> None:
        handle = os.pidfd_open(self._process.pid)
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.register(self._pipe, select.POLLIN)
        try:
            while True:
                self._idle.set()
                ready = {fd for fd, _ in poll.poll()}
                self._idle.clear()
                if handle in ready:
                    return
                if not self._read_once():
                    poll.unregister(self._pipe)
        finally:
            os.close(handle)

    def _read_once(self) -> bool:
        chunk = os.read(self._pipe, _CHUNK)
        self._lines.feed(chunk)
        return bool(chunk)

    def _read_rest(self) -> None:
        """To the end of the pipe, unless somebody who cannot be killed keeps it open."""
        limit = time.monotonic() + _LAST_OUTPUT
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        while poll.poll(_LAST_OUTPUT * 1000) and self._read_once():
            if time.monotonic() > limit:
                return

    def _end(self) -> None:
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._finish.clean()
        self._exit = _exit_of(self._process.returncode, self._excess)
        self._ended.set()
        self._finish.tell(self._exit)


def _exit_of(status: int, excess: str) -> Exit:
    if status >= 0 and not excess:
        return Exit(status)
    number = -status if status < 0 else signal.SIGKILL
    return Exit(128 + number, int(number), bool(excess), excess)


def _command(task: Task) -> list[str]:
    words = [*(task.argv or ()), *task.args]
    if not words:
        raise PermanentError(
            f"{task.name}: nothing says which program to run",
            hint="without a container engine the image's own ENTRYPOINT is not known: give a "
            "command, or start a container engine",
        )
    module = RUNTIME_PROGRAMS.get(words[0])
    return [sys.executable, "-P", "-m", module, *words[1:]] if module else words


def _environment(task: Task, name: str, place: Path) -> dict[str, str]:
    base = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "HOME": str(place),
        "TMPDIR": str(place),
    }
    if task.scratch:
        base["BRIDGE_SCRATCH"] = str(place)
    own = {key: _on_host(value, task) for key, value in task.env.items()}
    return base | own | {_proc.MARKER: name}


def _on_host(word: str, task: Task) -> str:
    for host, target in (*task.mounts.items(), *task.writable.items()):
        if word == target or word.startswith(target.rstrip("/") + "/"):
            return str(host) + word[len(target.rstrip("/")) :]
    return word


def _cannot_start(task: Task, program: str, error: OSError) -> PermanentError | TemporaryError:
    text = f"{task.name}: {program} cannot be started: {error.strerror}"
    if isinstance(error, FileNotFoundError | PermissionError) or error.errno == errno.ENOEXEC:
        return PermanentError(text, hint="the program must be installed on this machine")
    return TemporaryError(text)


def _readable(pipe: int) -> int:
    size = array.array("i", [0])
    try:
        fcntl.ioctl(pipe, termios.FIONREAD, size)
    except OSError:
        return 0
    return size[0]
