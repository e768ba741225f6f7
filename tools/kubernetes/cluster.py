#!/usr/bin/env python3
"""Starts and stops the Kubernetes that build.sh has built: one node, on this machine, for tests.

    cluster.py start DATA BINARIES [--control-plane]    prints the path of a kubeconfig
    cluster.py stop DATA

A node needs root and a Docker engine, whose containers the pods are; only one can be on an engine.
With --control-plane there is none: no root, no Docker, as many as you like, and pods stay Pending.

Everything listens on loopback or on Docker's own bridge, on ports that were free; only the rules of
Services are the machine's. There is no cluster DNS (Services are reached by their address), no
metrics API (so HorizontalPodAutoscalers do not scale), no network policy, no image garbage
collection (nothing here can pull images again). The state goes when the cluster stops; DATA/log
stays. Standard library only.
"""

from __future__ import annotations

import argparse
import fcntl
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import components
import machine
from components import Place, Ports, free_ports
from credentials import Authority

_LOCK: Final = Path("/run/oscar-bridge-kubelet.lock")
_SECONDS: Final = 120.0


class Failed(Exception):
    """What is wrong, in one line."""


class Processes:
    """The cluster's processes, remembered in a file by pid and start time."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._file = data / "processes.json"
        self._known: dict[str, tuple[int, int]] = {}
        if self._file.exists():
            self._known = {
                name: tuple(who) for name, who in json.loads(self._file.read_text()).items()
            }

    def start(self, name: str, arguments: Sequence[str], *, keep: IO[str] | None = None) -> None:
        """Start detached, with a log of its own; `keep` stays open as long as it lives."""
        log = self._data / "log" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("w") as out:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self._data,
                start_new_session=True,
                pass_fds=[keep.fileno()] if keep else [],
            )
        began = _began(process.pid)
        if began is None:
            raise Failed(f"{name} ended at once, see {log}")
        self._known[name] = (process.pid, began)
        self._file.write_text(json.dumps(self._known))

    def alive(self, name: str) -> bool:
        """Whether the process that was started under this name still runs."""
        pid, began = self._known.get(name, (0, 0))
        return bool(pid) and _began(pid) == began

    def any_alive(self) -> bool:
        """Whether one of them still runs."""
        return any(self.alive(name) for name in self._known)

    def dead(self) -> list[str]:
        """Names of those that have ended by themselves."""
        return [name for name in self._known if not self.alive(name)]

    def stop(self, names: Iterable[str]) -> None:
        """End these and wait: asked twice (the API server drops its watches then), then killed."""
        running = [name for name in names if self.alive(name)]
        for signal_, seconds in ((signal.SIGTERM, 2), (signal.SIGTERM, 8), (signal.SIGKILL, 5)):
            for name in running:
                if self.alive(name):
                    os.kill(self._known[name][0], signal_)
            if _until(lambda: not any(map(self.alive, running)), seconds):
                break


def _began(pid: int) -> int | None:
    """Start time of a process in ticks since boot; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


