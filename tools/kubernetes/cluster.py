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
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import machine
from credentials import Authority

_SERVICES: Final = "10.96.0.0/16"
_API_SERVICE: Final = "10.96.0.1"
_NODE: Final = "localhost"
_PAUSE: Final = "oscar-bridge/pause:local"
_FEATURES: Final = "TTLAfterFinished=true"
_SERVES_NOTHING: Final = ("--port=0", "--secure-port=0")  # not even metrics
_LOCK: Final = Path("/run/oscar-bridge-kubelet.lock")
_SECONDS: Final = 120.0


class Failed(Exception):
    """What is wrong, in one line."""


@dataclass(frozen=True)
class Place:
    """Where things are: the cluster's folder, the programs, the address that all listen on."""

    data: Path
    binaries: Path
    address: str
    node: bool

    def file(self, name: str) -> Path:
        """Path of a file of the cluster, in a folder that is there."""
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@dataclass(frozen=True)
class Ports:
    """A free port for each who needs one."""

    api: int
    etcd: int
    peer: int
    kubelet: int
    kubelet_health: int
    proxy_health: int
    proxy_metrics: int


def free_ports(address: str) -> Ports:
    """Ports that were free just now, all different."""
    sockets = [socket.socket() for _ in Ports.__dataclass_fields__]
    try:
        for one in sockets:
            one.bind((address, 0))
        return Ports(*(one.getsockname()[1] for one in sockets))
    finally:
        for one in sockets:
            one.close()


# What is started: name and arguments.


def etcd(place: Place, ports: Ports) -> Sequence[str]:
    client, peer = (f"http://127.0.0.1:{port}" for port in (ports.etcd, ports.peer))
    return [
        str(place.binaries / "etcd"),
        "--name=tests",
        f"--data-dir={place.file('etcd')}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=tests={peer}",
        "--unsafe-no-fsync",
    ]


def apiserver(place: Place, ports: Ports, keys: Authority) -> Sequence[str]:
    return [
        str(place.binaries / "kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{ports.etcd}",
        # Pods reach it where it listens: the bridge's address is not an outer one.
        f"--bind-address={place.address}",
        f"--advertise-address={place.address}",
        # Pods find the API by this; loopback would be refused.
        f"--endpoint-reconciler-type={'master-count' if place.node else 'none'}",
        f"--secure-port={ports.api}",
        f"--service-cluster-ip-range={_SERVICES}",
        f"--tls-cert-file={keys.certificate('apiserver')}",
        f"--tls-private-key-file={keys.key('apiserver')}",
        f"--client-ca-file={keys.authority}",
        f"--kubelet-client-certificate={keys.certificate('admin')}",
        f"--kubelet-client-key={keys.key('admin')}",
        f"--kubelet-certificate-authority={keys.authority}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={keys.key('tokens')}",
        f"--service-account-key-file={keys.public('tokens')}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--feature-gates={_FEATURES}",
    ]


def controllers(place: Place, keys: Authority) -> Sequence[str]:
    return [
        str(place.binaries / "kube-controller-manager"),
        f"--kubeconfig={place.file('conf/controllers')}",
        *_SERVES_NOTHING,
        f"--service-account-private-key-file={keys.key('tokens')}",
        f"--root-ca-file={keys.authority}",
        f"--service-cluster-ip-range={_SERVICES}",
        "--use-service-account-credentials=true",
        "--enable-hostpath-provisioner=true",
        f"--flex-volume-plugin-dir={place.file('plugins')}",
        "--leader-elect=false",
        # Its own limits would keep new namespaces waiting for their service accounts.
        "--kube-api-qps=500",
        "--kube-api-burst=500",
        f"--feature-gates={_FEATURES}",
    ]


def scheduler(place: Place) -> Sequence[str]:
    return [
        str(place.binaries / "kube-scheduler"),
        f"--kubeconfig={place.file('conf/scheduler')}",
        *_SERVES_NOTHING,
        "--leader-elect=false",
        f"--feature-gates={_FEATURES}",
    ]


def kubelet(place: Place, ports: Ports, keys: Authority) -> Sequence[str]:
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": place.address,
        "port": ports.kubelet,
        "readOnlyPort": 0,
        "healthzPort": ports.kubelet_health,
        "tlsCertFile": str(keys.certificate("kubelet")),
        "tlsPrivateKeyFile": str(keys.key("kubelet")),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(keys.authority)},
        },
        # The API server has asked RBAC before; nobody else has a certificate.
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": machine.docker("info", "--format", "{{.CgroupDriver}}"),
        "enforceNodeAllocatable": ["pods"],
        "failSwapOn": False,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "1s",  # Ready is said in the second one
        "nodeStatusReportFrequency": "1m",
        "syncFrequency": "10s",
        "fileCheckFrequency": "0s",
        "httpCheckFrequency": "0s",
        "volumePluginDir": str(place.file("plugins")),
        "featureGates": {name: on == "true" for name, on in [_FEATURES.split("=")]},
    }
    path = place.file("conf/kubelet.json")
    path.write_text(json.dumps(config))
    return [
        str(place.binaries / "kubelet"),
        f"--config={path}",
        f"--kubeconfig={place.file('conf/kubelet')}",
        f"--root-dir={place.file('kubelet')}",
        f"--cert-dir={place.file('kubelet/pki')}",
        f"--hostname-override={_NODE}",
        f"--node-ip={place.address}",
        "--container-runtime=docker",
        f"--pod-infra-container-image={_PAUSE}",
        f"--experimental-dockershim-root-directory={place.file('dockershim')}",
        "--register-node=true",
    ]


