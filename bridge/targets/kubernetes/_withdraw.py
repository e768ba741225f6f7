"""Taking an attempt back from a cluster, so that it does not run there and never will.

A pod without a node has never run. It is deleted on the condition that it is as it was seen, which
the API server checks in one step with the delete: where a node got it meanwhile, nothing is
deleted. In place of its Job comes one of the same name that runs nothing: a submit that is slow, or
of a dispatcher that was taken for dead, finds that.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Final

from bridge.errors import PermanentError, TemporaryError
from bridge.targets.kubernetes._names import JOB_ID, object_name
from bridge.targets.kubernetes._standing import job_end
from bridge.targets.kubernetes._tracker import Followed
from bridge.targets.kubernetes.connection import (
    MANAGED_BY,
    MANAGER,
    SERVICE,
    AlreadyThere,
    Connection,
)
from bridge.targets.kubernetes.resources import JOBS, PODS
from bridge.targets.protocol import Job

__all__ = ["is_fence", "let_go", "withdraw"]

_LOG: Final = logging.getLogger("bridge.targets.kubernetes")
_WITHDRAWN: Final = "oscar-bridge/withdrawn"
# Seconds: longer than any submit is on its way, or a dispatcher asleep.
_KEPT: Final = 86_400.0


def is_fence(found: Mapping[str, Any]) -> bool:
    """Whether a Job stands for an attempt that was withdrawn."""
    return _WITHDRAWN in (found["metadata"].get("annotations") or {})


def let_go(connection: Connection, job: Job, name: str) -> bool:
    """Whether the cluster has no Job of the attempt; it will not have one then."""
    found = connection.find(JOBS, name)
    if found is None:
        return _fenced(connection, job, name)
    return is_fence(found)


def withdraw(connection: Connection, job: Job, name: str, followed: Followed | None) -> bool | None:
    """See `bridge.dispatch.protocol.Withdraws`; `followed` is the attempt, where it is known."""
    if followed is not None and (followed.running or followed.succeeded):
        return False
    found = connection.find(JOBS, name)
    if found is None:
        return True if _fenced(connection, job, name) else None
    if is_fence(found):
        return True
    if found["metadata"].get("deletionTimestamp"):
        return None
    pods = connection.find_all(PODS, labels=f"job-name={name}")
    if job_end(found) is not None or any(pod["spec"].get("nodeName") for pod in pods):
        return False
    _delete(connection, found, pods, followed)
    return None


def _delete(
    connection: Connection,
    found: Mapping[str, Any],
    pods: list[dict[str, Any]],
    followed: Followed | None,
) -> None:
    """Delete the pods, if no node has one, and then their Job: without a pod it has failed, and
    makes no other."""
    if followed is not None:
        # Its end is not news of the job.
        followed.cancelled = True
    try:
        for pod in pods:
            connection.delete(PODS, pod["metadata"]["name"], only=pod["metadata"])
        name = found["metadata"]["name"]
        only = None if pods else found["metadata"]
        connection.delete(JOBS, name, foreground=True, only=only)
    except BaseException as error:
        if followed is not None:
            followed.cancelled = False
        if not isinstance(error, TemporaryError):
            raise
        # Somebody was faster, or nobody answers: the next look says what there is.
        _LOG.info("%s", error)


def _fenced(connection: Connection, job: Job, name: str) -> bool:
    """Take the name, so that nobody creates the Job of the attempt any more. False when somebody
    just did."""
    try:
        connection.create(_fence(connection, job, name))
    except AlreadyThere:
        found = connection.find(JOBS, name)
        return found is not None and is_fence(found)
    except PermanentError as error:
        # The cluster has rules against such a Job. What is left is that ours is not there now.
        _LOG.warning("%s", error)
    return True


def _fence(connection: Connection, job: Job, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": connection.namespace,
            "labels": {MANAGED_BY: MANAGER, SERVICE: object_name(job.service)},
            "annotations": {JOB_ID: job.id, _WITHDRAWN: "true"},
        },
        "spec": {
            "completions": 0,
            "parallelism": 0,
            "ttlSecondsAfterFinished": math.ceil(_KEPT),
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "containers": [{"name": "nothing", "image": "none"}],
                }
            },
        },
    }
