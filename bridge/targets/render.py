"""A service as the JSON that the supervisor reads, the same for every target (the job contract).

Keys are upstream's. Credentials are never in it: they travel apart, as files or as a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from bridge.errors import PermanentError
from bridge.fdl import AwsOptions, OscarOptions
from bridge.fdl.model import ProviderRef, Service, StoragePath
from bridge.secret import Secret

__all__ = ["ProviderAccess", "own_provider", "service_document", "used_access"]


@dataclass(frozen=True, slots=True)
class ProviderAccess:
    """How the jobs of one place reach one storage provider; endpoints may differ by place.

    `settings` and `secrets` have upstream's field names (`endpoint`, `access_key`, …).
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)


def own_provider(ref: ProviderRef, service: str) -> ProviderRef:
    """The name in `access` of what one service calls `ref`; no other service can have it."""
    return ProviderRef(ref.type, f"{ref.id}.{service}")


def used_access(
    service: Service, access: Mapping[ProviderRef, ProviderAccess]
) -> dict[ProviderRef, ProviderAccess]:
    """The part of `access` that the service's inputs and outputs name, sorted.

    What is the service's own goes first (`own_provider`). A provider that is not in `access` is
    left to the place's ambient credentials.
    """
    named = {path.provider for path in (*service.inputs, *service.outputs)}
    names = {ref: (own_provider(ref, service.name), ref) for ref in sorted(named)}
    found = {ref: next((n for n in some if n in access), None) for ref, some in names.items()}
    return {ref: access[name] for ref, name in found.items() if name is not None}


def service_document(
    service: Service, access: Mapping[ProviderRef, ProviderAccess]
) -> dict[str, Any]:
    """The service's JSON object, with the settings of the providers that it uses.

    The same service and settings give the same object. PermanentError when a setting is a secret
    or has a type that JSON does not know.
    """
    providers: dict[str, dict[str, Any]] = {}
    for ref, one in used_access(service, access).items():
        settings = {key: _plain(f"{ref}.{key}", value) for key, value in one.settings.items()}
        providers.setdefault(ref.type, {})[ref.id] = settings
    document = {
        "name": service.name,
        "input": [_path(path) for path in service.inputs],
        "output": [_path(path) for path in service.outputs],
        "storage_providers": providers,
        "file_stage_in": service.file_stage_in,
        "log_level": service.log_level,
    }
    if isinstance(service.options, OscarOptions) and service.options.bucket_list:
        document["isolation_level"] = service.options.isolation_level
        document["bucket_list"] = list(service.options.bucket_list)
    if isinstance(service.options, AwsOptions) and service.execution_mode != "batch":
        document["timeout_threshold"] = service.options.function.container.timeout_threshold
    return document


def _path(path: StoragePath) -> dict[str, Any]:
    document: dict[str, Any] = {"storage_provider": str(path.provider), "path": path.path}
    if path.prefix:
        document["prefix"] = list(path.prefix)
    if path.suffix:
        document["suffix"] = list(path.suffix)
    return document


def _plain(name: str, value: object) -> Any:
    """The value as JSON knows it."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(f"{name}.{key}", item) for key, item in value.items()}
    if isinstance(value, list | tuple | frozenset | set):
        items = sorted(value, key=str) if isinstance(value, frozenset | set) else value
        return [_plain(name, item) for item in items]
    kind = "a secret" if isinstance(value, Secret) else f"of type {type(value).__name__}"
    raise PermanentError(f"storage provider setting {name} is {kind}, which is not a setting")