def proxy(place: Place, ports: Ports) -> Sequence[str]:
    pods = machine.bridge_network()
    config = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(place.file("conf/proxy"))},
        "hostnameOverride": _NODE,
        "mode": "iptables",
        "clusterCIDR": pods,
        "bindAddress": place.address,
        "healthzBindAddress": f"127.0.0.1:{ports.proxy_health}",
        "metricsBindAddress": f"127.0.0.1:{ports.proxy_metrics}",
        "nodePortAddresses": ["127.0.0.0/8", pods],  # not on the machine's outer addresses
        "conntrack": {"maxPerCore": 0, "min": 0},
        "iptables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
    }
    path = place.file("conf/proxy.json")
    path.write_text(json.dumps(config))
    return [str(place.binaries / "kube-proxy"), f"--config={path}"]


# Starting and stopping.


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
    data.mkdir(parents=True, exist_ok=True)
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
    if machine.pod_containers():
        raise Failed("this Docker engine has pods of another Kubernetes")
    machine.make_pause_image(_PAUSE, binaries / "pause")
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
    processes.start("etcd", etcd(place, ports))
    processes.start("apiserver", apiserver(place, ports, keys))
    wait("readiness", "apiserver", lambda: api.get("/readyz") is not None)
    processes.start("controllers", controllers(place, keys))
    processes.start("scheduler", scheduler(place))
    if lock is not None:
        machine.remember(place.file("machine.json"))
        machine.route(_SERVICES, place.address)
        processes.start("kubelet", kubelet(place, ports, keys), keep=lock)
        processes.start("proxy", proxy(place, ports))
        wait("ready node", "kubelet", lambda: _ready(api.get(f"/api/v1/nodes/{_NODE}")))
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
    served = ["DNS:kubernetes.default.svc", "DNS:kubernetes.default", f"IP:{_API_SERVICE}"]
    users = {
        "admin": "/O=system:masters/CN=admin",
        "controllers": "/CN=system:kube-controller-manager",
        "scheduler": "/CN=system:kube-scheduler",
        "kubelet": f"/O=system:nodes/CN=system:node:{_NODE}",
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
            machine.restore(before, data / "kubelet", _SERVICES)
    wipe(data)


def wipe(data: Path) -> None:
    """Remove everything of an earlier start but its logs."""
    for path in data.iterdir():
        if path.name != "log":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


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
        if options.command == "start":
            print(start(options.data, options.binaries, node=not options.control_plane))
        elif options.data.is_dir():
            stop(options.data.resolve())
    except (Failed, OSError, subprocess.CalledProcessError) as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
