"""Tasks as containers of the Docker engine: all that touches its SDK. Imported only when needed."""

from __future__ import annotations

import ipaddress
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from docker import APIClient
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import Mount
from docker.utils import kwargs_from_env
from requests.exceptions import RequestException

from bridge.errors import PermanentError, TemporaryError
from bridge.local.executors._cgroup import MemoryWatch, memory_file
from bridge.local.executors._lines import LineSplitter
from bridge.local.executors.model import Exit, OnExit, Sink, Task

SESSION_LABEL: Final = "oscar-bridge.session"
TASK_LABEL: Final = "oscar-bridge.task"
RUNTIME_TARGET: Final = "/opt/bridge"
HOST_NAME: Final = "host.docker.internal"

_ANSWER_SECONDS: Final = 10
_QUIET: Final = 0.005
# The engine is slow with the first output of a container: it may come after the program's answer.
_SILENT: Final = 0.3
_SIGNAL_BASE: Final = 128
_FIRST: Final = 300
_NAME_LENGTH: Final = 40
_NANO: Final = 1_000_000_000


def bridge_address() -> str:
    """See `gateway`."""
    client = connect(_ANSWER_SECONDS)
    try:
        settings = _ask("read the network `bridge`", lambda: client.inspect_network("bridge"))
    finally:
        client.close()
    for pool in settings.get("IPAM", {}).get("Config") or ():
        if address := pool.get("Gateway"):
            return str(address)
        # Some engines leave it out until the first container; they take the first address.
        if subnet := pool.get("Subnet"):
            return str(ipaddress.ip_network(subnet)[1])
    raise TemporaryError("the container engine's network `bridge` has no gateway address")


def remove_session(session: str) -> int:
    """See `sweep`."""
    client = connect(_ANSWER_SECONDS)
    wanted = {"label": f"{SESSION_LABEL}={session}"}
    try:
        found = _ask("list containers", lambda: client.containers(all=True, filters=wanted))
        for one in found:
            _remove(client, one["Id"])
        return len(found)
    finally:
        client.close()


def address_of(container: str) -> str:
    """See `container_address`."""
    client = connect(_ANSWER_SECONDS)
    try:
        found = _ask("inspect a container", lambda: client.inspect_container(container))
    finally:
        client.close()
    networks = found["NetworkSettings"].get("Networks") or {}
    return next((str(one["IPAddress"]) for one in networks.values() if one["IPAddress"]), "")


def list_images() -> list[dict[str, Any]]:
    """See `local_images`."""
    client = connect(_ANSWER_SECONDS)
    try:
        return list(_ask("list images", client.images))
    finally:
        client.close()


class ContainerExecutor:
    """Runs each task in a container, with its limits of memory (no swap) and cores.

    Images must be on this machine: nothing is ever pulled. `runtime` is the folder that appears,
    read-only, as /opt/bridge. Containers carry `session` as a label and are removed when they end.
    """

    engine = "container"

    def __init__(self, session: str, runtime: Path | None = None) -> None:
        self._session = session
        self._runtime = runtime
        self._client = connect(None)
        self._cores = float(_ask("ask for its size", self._client.info)["NCPU"])
        self._closed = False

    def start(self, task: Task, sink: Sink, on_exit: OnExit | None = None) -> _RunningContainer:
        """See `Executor.start`. `cpus` above this machine's cores is all of them."""
        if self._closed:
            raise TemporaryError(f"{task.name}: this machine's executor is shutting down")
        settings = self._settings(task)
        container = _ask(
            f"create a container for {task.name}",
            lambda: self._create(settings, _container_name(task)),
            image=task.image,
        )["Id"]
        running = _RunningContainer(self._client, container, sink, on_exit)
        try:
            running.launch(task)
        except BaseException:
            _remove(self._client, container)
            raise
        return running

    def check(self, image: str) -> int:
        """See `Executor.check`."""
        said = _ask("look for an image", lambda: self._inspect(image), image=image)
        return int(said["Size"])

    def close(self) -> None:
        """See `Executor.close`; no task can start afterwards."""
        self._closed = True
        remove_session(self._session)
        self._client.close()

    def _create(self, settings: dict[str, Any], name: str) -> dict[str, Any]:
        answer = self._client.create_container_from_config(settings, name)  # type: ignore[no-untyped-call]
        return dict(answer)

    def _inspect(self, image: str) -> dict[str, Any]:
        return dict(self._client.inspect_image(image))  # type: ignore[no-untyped-call]

    def _settings(self, task: Task) -> dict[str, Any]:
        mounts = [
            Mount(target, str(source), type="bind", read_only=True)
            for source, target in self._mounts(task).items()
        ]
        mounts += [
            Mount(target, str(source), type="bind") for source, target in task.writable.items()
        ]
        host: dict[str, Any] = {
            "extra_hosts": {HOST_NAME: "host-gateway"},
            # The output comes through `attach`; a second copy of it on disk is of no use.
            "log_config": {"Type": "none", "Config": {}},
            "mounts": mounts,
        }
        if task.read_only:
            host["read_only"] = True
        if task.scratch:
            options = "rw,exec,nosuid,nodev,mode=1777,size="
            host["tmpfs"] = {path: f"{options}{size}" for path, size in task.scratch.items()}
        if task.memory is not None:
            # The kernel counts such folders as memory; what processes hold is watched beside it.
            most = task.memory + sum(task.scratch.values())
            host |= {"mem_limit": most, "memswap_limit": most}
        if task.cpus is not None:
            host["nano_cpus"] = int(min(task.cpus, self._cores) * _NANO)
        return dict(
            self._client.create_container_config(
                task.image,
                list(task.args) or None,  # type: ignore[arg-type]
                environment=dict(task.env),
                entrypoint=list(task.argv) if task.argv is not None else None,
                working_dir=task.workdir,
                labels={**task.labels, SESSION_LABEL: self._session, TASK_LABEL: task.name},
                host_config=self._client.create_host_config(**host),
            )
        )

    def _mounts(self, task: Task) -> dict[Path, str]:
        mounts = dict(task.mounts)
        if self._runtime is not None and RUNTIME_TARGET not in mounts.values():
            mounts[self._runtime] = RUNTIME_TARGET
        return mounts


