"""The kinds of objects that are used here, and where the API has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from bridge.errors import PermanentError

__all__ = [
    "CONFIG_MAPS",
    "DAEMON_SETS",
    "DEPLOYMENTS",
    "EVENTS",
    "HTTP_ROUTES",
    "INGRESSES",
    "JOBS",
    "KNATIVE_SERVICES",
    "MIDDLEWARES",
    "NAMESPACES",
    "NODES",
    "PODS",
    "RESOURCE_QUOTAS",
    "SCALERS",
    "SECRETS",
    "SERVICES",
    "VOLUME_CLAIMS",
    "Resource",
    "resource_of",
]


class Resource(NamedTuple):
    """One kind. `version` is `v1` or `group/v1`, `plural` its name in paths and in RBAC rules."""

    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group, "" for the core."""
        return self.version.rpartition("/")[0]

    @property
    def base(self) -> str:
        """Path of the API version."""
        return f"/apis/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str, name: str = "", sub: str = "") -> str:
        """Path of the collection, of an object, or of a part of it ("" for all namespaces)."""
        place = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        parts = [f"{self.base}{place}/{self.plural}", name, sub]
        return "/".join(part for part in parts if part)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


CONFIG_MAPS: Final = Resource("v1", "ConfigMap", "configmaps")
DAEMON_SETS: Final = Resource("apps/v1", "DaemonSet", "daemonsets")
DEPLOYMENTS: Final = Resource("apps/v1", "Deployment", "deployments")
EVENTS: Final = Resource("v1", "Event", "events")
HTTP_ROUTES: Final = Resource("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
INGRESSES: Final = Resource("networking.k8s.io/v1", "Ingress", "ingresses")
JOBS: Final = Resource("batch/v1", "Job", "jobs")
KNATIVE_SERVICES: Final = Resource("serving.knative.dev/v1", "Service", "services")
MIDDLEWARES: Final = Resource("traefik.io/v1alpha1", "Middleware", "middlewares")
NAMESPACES: Final = Resource("v1", "Namespace", "namespaces", namespaced=False)
NODES: Final = Resource("v1", "Node", "nodes", namespaced=False)
PODS: Final = Resource("v1", "Pod", "pods")
RESOURCE_QUOTAS: Final = Resource("v1", "ResourceQuota", "resourcequotas")
SCALERS: Final = Resource("autoscaling/v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
SECRETS: Final = Resource("v1", "Secret", "secrets")
SERVICES: Final = Resource("v1", "Service", "services")
VOLUME_CLAIMS: Final = Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims")

_KNOWN: Final = {
    (one.version, one.kind): one for one in list(globals().values()) if isinstance(one, Resource)
}


def resource_of(manifest: Mapping[str, Any]) -> Resource:
    """Where an object of this manifest belongs; PermanentError for a kind that is not used here."""
    version, kind = str(manifest.get("apiVersion")), str(manifest.get("kind"))
    try:
        return _KNOWN[version, kind]
    except KeyError:
        raise PermanentError(f"objects of {version} {kind} are not made here") from None
