"""What tests on a real cluster share: the cluster of KUBECONFIG, a namespace, the runtime image."""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.errors import BridgeError
from bridge.targets.kubernetes import ClusterSettings, Connection
from bridge.targets.kubernetes.resources import NAMESPACES
from tests.command import bridge


class Kinds:
    """The kinds of objects that the cluster has, which modules share and one test changes.

    A module holds them as they are; who wants to change them waits until no other module runs, and
    has no other begin meanwhile.
    """

    def __init__(self) -> None:
        place = Path(tempfile.gettempdir())
        self._held = (place / "oscar-bridge-test-kinds.lock").open("w")
        self._next = (place / "oscar-bridge-test-kinds-next.lock").open("w")
        with self._turn():
            fcntl.flock(self._held, fcntl.LOCK_SH)

    @contextmanager
    def changed(self) -> Iterator[None]:
        """They are this test's alone while the block lasts."""
        with self._turn():
            fcntl.flock(self._held, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._held, fcntl.LOCK_SH)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        fcntl.flock(self._next, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._next, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of them."""
        self._held.close()
        self._next.close()


@pytest.fixture(scope="module", autouse=True)
def kinds() -> Iterator[Kinds]:
    """The cluster's kinds of objects, which stay while a module runs."""
    held = Kinds()
    yield held
    held.close()


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