class Api:
    """The API as its administrator sees it."""

    def __init__(self, place: Place, port: int, keys: Authority) -> None:
        self._where = (place.address, port)
        self._tls = ssl.create_default_context(cafile=str(keys.authority))
        self._tls.load_cert_chain(keys.certificate("admin"), keys.key("admin"))

    def get(self, path: str) -> Mapping[str, object] | None:
        """What is there; None while nothing is."""
        connection = http.client.HTTPSConnection(*self._where, context=self._tls, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                return None
            return json.loads(body) if body.startswith(b"{") else {"text": body.decode()}
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


def start(data: Path, binaries: Path, *, node: bool) -> Path:
    """Start a cluster in `data` and wait until it is ready; the path of its kubeconfig."""
    data, kubeconfig = data.resolve(), data.resolve() / "conf" / "admin"
    if Processes(data).any_alive():
        if (data / "ready").exists():
            return kubeconfig
        raise Failed(f"a start in {data} has not finished: cluster.py stop {data}")
    if not (binaries / "kube-apiserver").exists():
        raise Failed(f"{binaries} has no kube-apiserver: it must be what build.sh printed")
    stop(data)  # what a machine that went down has left
    lock = _only_node(binaries) if node else None
    place = Place(data, binaries.resolve(), machine.bridge_address() if node else "127.0.0.1", node)
    processes = Processes(data)
    try:
        _start(place, processes, lock)
    except BaseException:
        if lock:
            lock.close()
        stop(data)
        raise
    (data / "ready").touch()
    return kubeconfig


def _only_node(binaries: Path) -> IO[str]:
    """Take the engine: kubelet removes the containers of pods that it does not know."""
    if os.geteuid() != 0:
        raise Failed("a node needs root (--control-plane needs neither root nor Docker)")
    if not (lock := _take_engine()):
        raise Failed("a cluster of this script has its node on this Docker engine")
    if machine.pod_containers() or machine.has_service_rules():
        raise Failed("this machine has pods or rules of another Kubernetes: stop that one first")
    machine.make_pause_image(components.PAUSE, binaries / "pause")
    return lock


def _take_engine() -> IO[str] | None:
    """A lock that a kubelet keeps as long as it lives; None when one has it."""
    lock = _LOCK.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _start(place: Place, processes: Processes, lock: IO[str] | None) -> None:
    ports = free_ports(place.address)
    keys = Authority(place.file("keys"))
    _make_keys(place, ports, keys)

    def wait(what: str, who: str, condition: Callable[[], bool]) -> None:
        ended = _until(lambda: condition() or not processes.alive(who), _SECONDS)
        if not ended or not processes.alive(who):
            raise Failed(f"{who}: no {what}, see {place.data}/log/{who}.log")

    api = Api(place, ports.api, keys)
    processes.start("etcd", components.etcd(place, ports))
    processes.start("apiserver", components.apiserver(place, ports, keys))
    wait("readiness", "apiserver", lambda: api.get("/readyz") is not None)
    processes.start("controllers", components.controllers(place, keys))
    processes.start("scheduler", components.scheduler(place))
    if lock is not None:
        machine.remember(place.file("machine.json"))
        machine.route(components.SERVICES, place.address)
        processes.start("kubelet", components.kubelet(place, ports, keys), keep=lock)
        processes.start("proxy", components.proxy(place, ports))
        wait("ready node", "kubelet", lambda: _ready(api.get(f"/api/v1/nodes/{components.NODE}")))
        wait("rules", "proxy", machine.has_service_rules)
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    wait(
        "service account",
        "controllers",
        lambda: bool((api.get(account) or {}).get("secrets")),
    )
    if dead := processes.dead():
        raise Failed(f"{', '.join(dead)} ended, see {place.data}/log")


def _ready(node: Mapping[str, object] | None) -> bool:
    conditions = node["status"].get("conditions", []) if node else []  # type: ignore[attr-defined]
    return {"Ready": "True"}.items() <= {one["type"]: one["status"] for one in conditions}.items()


def _make_keys(place: Place, ports: Ports, keys: Authority) -> None:
    names = ["DNS:localhost", f"IP:{place.address}"]
    served = [
        "DNS:kubernetes.default.svc",
        "DNS:kubernetes.default",
        f"IP:{components.API_SERVICE}",
    ]
    users = {
        "admin": "/O=system:masters/CN=admin",
        "controllers": "/CN=system:kube-controller-manager",
        "scheduler": "/CN=system:kube-scheduler",
        "kubelet": f"/O=system:nodes/CN=system:node:{components.NODE}",
        "proxy": "/CN=system:kube-proxy",
    }
    keys.issue("apiserver", "/CN=kube-apiserver", [*names, *served])
    keys.make_key_pair("tokens")
    for user, subject in users.items():
        keys.issue(user, subject, names)
        config = keys.kubeconfig(user, f"https://{place.address}:{ports.api}")
        path = place.file(f"conf/{user}")
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=1))


def stop(data: Path) -> None:
    """End what was started in `data`, and put the machine back as it was."""
    processes = Processes(data)
    (data / "ready").unlink(missing_ok=True)
    processes.stop(["kubelet", "proxy", "scheduler", "controllers"])
    processes.stop(["apiserver"])
    processes.stop(["etcd"])
    if (before := data / "machine.json").exists() and (lock := _take_engine()):
        with lock:
            machine.restore(before, data / "kubelet", components.SERVICES)
    wipe(data)


def wipe(data: Path) -> None:
    """Remove everything of an earlier start but its logs."""
    for path in data.iterdir():
        if path.name not in ("log", "lock"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    """Wait for another start or stop of the same cluster."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """The command line; 0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("start")
    starting.add_argument("data", type=Path)
    starting.add_argument("binaries", type=Path)
    starting.add_argument("--control-plane", action="store_true")
    commands.add_parser("stop").add_argument("data", type=Path)
    options = parser.parse_args()
    try:
        with _alone(options.data):
            if options.command == "start":
                print(start(options.data, options.binaries, node=not options.control_plane))
            else:
                stop(options.data.resolve())
    except (Failed, OSError, subprocess.CalledProcessError) as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
