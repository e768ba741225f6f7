"""Copies of a service that answer synchronous calls: their objects, as plain mappings; pure.

With Knative, a Service of Knative. Else a Deployment, a Service and an autoscaler by CPU: without
a copy until the first call when the file wants none, and never back to none by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from bridge.fdl.model import ProviderRef, Service
from bridge.targets.kubernetes._names import object_name, options_of, service_labels
from bridge.targets.kubernetes._pod import main_container, pod_spec
from bridge.targets.kubernetes.connection import SERVICE
from bridge.targets.kubernetes.settings import ClusterSettings
from bridge.targets.render import ProviderAccess

__all__ = [
    "HTTP_ENTRY",
    "PART",
    "answers_calls",
    "bounds",
    "deployment_manifests",
    "knative_manifest",
    "notes",
    "scaler",
    "sync_name",
]

HTTP_ENTRY: Final = "/opt/bridge/bin/bridge-http"
#: Label that tells the copies of a service from its jobs.
PART: Final = "oscar-bridge/part"
#: Annotation of pods: what their configuration is made of; other configuration, other pods.
_CONFIGURED: Final = "oscar-bridge/configured"
_SYNC: Final = "sync"
_PORT: Final = 8080
# As many as the entry runs at once.
_CONCURRENCY: Final = 1
_CPU_PERCENT: Final = 80
# The autoscaler needs a bound where the file gives none.
_UNBOUNDED: Final = 100
# Knative's own bound of a request's length, unless its operator has raised it.
_KNATIVE_LONGEST: Final = 600
_DRAIN: Final = 30
_SCALE: Final = "autoscaling.knative.dev"
_VISIBILITY: Final = {"networking.knative.dev/visibility": "cluster-local"}


def sync_name(service: str) -> str:
    """Name of all objects here: the service's; upstream's."""
    return object_name(service)


def answers_calls(service: Service) -> bool:
    """Whether a service has copies for synchronous calls: not one that is a server of its own,
    nor one that runs on a virtual node."""
    options = options_of(service)
    exposed = options.expose is not None and bool(options.expose.api_port)
    return not exposed and not options.interlink_node_name


def bounds(service: Service) -> tuple[int, int]:
    """The least and the most copies of a service that the file asks for."""
    scale = options_of(service).synchronous
    return scale.min_scale, scale.max_scale or _UNBOUNDED


def knative_manifest(
    service: Service,
    settings: ClusterSettings,
    access: Mapping[ProviderRef, ProviderAccess],
    *,
    namespace: str,
    runtime_image: str,
    configured: str,
) -> dict[str, Any]:
    """The Service of Knative. `configured` stands for what the ConfigMap and Secrets hold."""
    pod = _pod(service, settings, access, runtime_image)
    container = main_container(pod)
    # Knative refuses the downward API unless its operator allows it.
    container["env"] = [one for one in container["env"] if "valueFrom" not in one]
    container["ports"] = [{"containerPort": _PORT, "protocol": "TCP"}]
    container.pop("livenessProbe")
    scale = options_of(service).synchronous
    pod |= {
        "containerConcurrency": _CONCURRENCY,
        "timeoutSeconds": math.ceil(min(service.timeout or _KNATIVE_LONGEST, _KNATIVE_LONGEST)),
    }
    template = {
        "metadata": {
            "labels": service_labels(service) | {PART: _SYNC},
            "annotations": {
                **options_of(service).annotations,
                f"{_SCALE}/min-scale": str(scale.min_scale),
                f"{_SCALE}/max-scale": str(scale.max_scale),
                _CONFIGURED: configured,
            },
        },
        "spec": pod,
    }
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": _facts(service, namespace, _VISIBILITY),
        "spec": {"template": template},
    }


def deployment_manifests(
    service: Service,
    settings: ClusterSettings,
    access: Mapping[ProviderRef, ProviderAccess],
    *,
    namespace: str,
    runtime_image: str,
    configured: str,
) -> list[dict[str, Any]]:
    """Deployment, Service and, where copies may become more, autoscaler.

    The number of copies is not in it: it is the autoscaler's, and `min_scale` when it is made.
    """
    pod = _pod(service, settings, access, runtime_image)
    pod["terminationGracePeriodSeconds"] = math.ceil((service.timeout or 0) + _DRAIN)
    selector = {SERVICE: service_labels(service)[SERVICE], PART: _SYNC}
    facts = _facts(service, namespace, {})
    template = {
        "metadata": {
            "labels": facts["labels"],
            "annotations": {**options_of(service).annotations, _CONFIGURED: configured},
        },
        "spec": pod,
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": facts,
        "spec": {"selector": {"matchLabels": selector}, "template": template},
    }
    front = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": facts,
        "spec": {
            "selector": selector,
            "ports": [{"name": "http", "port": 80, "targetPort": _PORT, "protocol": "TCP"}],
        },
    }
    (least, most), name = bounds(service), facts["name"]
    return [
        deployment,
        front,
        *scaler(facts, name, name, least=max(1, least), most=most, percent=_CPU_PERCENT),
    ]


def scaler(
    facts: Mapping[str, Any], name: str, deployment: str, *, least: int, most: int, percent: int
) -> list[dict[str, Any]]:
    """The autoscaler of a Deployment by CPU; none where the number of copies is fixed.

    Of `autoscaling/v1`, which every cluster has.
    """
    if most <= least:
        return []
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment},
        "minReplicas": least,
        "maxReplicas": most,
        "targetCPUUtilizationPercentage": percent,
    }
    return [
        {
            "apiVersion": "autoscaling/v1",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {**facts, "name": name},
            "spec": spec,
        }
    ]


def notes(service: Service, *, knative: bool) -> list[str]:
    """What a plan says of a service's synchronous calls on this cluster, one sentence each."""
    if not answers_calls(service):
        return []
    if knative:
        long = (service.timeout or 0) > _KNATIVE_LONGEST
        cut = f"Knative ends a synchronous call after {_KNATIVE_LONGEST} s"
        return [f"{service.name}: {cut}, before the service's own time limit"] if long else []
    least, most = bounds(service)
    first = "" if least else "it has no copy until the first call, and "
    return [
        f"{service.name}: the cluster has no Knative, so a Deployment answers synchronous calls: "
        f"{first}it keeps at least {max(1, least)} from then on; more come by CPU load, "
        f"up to {most}, where the cluster measures it (metrics.k8s.io)"
    ]


def _pod(
    service: Service,
    settings: ClusterSettings,
    access: Mapping[ProviderRef, ProviderAccess],
    runtime_image: str,
) -> dict[str, Any]:
    variables = {"BRIDGE_HTTP_ADDRESS": f":{_PORT}"}
    if service.timeout is not None:
        variables["BRIDGE_TIMEOUT"] = f"{service.timeout:g}"
    pod = pod_spec(
        service,
        settings,
        access,
        runtime_image=runtime_image,
        command=[HTTP_ENTRY],
        variables=variables,
    )
    main_container(pod).update(
        ports=[{"name": "http", "containerPort": _PORT, "protocol": "TCP"}],
        readinessProbe=_probe("/_/ready", 2),
        livenessProbe=_probe("/_/health", 10),
    )
    return pod


def _probe(path: str, period: int) -> dict[str, Any]:
    # A node that is busy may take seconds to answer: only silence counts.
    return {
        "httpGet": {"path": path, "port": _PORT},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": 3,
    }


def _facts(service: Service, namespace: str, more: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": sync_name(service.name),
        "namespace": namespace,
        "labels": {**service_labels(service), PART: _SYNC, **more},
        "annotations": dict(options_of(service).annotations),
    }
