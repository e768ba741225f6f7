"""Targets on a Kubernetes cluster: jobs of services as Jobs of the cluster.

`Connection` is the one way to the API server; manifests are plain mappings that pure functions
make. The official client is loaded when a connection is first used.
"""

from bridge.targets.kubernetes._capacity import ClusterCapacity, room_notes
from bridge.targets.kubernetes._copies import DeploymentStatus
from bridge.targets.kubernetes._exposed import Routing, base_path, expose_of
from bridge.targets.kubernetes._room import Node
from bridge.targets.kubernetes.connection import Connection
from bridge.targets.kubernetes.knative import KnativeTarget, call_notes
from bridge.targets.kubernetes.settings import ClusterSettings
from bridge.targets.kubernetes.target import KubernetesTarget
from bridge.targets.kubernetes.volumes import HeldVolume, Volumes

__all__ = [
    "ClusterCapacity",
    "ClusterSettings",
    "Connection",
    "DeploymentStatus",
    "HeldVolume",
    "KnativeTarget",
    "KubernetesTarget",
    "Node",
    "Routing",
    "Volumes",
    "base_path",
    "call_notes",
    "expose_of",
    "room_notes",
]
