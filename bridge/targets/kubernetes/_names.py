"""Names and labels of our objects. Pure: the same input gives the same name."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from bridge.fdl import OscarOptions
from bridge.fdl.model import Service
from bridge.targets.kubernetes.connection import MANAGED_BY, MANAGER, SERVICE

__all__ = [
    "ATTEMPT",
    "JOB",
    "JOB_ID",
    "config_name",
    "job_label",
    "job_name",
    "object_name",
    "options_of",
    "providers_name",
    "secret_name",
    "service_labels",
]

#: Labels: the job (see `job_label`) and its attempt.
JOB: Final = "oscar-bridge/job"
ATTEMPT: Final = "oscar-bridge/attempt"
#: Annotation: the job's id as it is.
JOB_ID: Final = "oscar-bridge/job-id"

# By these the objects of all services are found and selected: no service gives them to its own.
_RESERVED: Final = "oscar-bridge/"
_SELECTOR: Final = "app"
_LONGEST: Final = 63
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DIGEST: Final = 16


def object_name(name: str, suffix: str = "") -> str:
    """A DNS label made of a name: itself where that is one, else cut, with a digest."""
    room = _LONGEST - len(suffix)
    if len(name) <= room and _LABEL.fullmatch(name):
        return f"{name}{suffix}"
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower())[: room - _DIGEST - 1].strip("-")
    return f"{plain or 'x'}-{digest}{suffix}"


def job_name(job: str, attempt: int) -> str:
    """Name of the Job of one attempt: the job's id where that fits, with the attempt from 2 on."""
    return object_name(job, f"-{attempt}" if attempt > 1 else "")


def job_label(job: str) -> str:
    """What all Jobs and pods of a job are found by."""
    return object_name(job)


def config_name(service: str) -> str:
    """Name of the ConfigMap of a service; upstream's."""
    return object_name(service)


def secret_name(service: str) -> str:
    """Name of the Secret with a service's secret variables; upstream's."""
    return object_name(service)


def providers_name(service: str) -> str:
    """Name of the Secret with the credentials of a service's storage providers."""
    return object_name(service, "-providers")


def service_labels(service: Service) -> dict[str, str]:
    """The labels of all objects of a service: its own, upstream's and ours."""
    name = object_name(service.name)
    own = options_of(service).labels.items()
    return {
        **{k: v for k, v in own if k != _SELECTOR and not k.startswith(_RESERVED)},
        "oscar.grycap/user-service": "true",
        "applicationId": name,
        "queue": f"root.oscar-queue.{name}"[:_LONGEST].rstrip("-."),
        SERVICE: name,
        MANAGED_BY: MANAGER,
    }


def options_of(service: Service) -> OscarOptions:
    """What only a cluster knows of a service; upstream's defaults for a service of another."""
    options = service.options
    return options if isinstance(options, OscarOptions) else OscarOptions()
