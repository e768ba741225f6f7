"""What is installed on a cluster, as its API server sees it: nothing refused, nothing dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from kubernetes import config, dynamic

from bridge.targets.kubernetes import Connection
from deploy.kubernetes.render import objects, render
from tests.command import ROOT

pytestmark = pytest.mark.kubernetes
helm = pytest.importorskip("helm_python", reason="there is no wheel of Helm for this platform")

PLAIN = [
    "kubernetes/namespaces.yaml",
    "kubernetes/rbac.yaml",
    "kubernetes/manager.yaml",
    "kind/minio.yaml",
]
EVERYTHING: Mapping[str, Any] = {
    "admin": {"existingSecret": "oscar-admin"},
    "storage": {"endpoint": "https://minio.example.org", "existingSecret": "oscar-minio"},
    "imagePullSecrets": ["registry"],
    "oidc": {"enabled": True, "issuers": ["https://idp.example.org"], "groups": ["vo"]},
    "service": {"type": "NodePort"},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "host": "oscar.example.org",
        "tlsSecret": "tls",
        "annotations": {"cert-manager.io/cluster-issuer": "letsencrypt-prod"},
    },
    "networkPolicy": {"enabled": True, "from": [{"name": "ingress"}]},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "manager", "operator": "Exists", "effect": "NoSchedule"}],
    "podAnnotations": {"a": "b"},
}


def plain(file: str, namespace: str) -> list[dict[str, Any]]:
    """The objects of a file of deploy, in this namespace."""
    found = list(yaml.safe_load_all((ROOT / "deploy" / file).read_text()))
    return [_moved(one, namespace) for one in found]


def chart(namespace: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The objects of the chart, in this namespace."""
    texts = render(values, name=namespace, namespace=namespace)
    return [_moved(one, namespace) for one in objects(texts)]


def _moved(one: dict[str, Any], namespace: str) -> dict[str, Any]:
    """One that is the whole cluster's gets a name that nobody has."""
    if one["kind"] in ("Namespace", "ClusterRole", "ClusterRoleBinding"):
        return {**one, "metadata": {**one["metadata"], "name": f"{namespace}-not-there"}}
    return {**one, "metadata": {**one["metadata"], "namespace": namespace}}


@pytest.fixture(scope="module")
def client(cluster: Connection, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The official client, for any kind of object; the cluster answers, as `cluster` has seen."""
    cache = tmp_path_factory.mktemp("discovery") / "cache"
    return dynamic.DynamicClient(config.new_client_from_config(), cache_file=str(cache))


def dry_run(client: Any, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the API server would have stored."""
    api = client.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])
    where = {"namespace": manifest["metadata"].get("namespace")} if api.namespaced else {}
    return dict(api.create(body=dict(manifest), dry_run="All", **where).to_dict())


def lost(sent: Any, stored: Any, path: str = "") -> list[str]:
    """The places of what was sent and is not stored: a server drops what it does not know."""
    if isinstance(sent, Mapping):
        there = stored if isinstance(stored, Mapping) else {}
        return [
            place
            for key, value in sent.items()
            for place in (
                lost(value, there[key], f"{path}.{key}") if key in there else [f"{path}.{key}"]
            )
            if value not in ({}, [], "")
        ]
    if isinstance(sent, list):
        items = stored if isinstance(stored, list) else []
        if len(sent) != len(items):
            return [path]
        pairs = enumerate(zip(sent, items, strict=True))
        return [place for at, (one, kept) in pairs for place in lost(one, kept, f"{path}[{at}]")]
    return [] if str(sent) == str(stored) else [path]


def refused_or_lost(client: Any, manifests: list[dict[str, Any]]) -> list[str]:
    """Everything of these manifests that the server would not keep."""
    return [
        f"{manifest['kind']}{place}"
        for manifest in manifests
        for place in lost(manifest, dry_run(client, manifest))
    ]


@pytest.mark.parametrize("file", PLAIN)
def test_the_plain_manifests_are_taken_whole(client: Any, module_namespace: str, file: str) -> None:
    assert refused_or_lost(client, plain(file, module_namespace)) == []


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"state": {"existingClaim": "mine"}, "service": {"type": "LoadBalancer"}},
    ],
    ids=["a volume", "a claim"],
)
def test_the_chart_is_taken_whole(
    client: Any, module_namespace: str, more: Mapping[str, Any]
) -> None:
    manifests = chart(module_namespace, {**EVERYTHING, **more})
    assert {"Deployment", "Ingress", "NetworkPolicy", "ClusterRole"} <= {
        one["kind"] for one in manifests
    }
    assert refused_or_lost(client, manifests) == []


def test_a_field_that_nobody_knows_is_noticed(client: Any, module_namespace: str) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s", "namespace": module_namespace},
        "spec": {"ports": [{"port": 80}], "selektor": {"a": "b"}},
    }
    assert refused_or_lost(client, [service]) == ["Service.spec.selektor"]
