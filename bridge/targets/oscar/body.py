"""A service as the JSON that a cluster's API takes. Pure: the reverse of reading FDL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from bridge.fdl import OscarOptions
from bridge.fdl.model import Document, ProviderRef, Service, StoragePath
from bridge.fdl.options import Expose, Federation, Kserve, Replica, Volume
from bridge.fdl.quantities import format_cpu, format_duration, format_memory
from bridge.secret import Secret

__all__ = ["plain", "secrets_in", "service_body"]

# What upstream wants from services that run no script of ours, too.
_NO_SCRIPT: Final = "#!/bin/sh\n"


def service_body(service: Service, cluster: str, document: Document) -> dict[str, Any]:
    """The service object for a cluster, by upstream's names; secrets in it are `Secret`s.

    Every field that the file could set is there, so that one that was taken out of the file goes
    back to its default. Providers and clusters of the document travel with it as far as it names
    them. Where it may be placed does not: that was decided when it was sent there.
    """
    options = service.options if isinstance(service.options, OscarOptions) else OscarOptions()
    resources = service.resources
    body: dict[str, Any] = {
        "name": service.name,
        "cluster_id": cluster,
        "memory": format_memory(resources.memory),
        "cpu": format_cpu(resources.cpu),
        "total_memory": "" if options.total_memory is None else format_memory(options.total_memory),
        "total_cpu": "" if options.total_cpu is None else format_cpu(options.total_cpu),
        "ephemeral_storage_request": (
            ""
            if resources.ephemeral_storage is None
            else format_memory(resources.ephemeral_storage)
        ),
        "enable_gpu": bool(resources.gpu),
        "enable_sgx": options.enable_sgx,
        "image_prefetch": options.image_prefetch,
        "synchronous": {
            "min_scale": options.synchronous.min_scale,
            "max_scale": options.synchronous.max_scale,
        },
        "log_level": service.log_level,
        "image": service.image,
        "alpine": options.alpine,
        "file_stage_in": service.file_stage_in,
        "input": [_path(path, cluster) for path in service.inputs],
        "output": [_path(path, cluster) for path in service.outputs],
        "script": _NO_SCRIPT if service.script_text is None else service.script_text,
        "image_pull_secrets": list(options.image_pull_secrets),
        "environment": {"variables": dict(service.variables), "secrets": dict(service.secrets)},
        "annotations": dict(options.annotations),
        "vo": options.vo[0] if options.vo else "",
        "labels": dict(options.labels),
        "interlink_node_name": options.interlink_node_name,
        "visibility": options.visibility,
        "allowed_users": list(options.allowed_users),
        "isolation_level": options.isolation_level,
        "expose": _expose(options.expose or Expose(0, 0, health_path="", cpu_threshold=0)),
    }
    return body | _parts(service, options, cluster, document)


def _parts(
    service: Service, options: OscarOptions, cluster: str, document: Document
) -> dict[str, Any]:
    """What is left out when the file has none."""
    found = {
        "storage_providers": _providers(service, options, cluster, document),
        "clusters": _clusters(options.federation, document),
        "federation": _federation(options.federation),
        "mount": _mount(options.mount, cluster),
        "volume": _volume(options.volume),
        "kserve": _kserve(options.kserve),
        # Upstream ignores it; our manager stops the job then.
        "timeout": "" if service.timeout is None else format_duration(service.timeout),
    }
    return {key: value for key, value in found.items() if value}


def plain(value: Any) -> Any:
    """The body as it is sent, secrets in clear."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def secrets_in(value: Any) -> Iterator[tuple[str, Secret]]:
    """Every secret of a body with its path, in the order of the paths' names."""
    if isinstance(value, Secret):
        yield "", value
    elif isinstance(value, Mapping):
        for key in sorted(value):
            yield from ((f".{key}{rest}", one) for rest, one in secrets_in(value[key]))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from ((f"[{number}]{rest}", one) for rest, one in secrets_in(item))


def _reference(ref: ProviderRef, cluster: str) -> str:
    """A provider as the cluster calls it: its own MinIO is `minio.default` there."""
    return "minio.default" if ref == ProviderRef("minio", cluster) else str(ref)


