"""The container engine of this machine, without importing its SDK before it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from bridge.errors import BridgeError, MissingToolError
from bridge.local.executors.model import Executor


@dataclass(frozen=True, slots=True)
class Image:
    """An image of this machine: its digest, bytes, and seconds since the epoch when it was made."""

    digest: str
    size: int
    created: float


def engine_available() -> str | None:
    """None when a Docker engine answers, else a sentence that says why not."""
    try:
        _docker().connect(5).close()
    except BridgeError as error:
        return f"{error.message} ({error.hint})" if error.hint else error.message
    return None


def gateway() -> str:
    """The address of this machine as containers on the engine's default network see it.

    TemporaryError when the engine does not answer or has no such network.
    """
    return str(_docker().bridge_address())


def sweep(session: str) -> int:
    """Kill and remove every container of a session; the number of them.

    TemporaryError when the engine does not answer.
    """
    return int(_docker().remove_session(session))


def container_address(container: str) -> str:
    """The address at which other containers of the default network reach one, by its id.

    TemporaryError when the engine does not answer, PermanentError when it is gone.
    """
    return str(_docker().address_of(container))


def local_images() -> dict[str, Image]:
    """The images of this machine by each of their names, `repository:tag`.

    TemporaryError when the engine does not answer.
    """
    return {
        name: Image(str(one["Id"]), int(one["Size"]), float(one["Created"]))
        for one in _docker().list_images()
        for name in one.get("RepoTags") or ()
    }


def container_executor(session: str, runtime: Path | None = None) -> Executor:
    """An executor that runs each task in a container with its memory (no swap) and cores.

    Images must be on this machine: nothing is ever pulled. `runtime` is the folder that appears,
    read-only, as /opt/bridge. Containers carry `session` as a label and are removed when they end.
    TemporaryError when no engine answers.
    """
    executor: Executor = _docker().ContainerExecutor(session, runtime)
    return executor


def _docker() -> ModuleType:
    try:
        from bridge.local.executors import _docker as module  # noqa: PLC0415  the SDK costs 0.2 s
    except ImportError as error:
        raise MissingToolError(
            "the Python package `docker` is not installed",
            hint="pip install 'oscar-bridge[local]'",
        ) from error
    return module
