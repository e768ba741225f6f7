"""Exposed services on this machine: one server for each, kept alive until it is stopped."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from typing import Final, Literal

from bridge.errors import BridgeError, NotFoundError, TargetUnavailable
from bridge.fdl.model import Service
from bridge.local._layout import ServiceFiles
from bridge.local.executors import Executor, Running, Task, container_address
from bridge.targets.calls import Address
from bridge.targets.kubernetes import DeploymentStatus, base_path, expose_of

__all__ = ["Servers"]

_CONFIG: Final = "/oscar/config"
_HERE: Final = "127.0.0.1"
_GRACE: Final = 5.0
_PROBE: Final = 1.0
# Seconds before a server that has ended is started again: at first, and at most.
_FIRST, _LONGEST = 0.5, 30.0
# One that has lived so long is started again at once.
_STEADY: Final = 60.0
_LINES: Final = 1000
_GOOD: Final = range(200, 400)


class Servers:
    """The servers of one target. Thread-safe; the executor is not closed here.

    As a plain process a server listens on the port that it says, so that of two which say the same
    one has it. In a container it is reached by the container's address. There is one copy of each,
    whatever the scale.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._lock = threading.Lock()
        self._servers: dict[str, _Server] = {}

    def deploy(self, files: ServiceFiles) -> None:
        """Start the server of a service, anew when it has changed; one that was stopped stays so.

        Nothing but to end it for a service that is none any more.
        """
        name = files.service.name
        with self._lock:
            there = self._servers.pop(name, None)
        stopped = there is not None and there.stopped
        if there is not None:
            there.stop()
        if expose_of(files.service) is None:
            return
        made = _Server(self._executor, files)
        with self._lock:
            self._servers[name] = made
        if not stopped:
            made.start()

    def remove(self, name: str) -> None:
        """End the server of a service, if it has one."""
        with self._lock:
            there = self._servers.pop(name, None)
        if there is not None:
            there.stop()

    def close(self) -> None:
        """End all."""
        with self._lock:
            servers, self._servers = list(self._servers.values()), {}
        for one in servers:
            one.stop()

    def address(self, name: str) -> Address:
        """Where the server listens. NotFoundError when there is none of the name here,
        TargetUnavailable while it does not run."""
        return self._of(name).address()

    def start(self, service: Service) -> DeploymentStatus:
        """Start a server that was stopped."""
        self._of(service.name).start()
        return self.status(service.name)

    def stop(self, service: str) -> DeploymentStatus:
        """Stop a server until it is started."""
        self._of(service).stop()
        return self.status(service)

    def restart(self, service: str, now: str) -> DeploymentStatus:
        """End a server and start it anew."""
        del now
        one = self._of(service)
        one.stop()
        one.start()
        return self.status(service)

    def status(self, service: str) -> DeploymentStatus:
        """How the server is doing; `unavailable` for a service that has none here."""
        with self._lock:
            there = self._servers.get(service)
        if there is None:
            return DeploymentStatus(service, "", "unavailable", "it has no copies here")
        return there.status()

    def logs(self, service: str, tail: int = 200) -> list[tuple[str, str]]:
        """The last lines that the server has said, each with its time (RFC 3339); at most 1000."""
        return self._of(service).said(tail)

    def _of(self, name: str) -> _Server:
        with self._lock:
            there = self._servers.get(name)
        if there is None:
            raise NotFoundError(f"{name} is not exposed here")
        return there


