"""How the copies of a service are doing, and how many there are to be; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from bridge.targets.kubernetes._standing import standing

__all__ = [
    "PREVIOUS",
    "STOPPED",
    "DeploymentStatus",
    "copies",
    "knative_status",
    "start_patch",
    "status_of",
    "stop_patch",
]

State = Literal["pending", "ready", "degraded", "failed", "stopped", "unavailable"]
Kind = Literal["exposed_service", "knative_service", "unavailable"]

#: Annotations of a Deployment that was stopped; upstream's.
PREVIOUS: Final = "oscar.grycap.io/previous-replicas"
STOPPED: Final = "oscar.grycap.io/stopped"
_CRASHING: Final = "CrashLoopBackOff"

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """How the copies of a service are; upstream's words.

    `active_instances` are ready, `affected_instances` should be and are not. `reason` is "" when
    there is nothing to say, `last_transition_time` (RFC 3339) when it is not known. A service for
    synchronous calls is a `knative_service`, with or without Knative.
    """

    service: str
    namespace: str
    state: State
    reason: str = ""
    last_transition_time: str = ""
    active_instances: int = 0
    affected_instances: int = 0
    resource_kind: Kind = "unavailable"


def copies(found: Object | None, least: int, most: int) -> int:
    """How many copies a Deployment is to have: as many as it has, within the file's bounds."""
    if found is None:
        return least
    if is_stopped(found):
        return 0
    return min(max(_wanted(found), least), max(most, least))


def is_stopped(deployment: Object) -> bool:
    """Whether somebody has stopped it."""
    return (deployment["metadata"].get("annotations") or {}).get(STOPPED) == "true"


def stop_patch(deployment: Object) -> dict[str, Any]:
    """What stops it: no copy, and a note of how many there were."""
    noted = {STOPPED: "true", PREVIOUS: str(_wanted(deployment))}
    return {"metadata": {"annotations": noted}, "spec": {"replicas": 0}}


def start_patch(deployment: Object, least: int) -> dict[str, Any]:
    """What starts it again, with as many copies as before."""
    noted = str((deployment["metadata"].get("annotations") or {}).get(PREVIOUS, ""))
    before = int(noted) if noted.isdigit() else 0
    forgotten: dict[str, None] = {STOPPED: None, PREVIOUS: None}
    return {"metadata": {"annotations": forgotten}, "spec": {"replicas": max(before, least)}}


def status_of(
    service: str, namespace: str, deployment: Object, pods: Sequence[Object], kind: Kind
) -> DeploymentStatus:
    """The status of a Deployment with the pods that it has made."""
    wanted = _wanted(deployment)
    status = deployment.get("status") or {}
    ready = int(status.get("readyReplicas") or 0)
    state, reason = _state(deployment, pods, wanted, ready)
    return DeploymentStatus(
        service=service,
        namespace=namespace,
        state=state,
        reason=reason,
        last_transition_time=_newest(status),
        active_instances=ready,
        affected_instances=max(0, wanted - ready),
        resource_kind=kind,
    )


def knative_status(
    service: str, namespace: str, found: Object, pods: Sequence[Object]
) -> DeploymentStatus:
    """The status of a Service of Knative with its pods."""
    status = found.get("status") or {}
    condition = _condition(status, "Ready")
    words: dict[object, State] = {"True": "ready", "False": "failed"}
    state = words.get(condition.get("status"), "pending")
    ready = sum(
        _condition(pod.get("status") or {}, "Ready").get("status") == "True" for pod in pods
    )
    return DeploymentStatus(
        service=service,
        namespace=namespace,
        state=state,
        reason="" if state == "ready" else str(condition.get("message") or ""),
        last_transition_time=str(condition.get("lastTransitionTime") or ""),
        active_instances=ready,
        affected_instances=len(pods) - ready,
        resource_kind="knative_service",
    )


def _state(
    deployment: Object, pods: Sequence[Object], wanted: int, ready: int
) -> tuple[State, str]:
    if is_stopped(deployment):
        return "stopped", ""
    if not wanted:
        return "ready", "it has no copy until the first call"
    if ready >= wanted:
        return "ready", ""
    for pod in pods:
        text, hopeless = _trouble(pod)
        if text:
            return ("degraded" if ready else "failed" if hopeless else "pending"), text
    failure = _condition(deployment.get("status") or {}, "ReplicaFailure")
    if failure.get("status") == "True":
        return "degraded" if ready else "failed", str(failure.get("message") or "")
    return "degraded" if ready else "pending", ""


def _trouble(pod: Object) -> tuple[str, bool]:
    """Why a pod does not get ready, and whether it never will; "" when nothing is known."""
    found = standing(pod)
    if found.state == "waiting" and found.waiting.text:
        return found.waiting.text, found.waiting.hopeless
    for one in (pod.get("status") or {}).get("containerStatuses") or ():
        if ((one.get("state") or {}).get("waiting") or {}).get("reason") == _CRASHING:
            last = (one.get("lastState") or {}).get("terminated") or {}
            why = last.get("message") or last.get("reason") or "it ends at once"
            return f"it ended with status {last.get('exitCode')}: {str(why).strip()}", True
    return "", False


def _wanted(deployment: Object) -> int:
    replicas = deployment["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def _condition(status: Object, kind: str) -> Object:
    found = status.get("conditions") or ()
    return next((one for one in found if one.get("type") == kind), {})


def _newest(status: Object) -> str:
    times = [str(one.get("lastTransitionTime") or "") for one in status.get("conditions") or ()]
    return max(times, default="")
