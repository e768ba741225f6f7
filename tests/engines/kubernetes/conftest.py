"""What tests on a real cluster share: the cluster of KUBECONFIG, a namespace, the runtime image."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest

from bridge.errors import BridgeError
from bridge.targets.kubernetes import ClusterSettings, Connection
from bridge.targets.kubernetes.resources import NAMESPACES
from tests.command import bridge


@pytest.fixture(scope="session")
def cluster() -> Connection:
    """A connection to the cluster of KUBECONFIG; the test is skipped when none answers."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG is not set: run tools/kubernetes/up, see docs/kubernetes.md")
    connection = Connection(ClusterSettings())
    try:
        connection.version()
    except BridgeError as error:
        pytest.skip(f"no Kubernetes cluster answers: {error}")
    return connection


def _fresh(cluster: Connection) -> Iterator[str]:
    name = f"test-{secrets.token_hex(5)}"
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    cluster.delete(NAMESPACES, name)


@pytest.fixture
def namespace(cluster: Connection) -> Iterator[str]:
    """A namespace of this test's own; it is deleted afterwards, which takes its time."""
    yield from _fresh(cluster)


@pytest.fixture(scope="module")
def module_namespace(cluster: Connection) -> Iterator[str]:
    """The same for a whole module."""
    yield from _fresh(cluster)


@pytest.fixture(scope="session")
def runtime_image() -> str:
    """Name of the image of the runtime, made with the engine that the cluster's node uses."""
    done = bridge("runtime", "image")
    assert done.status == 0, done.err
    return done.out.strip()