class _Server:
    """One server and the thread that keeps it alive."""

    def __init__(self, executor: Executor, files: ServiceFiles) -> None:
        expose = expose_of(files.service)
        assert expose is not None
        self._executor = executor
        self._files = files
        self._expose = expose
        self._name = files.service.name
        self._changing = threading.Lock()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._running: Running | None = None
        self._why = ""
        self._since = _now()
        self._lines: deque[tuple[str, str]] = deque(maxlen=_LINES)

    @property
    def stopped(self) -> bool:
        """Whether it is to stay ended."""
        return self._thread is None

    def start(self) -> None:
        """Keep it alive from now on."""
        with self._changing:
            if self._thread is None:
                self._ending, self._why, self._since = threading.Event(), "", _now()
                name = f"exposed-{self._name}"
                self._thread = threading.Thread(target=self._keep, name=name, daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End it; returns when it is gone."""
        with self._changing:
            thread, self._thread = self._thread, None
            self._ending.set()
            if (running := self._running) is not None:
                running.kill(_GRACE)
            if thread is not None:
                thread.join()
                self._since = _now()

    def address(self) -> Address:
        """Where it listens."""
        running = self._running
        if running is None:
            raise TargetUnavailable(self._why or f"{self._name} does not run")
        contained = self._executor.engine == "container"
        host = container_address(running.id) if contained else _HERE
        return Address(host, self._expose.api_port[0], self._name)

    def status(self) -> DeploymentStatus:
        """How it is doing, as its health path says."""
        state: Literal["ready", "pending", "failed", "stopped"]
        if self.stopped:
            state, why = "stopped", ""
        elif self._running is None:
            state, why = ("failed" if self._why else "pending"), self._why
        else:
            why = self._ill()
            state = "pending" if why else "ready"
        return DeploymentStatus(
            self._name,
            "",
            state,
            why,
            self._since,
            active_instances=int(state == "ready"),
            affected_instances=int(state in ("failed", "pending")),
            resource_kind="exposed_service",
        )

    def said(self, tail: int) -> list[tuple[str, str]]:
        """Its last lines."""
        return list(self._lines)[-max(1, min(tail, _LINES)) :]

    def _ill(self) -> str:
        """Why it does not answer its health path; "" when it does."""
        expose, port = self._expose, self._expose.api_port[0]
        path = "/" + expose.health_path.lstrip("/")
        if expose.rewrite_target and expose.probe_mode != "direct":
            path = base_path(self._name) + path
        try:
            connection = HTTPConnection(self.address().host, port, timeout=_PROBE)
            try:
                connection.request("GET", path)
                status = connection.getresponse().status
            finally:
                connection.close()
        except (OSError, HTTPException, BridgeError):
            return f"it does not answer on port {port}"
        return "" if status in _GOOD else f"{expose.health_path} answers {status}"

    def _keep(self) -> None:
        """Run it again and again until it is stopped."""
        ending, pause = self._ending, _FIRST
        while not ending.is_set():
            begun = time.monotonic()
            try:
                self._run(ending)
            except BridgeError as error:
                self._why = error.message
            self._running, self._since = None, _now()
            pause = _FIRST if time.monotonic() - begun > _STEADY else min(_LONGEST, pause * 2)
            ending.wait(pause)

    def _run(self, ending: threading.Event) -> None:
        port = self._expose.api_port[0]
        if self._executor.engine == "process" and _is_taken(port):
            self._why = f"port {port} of this machine is taken by another program"
            return
        self._running = running = self._executor.start(self._task(), self._hear)
        self._since = _now()
        if ending.is_set():
            running.kill(_GRACE)
        end = running.wait()
        if end is not None:
            self._why = end.reason or f"it has ended with status {end.code}"

    def _task(self) -> Task:
        service = self._files.service
        script = None if self._expose.default_command else ("/bin/sh", f"{_CONFIG}/script.sh")
        secrets = {name: value.reveal() for name, value in service.secrets.items()}
        own = {"OSCAR_SERVICE_NAME": self._name, "OSCAR_SERVICE_BASE_PATH": base_path(self._name)}
        return Task(
            name=f"exposed-{self._name}",
            image=service.image,
            argv=script,
            env={**service.variables, **secrets, **own},
            memory=service.resources.memory,
            cpus=float(service.resources.cpu),
            mounts={self._files.config: _CONFIG},
            labels={"oscar-bridge.service": self._name},
        )

    def _hear(self, line: str) -> None:
        self._lines.append((_now(), line))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(_PROBE)
        return probe.connect_ex((_HERE, port)) == 0
