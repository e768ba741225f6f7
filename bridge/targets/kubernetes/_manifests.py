"""The objects of a service and of a job, as plain mappings; pure."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bridge.errors import PermanentError
from bridge.events import delegated
from bridge.fdl.model import ProviderRef, Service
from bridge.targets.kubernetes._names import (
    ATTEMPT,
    JOB,
    JOB_ID,
    config_name,
    job_label,
    job_name,
    options_of,
    providers_name,
    secret_name,
    service_labels,
)
from bridge.targets.kubernetes._pod import (
    SUPERVISOR,
    credential_files,
    main_container,
    pod_spec,
    volume_name,
)
from bridge.targets.kubernetes.settings import ClusterSettings
from bridge.targets.kubernetes.volumes import claim_spec
from bridge.targets.protocol import Job
from bridge.targets.render import ProviderAccess, service_document

__all__ = ["dropped", "event_secrets", "job_manifest", "service_manifests"]

_EVENT_LIMIT: Final = 100_000  # bytes; Linux refuses a variable of 128 KiB
_PART: Final = 900_000  # bytes; a Secret holds 1 MiB
_PARTS: Final = 16
_CONFIG_LIMIT: Final = 1_000_000
_EVENT: Final = "/oscar/event"
_EMPTY: Final[tuple[object, ...]] = (None, "", [], {})


def service_manifests(
    service: Service, access: Mapping[ProviderRef, ProviderAccess], namespace: str
) -> list[dict[str, Any]]:
    """All objects that the jobs of a service find: ConfigMap, Secrets, and a new volume's claim.

    PermanentError when the script is more than a ConfigMap can hold.
    """
    return [
        _config_map(service, access, namespace),
        *_secrets(service, access, namespace),
        *_claim(service, namespace),
    ]


def job_manifest(
    service: Service,
    job: Job,
    access: Mapping[ProviderRef, ProviderAccess],
    settings: ClusterSettings,
    *,
    namespace: str,
    runtime_image: str,
) -> dict[str, Any]:
    """The Job of one attempt. PermanentError for what it cannot have."""
    text = _event(job)
    variables = {
        "JOB_UUID": job.id,
        "BRIDGE_REPORT": "/dev/termination-log",
        **({"BRIDGE_TIMEOUT": f"{service.timeout:g}"} if service.timeout is not None else {}),
        **({"EVENT": text} if len(text) <= _EVENT_LIMIT else {"BRIDGE_EVENT_FILE": _EVENT}),
    }
    pod = pod_spec(
        service,
        settings,
        access,
        runtime_image=runtime_image,
        command=[SUPERVISOR],
        variables=variables,
    )
    pod["restartPolicy"] = "Never"
    if service.timeout is not None:
        pod["activeDeadlineSeconds"] = math.ceil(service.timeout + settings.deadline_grace)
    if len(text) > _EVENT_LIMIT:
        _mount_event(pod, job, len(text))
    facts = _job_facts(service, job)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(job.id, job.attempt),
            "namespace": namespace,
            **facts,
        },
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": math.ceil(settings.job_ttl),
            "template": {"metadata": facts, "spec": pod},
        },
    }


def event_secrets(service: Service, job: Job, namespace: str, uid: str) -> Iterator[dict[str, Any]]:
    """The parts of an event that is too large for the Job itself, owned by the Job of this uid.

    PermanentError when it is too large for Secrets, too.
    """
    text = _event(job).encode()
    if len(text) <= _EVENT_LIMIT:
        return
    name = job_name(job.id, job.attempt)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid}
    for number in range(_parts(len(text), job)):
        part = text[number * _PART : (number + 1) * _PART]
        yield {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": _part_name(name, number),
                "namespace": namespace,
                "labels": service_labels(service),
                "ownerReferences": [owner],
            },
            "immutable": True,
            "data": {"part": b64encode(part).decode()},
        }


def dropped(wanted: object, made: object, path: str = "") -> list[str]:
    """Paths of what was asked for and is not in what the server made of it.

    A server leaves out what it is too old to know. Values may differ, as it writes amounts its own
    way, and it may add.
    """
    if isinstance(wanted, Mapping):
        found = []
        for key, value in wanted.items():
            place = f"{path}.{key}" if path else str(key)
            if isinstance(made, Mapping) and key in made:
                found += dropped(value, made[key], place)
            elif value not in _EMPTY:
                found.append(place)
        return found
    if isinstance(wanted, list) and isinstance(made, list):
        if len(made) < len(wanted):
            return [path]
        return [
            one
            for number, value in enumerate(wanted)
            for one in dropped(value, _fellow(value, number, made), f"{path}[{number}]")
        ]
    return []


def _fellow(wanted: object, number: int, made: list[Any]) -> object:
    """The item of a list that a wanted one has become: that of its name, else at its place."""
    if isinstance(wanted, Mapping) and "name" in wanted:
        named = (one for one in made if isinstance(one, Mapping))
        return next((one for one in named if one.get("name") == wanted["name"]), None)
    return made[number]


def _event(job: Job) -> str:
    return json.dumps(delegated(job.event, job.event.provider, job.id, job.attempt, job.trace))


def _job_facts(service: Service, job: Job) -> dict[str, Any]:
    labels = {JOB: job_label(job.id), ATTEMPT: str(job.attempt)}
    return {
        "labels": service_labels(service) | labels,
        "annotations": {**options_of(service).annotations, JOB_ID: job.id},
    }


def _mount_event(pod: dict[str, Any], job: Job, size: int) -> None:
    name = job_name(job.id, job.attempt)
    sources = [
        {
            "secret": {
                "name": _part_name(name, number),
                "items": [{"key": "part", "path": f"{number:03}"}],
            }
        }
        for number in range(_parts(size, job))
    ]
    pod["volumes"].append({"name": "event", "projected": {"sources": sources}})
    mount = {"name": "event", "mountPath": _EVENT, "readOnly": True}
    main_container(pod)["volumeMounts"].append(mount)


def _parts(size: int, job: Job) -> int:
    count = math.ceil(size / _PART)
    if count > _PARTS:
        raise PermanentError(
            f"the event of job {job.id} has {size} bytes; a cluster takes up to {_PARTS * _PART}",
            hint="put the data into a bucket: the event is small then",
        )
    return count


def _part_name(job: str, number: int) -> str:
    return f"{job}-event-{number}"


def _config_map(
    service: Service, access: Mapping[ProviderRef, ProviderAccess], namespace: str
) -> dict[str, Any]:
    data = {"function_config.json": json.dumps(service_document(service, access), sort_keys=True)}
    if service.script_text is not None:
        data["script.sh"] = service.script_text
    size = sum(len(text.encode()) for text in data.values())
    if size > _CONFIG_LIMIT:
        raise PermanentError(
            f"service {service.name}: its script and settings have {size} bytes;"
            f" a cluster takes up to {_CONFIG_LIMIT}",
            hint="put what is large into the image",
        )
    return _object("ConfigMap", config_name(service.name), service, namespace, {"data": data})


def _secrets(
    service: Service, access: Mapping[ProviderRef, ProviderAccess], namespace: str
) -> Iterator[dict[str, Any]]:
    own = {name: secret.reveal() for name, secret in service.secrets.items()}
    files = dict(credential_files(service, access).values())
    for name, values in ((secret_name(service.name), own), (providers_name(service.name), files)):
        if values:
            data = {key: b64encode(value.encode()).decode() for key, value in values.items()}
            yield _object("Secret", name, service, namespace, {"type": "Opaque", "data": data})


def _claim(service: Service, namespace: str) -> Iterator[dict[str, Any]]:
    volume = options_of(service).volume
    if volume is None or volume.size is None:
        return
    rest = {"spec": claim_spec(volume.size)}
    yield _object("PersistentVolumeClaim", volume_name(service), service, namespace, rest)


def _object(
    kind: str, name: str, service: Service, namespace: str, rest: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": service_labels(service)},
        **rest,
    }
