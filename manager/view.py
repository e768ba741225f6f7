"""A deployed service as OSCAR's clients read it: every key, in the order of OSCAR's own answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge.fdl.model import StoragePath, StorageProvider
from bridge.fdl.options import Expose, Federation, OscarOptions, Replica, Synchronous
from bridge.secret import HIDDEN, Secret
from manager.service import Deployed

__all__ = ["Reader", "member_view", "view"]

_RESOURCES: Final = (
    ("memory", "256Mi"),
    ("cpu", "0.2"),
    ("total_memory", ""),
    ("total_cpu", ""),
    ("ephemeral_storage_request", ""),
)
# What others than its owner may see of a cluster that a service names.
_OPEN: Final = frozenset({"endpoint", "auth_user", "ssl_verify"})
_NO_MOUNT: Final = {"storage_provider": "", "path": ""}


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads. `owner` sees the credentials that the service brings, others see `hidden`.

    `lone_port` gives a single port as a number, as OSCAR's first clients read it.
    """

    owner: bool = True
    lone_port: bool = False


def view(
    one: Deployed, reader: Reader, *, platform: Mapping[str, Any], namespace: str
) -> dict[str, Any]:
    """The service's JSON object. `platform` are the settings of the platform's object store."""
    said = one.source["service"]
    options = one.service.options
    assert isinstance(options, OscarOptions)
    found: dict[str, Any] = {"name": one.name, "cluster_id": one.source["cluster_id"]}
    found |= {key: _plain(said.get(key, default)) for key, default in _RESOURCES}
    found |= {
        "enable_gpu": bool(one.service.resources.gpu),
        "enable_sgx": options.enable_sgx,
        "image_prefetch": options.image_prefetch,
        "synchronous": _synchronous(options.synchronous),
        "federation": _federation(options.federation, reader),
        "log_level": one.service.log_level,
        "image": one.service.image,
        "alpine": options.alpine,
        "token": one.token.reveal(),
        "file_stage_in": one.service.file_stage_in,
        "input": _paths(one.service.inputs[: len(said.get("input", ()))], said.get("input")),
        "output": _paths(one.service.outputs, said.get("output")),
        "script": one.service.script_text or None,
        "image_pull_secrets": list(options.image_pull_secrets) or None,
        "expose": _expose(options.expose, reader),
        "environment": {
            "variables": dict(one.service.variables),
            "secrets": dict.fromkeys(one.service.secrets, ""),
        },
        "annotations": dict(options.annotations),
        "vo": ",".join(options.vo),
        "labels": _labels(one, options),
        "storage_providers": _providers(one, reader, platform),
        "clusters": _clusters(one, reader) or None,
        "owner": one.owner,
        "namespace": namespace or None,
        "interlink_node_name": options.interlink_node_name,
        "visibility": options.visibility,
        "allowed_users": list(options.allowed_users),
        "isolation_level": options.isolation_level,
        "bucket_list": list(options.bucket_list),
        "mount": _path(options.mount, said["mount"]) if options.mount else _NO_MOUNT,
        "volume": said.get("volume"),
        "volume_status": {"enabled": options.volume is not None},
        "kserve": said.get("kserve"),
        "timeout": said.get("timeout"),
        "placement": said.get("placement"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _plain(value: Any) -> str:
    """A quantity as text, as OSCAR has it; clients may have sent a number."""
    return value if isinstance(value, str) else f"{value}"


def _synchronous(options: Synchronous) -> dict[str, Any]:
    return {"min_scale": options.min_scale, "max_scale": options.max_scale}


def _paths(paths: Sequence[StoragePath], said: Any) -> list[dict[str, Any]]:
    return [_path(path, one) for path, one in zip(paths, said or (), strict=True)]


def _path(path: StoragePath, said: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"storage_provider": said["storage_provider"], "path": path.path}
    found |= {"suffix": list(path.suffix)} if path.suffix else {}
    found |= {"prefix": list(path.prefix)} if path.prefix else {}
    return found | ({"options": path.options} if path.options else {})


def _expose(options: Expose | None, reader: Reader) -> dict[str, Any]:
    one = options or Expose(min_scale=0, max_scale=0, cpu_threshold=0, health_path="")
    found = {
        "min_scale": one.min_scale,
        "max_scale": one.max_scale,
        "api_port": _ports(one.api_port, reader),
        "cpu_threshold": one.cpu_threshold,
        "rewrite_target": one.rewrite_target,
        "nodePort": _ports(one.node_port, reader),
        "default_command": one.default_command,
        "set_auth": one.set_auth,
        "auth_type": one.auth_type or None,
        "health_path": one.health_path,
        "probe_mode": one.probe_mode or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _ports(ports: tuple[int, ...], reader: Reader) -> Any:
    if not ports:
        return None
    return ports[0] if reader.lone_port and len(ports) == 1 else list(ports)


def member_view(member: Replica, reader: Reader) -> dict[str, Any]:
    """A member of a federation, every key of it."""
    return {
        "type": member.type,
        "cluster_id": member.cluster_id,
        "service_name": member.service_name,
        "url": member.url,
        "ssl_verify": member.ssl_verify,
        "priority": member.priority,
        "headers": _shown(member.headers, reader),
    }


def _federation(options: Federation | None, reader: Reader) -> dict[str, Any] | None:
    if options is None:
        return None
    members = [member_view(member, reader) for member in options.members]
    found = {
        "group_id": options.group_id,
        "topology": options.topology,
        "delegation": options.delegation or None,
        "rescheduler_threshold": options.rescheduler_threshold or None,
        "members": members or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _labels(one: Deployed, options: OscarOptions) -> dict[str, str]:
    """The user's own, and those that OSCAR's clients look for."""
    return {
        **options.labels,
        "oscar.grycap/user-service": "true",
        "oscar_service": one.name,
        "applicationId": one.name,
        "queue": f"root.oscar-queue.{one.name}",
        "owner_name": one.owner_name,
    }


def _providers(
    one: Deployed, reader: Reader, platform: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    own = {
        "endpoint": str(platform.get("endpoint", "")),
        "verify": bool(platform.get("verify", True)),
        "access_key": HIDDEN,
        "secret_key": HIDDEN,
        "region": str(platform.get("region", "")),
    }
    found: dict[str, dict[str, Any]] = {"minio": {"default": own}}
    for provider in one.providers.values():
        ref = provider.ref
        found.setdefault(ref.type, {})[ref.id] = _provider(provider, reader)
    return found


def _provider(provider: StorageProvider, reader: Reader) -> dict[str, Any]:
    return {**provider.settings, **_shown(provider.secrets, reader)}


def _shown(secrets: Mapping[str, Secret], reader: Reader) -> dict[str, str]:
    return {k: v.reveal() if reader.owner else HIDDEN for k, v in secrets.items()}


def _clusters(one: Deployed, reader: Reader) -> dict[str, Any]:
    return {
        name: {k: v if reader.owner or k.lower() in _OPEN else HIDDEN for k, v in said.items()}
        for name, said in one.source["clusters"].items()
    }
