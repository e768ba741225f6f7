"""The log of a job: of the newest of its pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bridge.errors import NotFoundError, PermanentError
from bridge.targets.kubernetes._names import ATTEMPT, JOB, job_label
from bridge.targets.kubernetes._pod import MAIN
from bridge.targets.kubernetes.connection import Connection
from bridge.targets.kubernetes.resources import PODS

__all__ = ["log_lines"]


def log_lines(connection: Connection, job: str, *, follow: bool, timestamps: bool) -> Iterator[str]:
    """Lines of the last attempt: those of failed init containers, then the service's own."""
    pods = connection.find_all(PODS, labels=f"{JOB}={job_label(job)}")
    if not pods:
        return
    pod = max(pods, key=_age)
    name = pod["metadata"]["name"]
    for container in (*_failed(pod), MAIN):
        try:
            stream = connection.log(name, container, follow=follow, timestamps=timestamps)
        except NotFoundError:
            return
        except PermanentError:
            continue  # it has not begun, and so has no log
        for line in stream:
            yield line.decode("utf-8", "replace").removesuffix("\r")


def _age(pod: Mapping[str, Any]) -> tuple[int, str]:
    facts = pod["metadata"]
    return int(facts["labels"].get(ATTEMPT, 0)), str(facts.get("creationTimestamp"))


def _failed(pod: Mapping[str, Any]) -> Iterator[str]:
    for one in (pod.get("status") or {}).get("initContainerStatuses") or ():
        if ((one.get("state") or {}).get("terminated") or {}).get("exitCode"):
            yield str(one["name"])
