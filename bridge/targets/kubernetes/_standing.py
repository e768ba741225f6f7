"""What a pod's status means for its job, in words. Pure functions over what the API server says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from bridge.targets.kubernetes._pod import MAIN, RUNTIME, SUPERVISOR
from bridge.targets.protocol import JobState, JobUpdate
from bridge.targets.reports import reported

__all__ = [
    "Kind",
    "Standing",
    "Waiting",
    "disruption",
    "final_update",
    "job_end",
    "standing",
    "warning",
]

Kind = Literal["", "image", "container", "place", "start", "leaving"]

_OOM: Final = "OOMKilled"
_LATE: Final = "DeadlineExceeded"
_KILLED: Final = frozenset({137, 143})
_TAIL: Final = 5
# Of a node without a name server of the cluster: the pod takes the node's.
_NO_MATTER: Final = ("MissingClusterDNS",)
# Kubelet's words for pods that it gave up for reasons of its own.
_GIVEN_UP: Final = {
    "Evicted": "it was evicted from its node",
    "NodeLost": "its node is gone",
    "NodeShutdown": "its node was shut down",
    "Preempting": "another pod took its place",
    "Shutdown": "its node was shut down",
    "Terminated": "its node was shut down",
}
_REFUSED: Final = ("NodeAffinity", "OutOf", "UnexpectedAdmissionError")
_UNABLE: Final = ("ContainerCannotRun", "CreateContainerError", "StartError")
_NO_IMAGE: Final = ("ErrImagePull", "ImageInspectError", "ImagePullBackOff", "RegistryUnavailable")
_NEVER: Final = ("ErrImageNeverPull", "InvalidImageName")
_NO_CONTAINER: Final = (
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
)
# What registries say when asking again will not help.
_DEFINITE: Final = (
    "denied",
    "invalid reference format",
    "manifest unknown",
    "no basic auth credentials",
    "not found",
    "repository does not exist",
    "unauthorized",
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a pod does not run yet. `hopeless` when it never will; `text` is "" when it is not told.

    `kind` is `image`, `container` (it cannot be made), `place` (no node has room) or `start`, for a
    pod that is on its way.
    """

    kind: Kind
    text: str = ""
    hopeless: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a pod is. `waiting` is for pods that have not started, `leaving` for one that the
    cluster is deleting. `started` is in seconds since the epoch."""

    state: Literal["waiting", "running", "ended"]
    waiting: Waiting = Waiting("")
    started: float | None = None
    leaving: bool = False


def standing(pod: Mapping[str, Any]) -> Standing:
    """Where the pod of a job is. A container beside the service's own does not count."""
    status = pod.get("status") or {}
    leaving = bool(pod["metadata"].get("deletionTimestamp"))
    state = _main(status).get("state") or {}
    if status.get("phase") in ("Succeeded", "Failed") or "terminated" in state:
        return Standing("ended")
    if "running" in state:
        begun = _seconds(state["running"].get("startedAt"))
        return Standing("running", started=begun, leaving=leaving)
    return Standing("waiting", waiting=_waiting(status), leaving=leaving)


def final_update(job: str, attempt: int, pod: Mapping[str, Any]) -> JobUpdate:
    """The last news of an attempt whose pod has ended."""
    status = pod.get("status") or {}
    facts = pod["metadata"]
    ended = (_main(status).get("state") or {}).get("terminated") or {}
    code = ended.get("exitCode")
    report = _report(ended.get("message"))
    update = JobUpdate(
        job,
        JobState.FAILED,
        handle=str(facts["labels"].get("job-name", "")),
        log=f"{facts.get('namespace')}/{facts['name']}",
        started=_seconds(ended.get("startedAt")),
        ended=_seconds(ended.get("finishedAt")),
        exit_code=code,
        attempt=attempt,
    )
    if report:
        told = reported(job, report, handle=update.handle, log=update.log)
        if (told.state is JobState.SUCCEEDED) is (code == 0):
            update = replace(told, attempt=attempt)
    if update.state is JobState.SUCCEEDED:
        return update
    reason, temporary = _why(pod, status, ended) or (update.reason, update.temporary)
    if not reason:
        reason, temporary = _unreported(ended)
    return replace(update, reason=reason, temporary=temporary)


def job_end(job: Mapping[str, Any]) -> tuple[bool, str] | None:
    """Whether a Job has succeeded, and the reason when not; None for one that is not over."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition.get("status") == "True" and condition.get("type") in ("Complete", "Failed"):
            return condition["type"] == "Complete", str(condition.get("message") or "")
    return None


def disruption(pod: Mapping[str, Any]) -> str:
    """Why the cluster took a pod away, as far as it says."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            return str(condition.get("message") or condition.get("reason") or "")
    return ""


