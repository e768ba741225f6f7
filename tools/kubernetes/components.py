"""The programs of a cluster: what each is told when it is started. Nothing is started here."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import machine
from credentials import Authority

SERVICES: Final = "10.96.0.0/16"  # their addresses
API_SERVICE: Final = "10.96.0.1"
NODE: Final = "localhost"
PAUSE: Final = "oscar-bridge/pause:local"

_FEATURES: Final = "TTLAfterFinished=true"
_SERVES_NOTHING: Final = ("--port=0", "--secure-port=0")  # not even metrics


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
        f"--service-cluster-ip-range={SERVICES}",
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
        f"--service-cluster-ip-range={SERVICES}",
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
        f"--hostname-override={NODE}",
        f"--node-ip={place.address}",
        "--container-runtime=docker",
        f"--pod-infra-container-image={PAUSE}",
        f"--experimental-dockershim-root-directory={place.file('dockershim')}",
        "--register-node=true",
    ]


def proxy(place: Place, ports: Ports) -> Sequence[str]:
    pods = machine.bridge_network()
    config = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(place.file("conf/proxy"))},
        "hostnameOverride": NODE,
        "mode": "iptables",
        "clusterCIDR": pods,
        "bindAddress": place.address,
        "healthzBindAddress": f"127.0.0.1:{ports.proxy_health}",
        "metricsBindAddress": f"127.0.0.1:{ports.proxy_metrics}",
        "nodePortAddresses": ["127.0.0.0/8", pods],  # not on the machine's outer addresses
        # The machine's own limits stay.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "iptables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
    }
    path = place.file("conf/proxy.json")
    path.write_text(json.dumps(config))
    return [str(place.binaries / "kube-proxy"), f"--config={path}"]
