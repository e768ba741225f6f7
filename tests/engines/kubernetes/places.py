"""A Kubernetes cluster as a place of the conformance suite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bridge.fdl.model import ProviderRef, TargetSpec
from bridge.local.executors import gateway
from bridge.local.objectstore import ObjectStore
from bridge.storage import open_store
from bridge.targets.kubernetes import ClusterSettings, Connection, KubernetesTarget
from bridge.targets.render import ProviderAccess
from tests.conformance.places import BUCKET, Place


@contextmanager
def kubernetes_place(
    namespace: str, runtime_image: str, folder: Path, **settings: Any
) -> Iterator[Place]:
    """A target in a namespace, and object stores on this machine that its pods reach."""
    with ExitStack() as stack:
        own, other = (
            stack.enter_context(ObjectStore(folder / name, address=gateway()))
            for name in ("objects", "others")
        )
        own.ensure_bucket(BUCKET)
        other.ensure_bucket(BUCKET)
        first, second = ProviderRef("minio"), ProviderRef("minio", "other")
        access = {
            first: ProviderAccess(*own.provider()),
            second: ProviderAccess(*other.provider()),
        }
        connection = Connection(
            ClusterSettings(namespace=namespace, runtime_image=runtime_image, **settings)
        )
        target = KubernetesTarget(TargetSpec("my-k8s", "kubernetes"), connection, access)
        stack.callback(target.close)
        work = folder / "work"
        work.mkdir()
        yield Place(
            "kubernetes",
            "pod",
            target,
            open_store("minio.default", *own.provider()),
            first,
            work,
            None,
            (second, open_store("minio.other", *other.provider())),
        )
