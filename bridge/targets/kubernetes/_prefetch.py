"""A service's image brought to the nodes before its first job: a DaemonSet that is there until
every node has it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from bridge.errors import BridgeError, PermanentError, TargetUnavailable
from bridge.fdl.model import Service
from bridge.targets.kubernetes._names import object_name, options_of, service_labels
from bridge.targets.kubernetes._pod import image_name
from bridge.targets.kubernetes.connection import Connection, is_ours
from bridge.targets.kubernetes.resources import DAEMON_SETS, PODS
from bridge.targets.kubernetes.settings import ClusterSettings

__all__ = ["image_puller", "prefetch", "wants_prefetch"]

_LABEL: Final = "oscar_image_puller"
_ROOM: Final = {"cpu": "10m", "memory": "16Mi"}
_PAUSE: Final = 0.5
# What the kubelet says of a container whose image it does not have, and may never get.
_NO_IMAGE: Final = frozenset({"ErrImagePull", "ContainerCreating", "PodInitializing"})
_REFUSED: Final = frozenset({"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})

Object = Mapping[str, Any]


def wants_prefetch(service: Service) -> bool:
    """Whether the file asks for it (`image_prefetch`)."""
    return options_of(service).image_prefetch


def image_puller(service: Service, namespace: str, settings: ClusterSettings) -> dict[str, Any]:
    """The DaemonSet `image-puller-<service>`: a container of the image on every node that the
    service's jobs may go to. Its command need not be in the image: it is about the pull."""
    labels = {_LABEL: object_name(service.name)}
    options = options_of(service)
    secrets = dict.fromkeys((*settings.image_pull_secrets, *options.image_pull_secrets))
    container = {
        "name": "image",
        "image": image_name(service.image),
        "command": ["sleep", "1h"],
        "resources": {"requests": _ROOM, "limits": _ROOM},
    }
    pod: dict[str, Any] = {
        "containers": [container],
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 0,
    }
    if secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in secrets]
    if settings.node_selector:
        pod["nodeSelector"] = dict(settings.node_selector)
    if settings.tolerations:
        pod["tolerations"] = [dict(one) for one in settings.tolerations]
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": f"image-puller-{object_name(service.name)}",
            "namespace": namespace,
            "labels": service_labels(service) | labels,
        },
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "100%"},
            },
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def has_image(pod: Object) -> bool:
    """Whether the pod's node has the image by now: a container of it was made, ended or not."""
    for status in _containers(pod):
        state = status.get("state") or {}
        waits = (state.get("waiting") or {}).get("reason", "ContainerCreating")
        made = "running" in state or "terminated" in state or status.get("lastState")
        if not made and waits in _NO_IMAGE | _REFUSED:
            return False
    return bool(_containers(pod))


def refusal(pod: Object) -> str:
    """Why the pod's node does not get the image, with the registry's answer; "" while it may."""
    for status in _containers(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _REFUSED and not status.get("lastState"):
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    return ""


def _containers(pod: Object) -> Sequence[Object]:
    return (pod.get("status") or {}).get("containerStatuses") or ()


def prefetch(
    connection: Connection,
    services: Sequence[Service],
    *,
    timeout: float = 600.0,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Bring the images to all nodes at once; returns when they are there and nothing else is left.

    PermanentError when an image cannot be pulled, with the registry's answer. TargetUnavailable
    when it takes longer than `timeout` seconds, with the nodes that are missing.
    """
    if not services:
        return
    made = [image_puller(one, connection.namespace, connection.settings) for one in services]
    end = time.monotonic() + timeout
    try:
        for manifest in made:
            connection.apply(manifest)
        for service, manifest in zip(services, made, strict=True):
            while missing := _missing(connection, service, manifest["metadata"]["name"]):
                if time.monotonic() > end:
                    raise TargetUnavailable(
                        f"image {service.image} of {service.name} is not on {missing} after"
                        f" {timeout:.0f} s",
                        hint="deploy again, or leave image_prefetch out",
                    )
                pause(_PAUSE)
    finally:
        _remove(connection, [manifest["metadata"]["name"] for manifest in made])


def _missing(connection: Connection, service: Service, name: str) -> str:
    """The nodes that do not have the image yet, in words; "" when all have it."""
    found = connection.get(DAEMON_SETS, name)
    status = found.get("status") or {}
    if status.get("observedGeneration", 0) < found["metadata"]["generation"]:
        return "the nodes"
    pods = [
        pod
        for pod in connection.find_all(PODS, labels=f"{_LABEL}={object_name(service.name)}")
        if pod["spec"]["containers"][0]["image"] == image_name(service.image)
    ]
    for pod in pods:
        if why := refusal(pod):
            node = pod["spec"].get("nodeName", "a node")
            raise PermanentError(
                f"image {service.image} of {service.name} cannot be pulled on {node}: {why}",
                hint="check the image's name and image_pull_secrets",
            )
    without = [pod["spec"].get("nodeName", "a node") for pod in pods if not has_image(pod)]
    if without:
        return ", ".join(without)
    wanted = status.get("desiredNumberScheduled", 0)
    return f"{wanted - len(pods)} nodes" if len(pods) < wanted else ""


def _remove(connection: Connection, names: Sequence[str]) -> None:
    """Delete those that are ours; an error is raised only after all were tried."""
    failed: BridgeError | None = None
    for name in names:
        try:
            found = connection.find(DAEMON_SETS, name)
            if found is not None and is_ours(found):
                connection.delete(DAEMON_SETS, name)
        except BridgeError as error:
            failed = error
    if failed is not None:
        raise failed