class _RunningContainer:
    """A container, followed by one thread that reads its output and then its end."""

    def __init__(
        self, client: APIClient, container: str, sink: Sink, on_exit: OnExit | None
    ) -> None:
        self._client = client
        self._container = container
        self._out = LineSplitter(sink)
        self._err = LineSplitter(sink)
        self._on_exit = on_exit
        self._ended = threading.Event()
        self._exit: Exit | None = None
        self._last_output = 0.0
        self._drained = False
        self._program = ""
        self._first = b""
        self._watch: MemoryWatch | None = None
        self._excess = ""

    @property
    def id(self) -> str:
        """See `Running.id`."""
        return self._container

    @property
    def peak_memory(self) -> int | None:
        """See `Running.peak_memory`: not measured, the engine takes a second to tell."""
        return None

    def launch(self, task: Task) -> None:
        """Attach to the output, then start: no line can be missed."""
        self._program = next(iter((*(task.argv or ()), *task.args)), "")
        frames = _ask(
            f"attach to {task.name}",
            lambda: self._client.attach(
                self._container, stdout=True, stderr=True, stream=True, demux=True
            ),
        )
        try:
            self._client.start(self._container)
            if task.memory is not None and task.scratch:
                self._watch_memory(task.memory)
        except APIError as error:
            raise _not_started(task, error) from error
        name = f"bridge-{self._container[:12]}"
        threading.Thread(target=self._follow, args=(frames,), name=name, daemon=True).start()

    def wait(self, timeout: float | None = None) -> Exit | None:
        """See `Running.wait`."""
        self._ended.wait(timeout)
        return self._exit

    def kill(self, grace: float = 0.0) -> Exit:
        """See `Running.kill`."""
        if grace > 0 and self._exit is None:
            self._signal("SIGTERM")
            self.wait(grace)
        if self._exit is None:
            self._signal("SIGKILL")
        self._ended.wait()
        assert self._exit is not None
        return self._exit

    def drain(self, timeout: float = 0.05) -> None:
        """See `Running.drain`: until the output has been quiet for a moment."""
        begin = time.monotonic()
        limit, silent = begin + timeout, begin + min(timeout, _SILENT)
        # Once: a program that has said nothing by its first answer may never do.
        while not (self._last_output or self._drained) and time.monotonic() < silent:
            time.sleep(_QUIET)
        self._drained = True
        time.sleep(_QUIET)
        while time.monotonic() < limit and time.monotonic() - self._last_output < _QUIET:
            time.sleep(_QUIET)

    def _is_refusal(self) -> bool:
        """Whether all that was said is what the engine says of a program that it cannot run."""
        said = self._first.decode("utf-8", "replace").strip()
        return said == f"exec {self._program}: no such file or directory"

    def _watch_memory(self, limit: int) -> None:
        """Enforce a limit that the engine cannot: that of processes without scratch folders."""
        pid = int(self._client.inspect_container(self._container)["State"]["Pid"])
        file = memory_file(pid) if pid else None
        if file is not None:
            self._watch = MemoryWatch(file, limit, self._out_of_memory)
        elif pid:
            self._limit_memory(limit)

    def _limit_memory(self, limit: int) -> None:
        try:
            self._client.update_container(self._container, mem_limit=limit, memswap_limit=limit)
        except APIError:
            # One that has ended since it was asked needs no limit.
            if self._client.inspect_container(self._container)["State"]["Running"]:
                raise

    def _out_of_memory(self, held: int) -> None:
        self._excess = f"out of memory: {held >> 20} MiB held"
        self._signal("SIGKILL")

    def _signal(self, name: str) -> None:
        try:
            self._client.kill(self._container, signal=name)
        except APIError:
            return  # it has ended meanwhile

    def _follow(self, frames: Iterator[tuple[bytes | None, bytes | None]]) -> None:
        try:
            self._read(frames)
            end = self._end_of_container()
            if self._watch is not None:
                self._watch.stop()
        except (OSError, DockerException, RequestException) as error:
            end = Exit(1, reason=f"the container engine lost the container: {error}")
        _remove(self._client, self._container)
        self._exit = end
        self._ended.set()
        if self._on_exit is not None:
            self._on_exit(end)

    def _read(self, frames: Iterator[tuple[bytes | None, bytes | None]]) -> None:
        for out, err in frames:
            self._last_output = time.monotonic()
            if out:
                self._out.feed(out)
            if err:
                self._first = self._first or err[:_FIRST]
                self._err.feed(err)
        self._out.finish()
        self._err.finish()

    def _end_of_container(self) -> Exit:
        self._client.wait(self._container, timeout=None)
        state = self._client.inspect_container(self._container)["State"]
        code = int(state["ExitCode"])
        if code and self._is_refusal():
            return Exit(code, reason=_no_program(self._program), unable=True)
        oom = bool(state["OOMKilled"]) or bool(self._excess)
        number = code - _SIGNAL_BASE if code > _SIGNAL_BASE else None
        reason = self._excess or ("out of memory" if oom else str(state.get("Error") or ""))
        return Exit(code, number, oom, reason)


