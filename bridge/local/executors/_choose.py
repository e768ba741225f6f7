"""Which executor a session gets."""

from __future__ import annotations

from pathlib import Path

from bridge.errors import MissingToolError, UsageError
from bridge.local.executors._container import container_executor, engine_available
from bridge.local.executors._process import ProcessExecutor
from bridge.local.executors.model import Executor

ENGINES = ("auto", "container", "process")


def resolve(engine: str) -> str:
    """`container` or `process` for an engine's name; `auto` is a container where one answers.

    UsageError for another name, MissingToolError when `container` is asked for and none answers.
    """
    if engine not in ENGINES:
        raise UsageError(f"no engine is called {engine!r}", hint="one of " + ", ".join(ENGINES))
    if engine == "process":
        return engine
    reason = engine_available()
    if reason is None:
        return "container"
    if engine == "container":
        raise MissingToolError(
            f"containers were asked for, but: {reason}",
            hint="start a Docker engine, or use --engine process",
        )
    return "process"


def choose(
    engine: str, session: str, *, folder: Path | None = None, runtime: Path | None = None
) -> Executor:
    """The executor for an engine's name; see `resolve`.

    `folder` is for the files of tasks that run as processes, `runtime` is mounted as /opt/bridge
    into containers.
    """
    if resolve(engine) == "container":
        return container_executor(session, runtime)
    return ProcessExecutor(session, folder)