def _path(path: StoragePath, cluster: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "storage_provider": _reference(path.provider, cluster),
        "path": path.path,
    }
    filters = {"suffix": list(path.suffix), "prefix": list(path.prefix)}
    return found | {key: value for key, value in filters.items() if value}


def _mount(path: StoragePath | None, cluster: str) -> dict[str, Any]:
    if path is None:
        return {}
    options = {"options": path.options} if path.options else {}
    return _path(path, cluster) | options


def _expose(expose: Expose) -> dict[str, Any]:
    ports = {"api_port": list(expose.api_port), "nodePort": list(expose.node_port)}
    return {
        "min_scale": expose.min_scale,
        "max_scale": expose.max_scale,
        **{key: value for key, value in ports.items() if value},
        "cpu_threshold": expose.cpu_threshold,
        "rewrite_target": expose.rewrite_target,
        "default_command": expose.default_command,
        "set_auth": expose.set_auth,
        "auth_type": expose.auth_type,
        "health_path": expose.health_path,
        "probe_mode": expose.probe_mode,
    }


def _providers(
    service: Service, options: OscarOptions, cluster: str, document: Document
) -> dict[str, dict[str, Any]]:
    paths = [*service.inputs, *service.outputs, *([options.mount] if options.mount else [])]
    found: dict[str, dict[str, Any]] = {}
    for ref in sorted({path.provider for path in paths}):
        provider = document.providers.get(ref)
        if provider is not None and _reference(ref, cluster) == str(ref):
            fields = {**provider.settings, **provider.secrets}
            found.setdefault(ref.type, {})[ref.id] = fields
    return found


def _clusters(federation: Federation | None, document: Document) -> dict[str, Any]:
    """The connections of the federation's members, as far as the file itself has them."""
    named = {member.cluster_id for member in federation.members} if federation else set()
    return {
        name: {
            "endpoint": one.endpoint,
            "auth_user": one.auth_user,
            "auth_password": one.auth_password or "",
            "ssl_verify": one.ssl_verify,
        }
        for name, one in document.clusters.items()
        if name in named
    }


def _federation(federation: Federation | None) -> dict[str, Any]:
    if federation is None:
        return {}
    return {
        "group_id": federation.group_id,
        "topology": federation.topology,
        "delegation": federation.delegation,
        "rescheduler_threshold": federation.rescheduler_threshold,
        "members": [_member(one) for one in federation.members],
    }


def _member(member: Replica) -> dict[str, Any]:
    return {
        "type": member.type,
        "cluster_id": member.cluster_id,
        "service_name": member.service_name,
        "url": member.url,
        "ssl_verify": member.ssl_verify,
        "priority": member.priority,
        "headers": dict(member.headers),
    }


def _volume(volume: Volume | None) -> dict[str, Any]:
    if volume is None:
        return {}
    found: dict[str, Any] = {"name": volume.name, "mount_path": volume.mount_path}
    if volume.size is not None:
        found |= {"size": format_memory(volume.size), "lifecycle_policy": volume.lifecycle_policy}
    return {key: value for key, value in found.items() if value}


def _kserve(kserve: Kserve | None) -> dict[str, Any]:
    if kserve is None:
        return {}
    found: dict[str, Any] = {
        "type": kserve.type,
        "storage_uri": kserve.storage_uri,
        "api_version": kserve.api_version,
        "min_scale": kserve.min_scale,
        "max_scale": kserve.max_scale,
        "cpu": format_cpu(kserve.cpu),
        "memory": format_memory(kserve.memory),
        "args": list(kserve.args),
        "env": dict(kserve.env),
        "enable_gpu": kserve.enable_gpu,
        "set_auth": kserve.set_auth,
    }
    if kserve.inference is not None:
        inference = kserve.inference
        found["inference"] = {
            "model_format": inference.model_format,
            "runtime": inference.runtime,
        }
    if kserve.llm_inference is not None:
        found["llm_inference"] = {"runtime_image": kserve.llm_inference.runtime_image}
    return found