def connect(timeout: int | None) -> APIClient:
    """A client of an engine that answers; `timeout` is seconds per question, None for no limit."""
    try:
        client = APIClient(timeout=_ANSWER_SECONDS, **kwargs_from_env())
        client.ping()
    except (DockerException, RequestException, OSError) as error:
        raise TemporaryError(
            "no container engine answers",
            hint="start one, such as dockerd, and check that this user may use its socket",
        ) from error
    client.timeout = timeout  # type: ignore[assignment]  # None is what requests takes for no limit
    return client


def _ask(what: str, question: Callable[[], Any], image: str = "") -> Any:
    """Put a question to the engine; its refusals become our errors."""
    try:
        return question()
    except (ImageNotFound, NotFound) as error:
        raise missing_image(image or str(error)) from error
    except APIError as error:
        text = f"the container engine refused to {what}: {error.explanation or error}"
        raise (TemporaryError if error.is_server_error() else PermanentError)(text) from error
    except (DockerException, RequestException) as error:
        raise TemporaryError(f"the container engine could not {what}: {error}") from error


def missing_image(image: str) -> PermanentError:
    """The error of an image that is not on this machine."""
    return PermanentError(
        f"image {image} is not on this machine",
        hint=f"docker pull {image}, or build it and tag it with this name",
    )


def _no_program(program: str) -> str:
    hint = "it is not in the image"
    if program.startswith(RUNTIME_TARGET):
        hint = "the image has no /bin/sh, or the runtime is not in it"
    return f"{program} cannot be executed: {hint}"


def _not_started(task: Task, error: Any) -> PermanentError:
    return PermanentError(
        f"{task.name}: a container of image {task.image} cannot be started: "
        f"{error.explanation or error}"
    )


def _remove(client: APIClient, container: str) -> None:
    """Kill and remove; no error when it is gone or going."""
    try:
        client.remove_container(container, v=True, force=True)
    except APIError:
        return


def _container_name(task: Task) -> str:
    slug = re.sub(r"[^a-zA-Z0-9_.-]+", "-", task.name).strip("-.")[:_NAME_LENGTH]
    return f"bridge-{slug or 'task'}-{secrets.token_hex(4)}"
