"""Real clusters that a session's jobs go to, each in a namespace that lives as long as the session.

Everything that a session makes on a cluster is in its namespaces, and goes with them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bridge.fdl.model import ProviderRef, Service, TargetSpec
from bridge.images import make_runtime_image
from bridge.local._signals import held_back
from bridge.scheduler import TargetState
from bridge.secret import Secret
from bridge.targets.kubernetes import (
    ClusterCapacity,
    ClusterSettings,
    Connection,
    KubernetesTarget,
    Node,
)
from bridge.targets.kubernetes.connection import MANAGED_BY, MANAGER
from bridge.targets.kubernetes.knative import KnativeTarget
from bridge.targets.kubernetes.resources import NAMESPACES
from bridge.targets.render import ProviderAccess

__all__ = ["Clusters", "SessionNamespace", "real_clusters", "remove_namespace"]

_KINDS: Final = frozenset({"kubernetes", "knative", "oscar"})
_NAMED: Final = frozenset({"kubeconfig", "context"})


@dataclass(frozen=True, slots=True)
class SessionNamespace:
    """A namespace of a session, and how its cluster is reached from anywhere on this machine."""

    kubeconfig: str
    context: str
    name: str


def remove_namespace(namespace: SessionNamespace) -> None:
    """Delete a namespace with all in it; no error when it is not there. The cluster does the rest
    after this returns."""
    settings = ClusterSettings(namespace.kubeconfig, namespace.context, namespace.name)
    Connection(settings).delete(NAMESPACES, namespace.name)


def real_clusters(
    specs: Iterable[TargetSpec], *, everything: bool
) -> dict[str, tuple[TargetSpec, ClusterSettings]]:
    """The targets whose jobs go to a real cluster: those whose settings name one; with
    `everything` all that stand for a cluster, which is then KUBECONFIG's if they name none.

    PermanentError for settings that cannot be understood.
    """
    found = {}
    for spec in specs:
        own = spec.kind in ("kubernetes", "knative")
        if (own and _NAMED & spec.settings.keys()) or (everything and spec.kind in _KINDS):
            found[spec.name] = (spec, ClusterSettings.of(spec) if own else ClusterSettings())
    return found


class _Cluster:
    """One target's cluster."""

    def __init__(self, spec: TargetSpec, settings: ClusterSettings, folder: Path) -> None:
        self.spec = spec
        self.settings = settings
        self.connection = Connection(settings, folder=folder)
        self.capacity = ClusterCapacity(self.connection)

    def make(self) -> None:
        """Make the namespace."""
        self.connection.create(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": self.settings.namespace,
                    "labels": {MANAGED_BY: MANAGER},
                },
            }
        )

    def remove(self) -> None:
        """Undo `make`, and forget the cluster."""
        try:
            self.capacity.close()
            self.connection.delete(NAMESPACES, self.settings.namespace)
        finally:
            self.connection.close()


def _anywhere(kubeconfig: str) -> str:
    """The kubeconfig for a process in another folder; KUBECONFIG's may be several files."""
    files = (kubeconfig or os.environ.get("KUBECONFIG", "")).split(os.pathsep)
    return os.pathsep.join(str(Path(file).expanduser().absolute()) for file in files if file)


class Clusters:
    """The real clusters of a session. Nothing is asked of them before `look`.

    `state` and `target` are for the names that `look` was given.
    """

    def __init__(
        self, found: Mapping[str, tuple[TargetSpec, ClusterSettings]], session: str
    ) -> None:
        self._all = {
            name: (spec, replace(settings, namespace=f"oscar-bridge-{session}-{number}"))
            for number, (name, (spec, settings)) in enumerate(found.items(), 1)
        }
        self._used: dict[str, _Cluster] = {}

    def __bool__(self) -> bool:
        return bool(self._all)

    def __contains__(self, target: object) -> bool:
        return target in self._all

    def namespaces(self) -> list[SessionNamespace]:
        """What the session may make on its clusters."""
        return [
            SessionNamespace(_anywhere(one.kubeconfig), one.context, one.namespace)
            for _, one in self._all.values()
        ]

    def look(self, targets: Iterable[str], folder: Path) -> None:
        """Read the capacity of the clusters of these targets; errors are the connection's.

        `folder` is the session's; it gets files with keys.
        """
        for name in targets:
            if name in self._all and name not in self._used:
                self._used[name] = _Cluster(*self._all[name], folder)
                self._used[name].capacity.refresh()

    def state(self, known: TargetState, services: Sequence[Service]) -> TargetState:
        """What is known of a target, with the room of its cluster."""
        cluster = self._used.get(known.spec.name)
        return known if cluster is None else cluster.capacity.state(known, services)

    def nodes(self) -> tuple[Node, ...]:
        """The nodes of the clusters that are used."""
        return tuple(node for one in self._used.values() for node in one.capacity.nodes())

    def start(self, stack: ExitStack) -> list[str]:
        """Make a namespace on each cluster, which `stack` removes, and the image of the runtime
        where none is named; what to tell of it."""
        if any(not one.settings.runtime_image for one in self._used.values()):
            make_runtime_image()
        for cluster in self._used.values():
            with held_back():
                stack.callback(cluster.remove)
                cluster.make()
        return [
            f"jobs of {name} run on the cluster {one.connection.name}, in the namespace "
            f"{one.settings.namespace}"
            for name, one in self._used.items()
        ]

    def target(
        self,
        name: str,
        access: Mapping[ProviderRef, ProviderAccess],
        *,
        tokens: Mapping[str, Secret] | None = None,
    ) -> KubernetesTarget:
        """The target; whoever gets it closes it. With the `tokens` of services it answers
        synchronous calls, too, and has exposed services."""
        cluster = self._used[name]
        if tokens is None:
            return KubernetesTarget(cluster.spec, cluster.connection, access)
        return KnativeTarget(cluster.spec, cluster.connection, access, tokens=tokens)
