"""What an executor is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

__all__ = ["Executor", "Exit", "OnExit", "Running", "Sink", "Task"]

Sink = Callable[[str], None]
"""Takes a line of output without its end; called from one thread per task, must not raise."""


@dataclass(frozen=True, slots=True)
class Task:
    """One program to run once.

    `argv` is the program with its first arguments and replaces the image's ENTRYPOINT; None keeps
    the image's. `args` follow it and replace the image's CMD; empty keeps the image's CMD when
    `argv` is None. `memory` is in bytes, `cpus` in cores; None is no limit. `mounts` are host
    paths and where they appear, read-only; those of `writable` can be written. `workdir` None is
    the image's own. `read_only` is the image's file system's; `scratch` are folders in memory that
    can be written, each with its size in bytes, beside `memory`. Plain processes know neither:
    they get their own folder as BRIDGE_SCRATCH where a task has a scratch folder.
    """

    name: str
    image: str = ""
    argv: tuple[str, ...] | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    memory: int | None = None
    cpus: float | None = None
    mounts: Mapping[Path, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    writable: Mapping[Path, str] = field(default_factory=dict)
    read_only: bool = False
    scratch: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a task ended. `code` is 128 + `signal` when a signal ended it.

    `oom` says that the memory limit was the cause; `reason` is a sentence or "". `unable` says that
    the program could not be executed at all, and never will in this image.
    """

    code: int
    signal: int | None = None
    oom: bool = False
    reason: str = ""
    unable: bool = False


OnExit = Callable[[Exit], None]
"""Called once, after the last line went to the sink; must not block or raise."""


class Running(Protocol):
    """A started task. All methods may be called from any thread."""

    @property
    def id(self) -> str:
        """A name of this run that is unique on this machine."""
        ...

    @property
    def peak_memory(self) -> int | None:
        """Bytes held at most so far as far as it was measured; None when it was not."""
        ...

    def wait(self, timeout: float | None = None) -> Exit | None:
        """How it ended, all output delivered and no process left; None after `timeout` seconds."""
        ...

    def kill(self, grace: float = 0.0) -> Exit:
        """SIGTERM to the first process, after `grace` seconds SIGKILL to all, then `wait`."""
        ...

    def drain(self, timeout: float = 0.05) -> None:
        """Wait until what was written so far is likely to be in the sink; at most `timeout`."""
        ...


class Executor(Protocol):
    """Starts tasks on this machine."""

    @property
    def engine(self) -> str:
        """`process` or `container`."""
        ...

    def start(self, task: Task, sink: Sink, on_exit: OnExit | None = None) -> Running:
        """Start a task; its output goes to `sink` line by line, standard error included.

        PermanentError when it can never start (no such image or program), TemporaryError when the
        engine does not answer.
        """
        ...

    def check(self, image: str) -> int | None:
        """The bytes of the image, None where none is used; PermanentError when no task of it could
        start."""
        ...

    def close(self) -> None:
        """Kill every task that this executor started and remove what they left."""
        ...