def warning(events: Iterable[Mapping[str, Any]]) -> str:
    """The text of the newest of Kubernetes' events, if it is a warning; "" where things go on."""
    found = sorted((e for e in events if e.get("reason") not in _NO_MATTER), key=_age, reverse=True)
    if not found or found[0].get("type") != "Warning":
        return ""
    warnings = [one for one in found if one.get("type") == "Warning"]
    # A node says it at length, and then in one word.
    at_length = (one for one in warnings if not str(one.get("message")).startswith("Error: "))
    told = next(at_length, warnings[0])
    return f"{told.get('reason')}: {told.get('message')}"


def _age(event: Mapping[str, Any]) -> tuple[str, bool]:
    """For an order; of two events of a second, the warning is the older one."""
    when = event.get("lastTimestamp") or event.get("eventTime") or ""
    return str(when), event.get("type") != "Warning"


def _why(
    pod: Mapping[str, Any], status: Mapping[str, Any], ended: Mapping[str, Any]
) -> tuple[str, bool] | None:
    """The reason that only the cluster knows, and whether it may pass; None when there is none."""
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "").strip()
    if reason == _LATE:
        limit = pod["spec"].get("activeDeadlineSeconds")
        return f"the cluster ended it after {limit} s: it had not ended by itself", False
    if reason in _GIVEN_UP:
        return _joined(_GIVEN_UP[reason], message), True
    if reason.startswith(_REFUSED):
        return _joined("its node refused it", message or reason), True
    if taken := disruption(pod):
        return _joined("the cluster took its pod away", taken), True
    return _container_failure(pod, ended) or _init_failure(status)


def _container_failure(pod: Mapping[str, Any], ended: Mapping[str, Any]) -> tuple[str, bool] | None:
    if ended.get("reason") == _OOM:
        return f"out of memory: the limit of the service is {_memory(pod)}", False
    if ended.get("reason") in _UNABLE:
        return _joined("the container cannot be started", ended.get("message")), False
    return None


def _init_failure(status: Mapping[str, Any]) -> tuple[str, bool] | None:
    for one in status.get("initContainerStatuses") or ():
        ended = (one.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            name = (
                "the runtime's container" if one["name"] == RUNTIME else f"container {one['name']}"
            )
            text = f"{name} failed with status {ended['exitCode']}"
            killed = ended["exitCode"] in _KILLED and ended.get("reason") != _OOM
            return _joined(text, _tail(ended.get("message")) or ended.get("reason")), killed
    return None


def _unreported(ended: Mapping[str, Any]) -> tuple[str, bool]:
    """A program that ended by itself would do so again; one that was killed may not."""
    if not ended:
        return "its pod failed before the container was started", True
    code, tail = ended.get("exitCode"), _tail(ended.get("message"))
    if SUPERVISOR in tail and "no such file" in tail:
        return "the image has no /bin/sh, which every script needs", False
    return _joined(f"the container ended with status {code} and no report", tail), code in _KILLED


def _waiting(status: Mapping[str, Any]) -> Waiting:
    for one in _containers(status):
        facts = (one.get("state") or {}).get("waiting") or {}
        reason, message = str(facts.get("reason") or ""), str(facts.get("message") or "")
        if reason in (*_NO_IMAGE, *_NEVER):
            return _no_image(one, reason, message)
        if reason in _NO_CONTAINER:
            return Waiting("container", _joined("the container cannot be made", message or reason))
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            text = str(condition.get("message") or condition.get("reason") or "")
            return Waiting("place", _joined("no node has room for it", text))
    return Waiting("start")


def _no_image(container: Mapping[str, Any], reason: str, message: str) -> Waiting:
    """Back-off alone tells nothing: what the registry said came before it."""
    if reason == "ImagePullBackOff" and "rror" not in message:
        return Waiting("image")
    text = _joined(f"the image {container.get('image')} cannot be pulled", message or reason)
    if container.get("name") == RUNTIME:
        text += "; `oscar-bridge runtime image` makes it"
    definite = any(word in message.lower() for word in _DEFINITE)
    return Waiting("image", text, hopeless=reason in _NEVER or definite)


def _containers(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _main(status: Mapping[str, Any]) -> Mapping[str, Any]:
    found = status.get("containerStatuses") or ()
    return next((one for one in found if one.get("name") == MAIN), {})


def _report(message: object) -> Mapping[str, Any]:
    """The supervisor's report in a termination message; empty when that is something else."""
    try:
        found = json.loads(str(message or ""))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and "job" in found else {}


def _memory(pod: Mapping[str, Any]) -> str:
    main = next(one for one in pod["spec"]["containers"] if one["name"] == MAIN)
    return str(main["resources"]["limits"]["memory"])


def _tail(message: object) -> str:
    lines = str(message or "").strip().splitlines()
    return " | ".join(line.strip() for line in lines[-_TAIL:])


def _joined(text: str, more: object) -> str:
    return f"{text}: {more}" if more else text


def _seconds(stamp: object) -> float | None:
    return datetime.fromisoformat(str(stamp)).timestamp() if stamp else None
