"""A service as OSCAR's clients write and read it, and as the house knows it.

What a client sent is kept as `source`: its keys as the grammar spells them, secrets included. The
typed `Service` and what a client reads are both made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bridge.errors import FdlError, UsageError
from bridge.fdl import from_value, spelled_service
from bridge.fdl.model import (
    Document,
    ProviderRef,
    Service,
    StoragePath,
    StorageProvider,
    TargetSpec,
)
from bridge.fdl.options import OscarOptions
from bridge.secret import HIDDEN, Secret
from bridge.targets.render import own_provider
from manager._json import folded, text_of
from manager.isolation import kept_apart, user_buckets

__all__ = ["Deployed", "Source", "deployed", "merged", "read_source"]

Source = dict[str, Any]
"""`{"service": …, "providers": …, "clusters": …, "cluster_id": …}`, with secrets."""

_OWN: Final = ProviderRef("minio")
_LEVELS: Final = frozenset({"NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})
_TEXTS: Final = ("name", "image", "script", "log_level", "visibility", "isolation_level")
_BLOCKS: Final = ("mount", "volume", "kserve", "federation", "synchronous", "expose", "placement")
_SCRIPT: Final = "script.sh"
_KEPT: Final = ("", HIDDEN)


@dataclass(frozen=True, slots=True)
class Deployed:
    """A service that the manager runs. Times are in seconds since the epoch.

    `providers` are the connections that it brings, by a name that no other service has (their own
    `ref` is the name that the client gave); the platform's own object store is never among them.
    `token` calls this service and nothing else. `users` are the buckets that are one user's each,
    with their users.
    """

    service: Service
    token: Secret
    source: Source = field(repr=False)
    providers: Mapping[ProviderRef, StorageProvider] = field(default_factory=dict)
    owner: str = "cluster_admin"
    owner_name: str = "oscar"
    created: float = 0.0
    users: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name

    @property
    def options(self) -> OscarOptions:
        """What only OSCAR knows of a service."""
        assert isinstance(self.service.options, OscarOptions)
        return self.service.options

    @property
    def buckets(self) -> frozenset[str]:
        """The buckets of the platform's object store that its jobs use."""
        paths = (*self.service.inputs, *self.service.outputs)
        return frozenset(path.bucket for path in paths if path.provider == _OWN)

    @property
    def volume(self) -> str:
        """Name of its volume, which is its own unless it says another; "" for none."""
        volume = self.options.volume
        return (volume.name or self.name) if volume else ""


def read_source(body: Mapping[str, Any]) -> Source:
    """What a client's JSON object says of a service; UsageError where a type is wrong."""
    value = folded(body)
    service = {k: v for k, v in spelled_service(body).items() if not _is_blank(v)}
    for name in _TEXTS:
        text_of(service, name)
    for name in _BLOCKS:
        if name in service and not (block := _without_blanks(service, name)):
            del service[name]
        elif name in service:
            service[name] = block
    if "script" not in service and "kserve" not in service and not _own_command(service):
        raise UsageError("the key 'script' is missing: the text of the script")
    if (level := service.get("log_level", "INFO").upper()) not in _LEVELS:
        level = "INFO"
    return {
        "service": service | {"log_level": level},
        "providers": _connections(value, "storage_providers"),
        "clusters": _connections(value, "clusters"),
        "cluster_id": text_of(value, "cluster_id"),
    }


def _is_blank(value: Any) -> bool:
    """How Go's clients write that there is nothing."""
    return value is None or value in ("", [], {})


def _without_blanks(service: Mapping[str, Any], name: str) -> dict[str, Any]:
    block = service[name]
    if not isinstance(block, Mapping):
        raise UsageError(f"{name} must be an object")
    return {key: value for key, value in block.items() if not _is_blank(value)}


def _own_command(service: Mapping[str, Any]) -> bool:
    return bool(service.get("expose", {}).get("default_command"))


def _connections(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name, {})
    if not isinstance(found, Mapping):
        raise UsageError(f"{name} must be an object")
    if name == "clusters":
        return {key: one for key, one in found.items() if isinstance(one, Mapping)}
    kinds = {kind.lower(): dict(some) for kind, some in found.items() if isinstance(some, Mapping)}
    # The platform's own object store: nobody else says where it is.
    kinds.get(_OWN.type, {}).pop(_OWN.id, None)
    return {kind: some for kind, some in kinds.items() if some}


def merged(new: Source, old: Source) -> Source:
    """The new source with the old one's secrets where the new one leaves them out or blank.

    Clients read a service, change it and send it back: secrets come blank or as `hidden` then.
    """
    made = {**new, "service": dict(new["service"])}
    secrets = _secrets(old) | {k: v for k, v in _secrets(new).items() if v not in _KEPT}
    environment = made["service"].get("environment", {})
    if secrets and isinstance(environment, Mapping):
        made["service"]["environment"] = {**environment, "secrets": secrets}
    made["providers"] = {
        kind: {n: _filled(one, old["providers"].get(kind, {}).get(n)) for n, one in some.items()}
        for kind, some in new["providers"].items()
    }
    made["clusters"] = {
        name: _filled(one, old["clusters"].get(name)) for name, one in new["clusters"].items()
    }
    return made


def _secrets(source: Source) -> dict[str, Any]:
    environment = source["service"].get("environment")
    found = environment.get("secrets") if isinstance(environment, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def _filled(new: Any, old: Any) -> Any:
    if not isinstance(new, Mapping) or not isinstance(old, Mapping):
        return new
    return {k: old.get(k, v) if v in _KEPT or v is None else v for k, v in new.items()}


def deployed(
    source: Source,
    targets: Iterable[TargetSpec],
    *,
    token: Secret,
    owner: str,
    owner_name: str,
    created: float,
    shared: Callable[[StorageProvider], bool],
) -> Deployed:
    """The service that a source means; UsageError with every problem of it.

    Its placement may name the `targets`; it is on the first of them where it names none. A storage
    that is `shared` keeps its name in paths, as events and other services have it; what else the
    service brings gets a name of its own there.
    """
    specs = list(targets)
    document = _document(source, specs)
    service = document.services[0]
    if not service.placement.targets:
        first = replace(service.placement, targets=(specs[0].name,))
        service = replace(service, placement=first)
    # What one service calls s3.default must not be what another calls so.
    own = {ref: own_provider(ref, service.name) for ref in document.providers}
    apart = {ref: own[ref] for ref, one in document.providers.items() if not shared(one)}
    service = replace(
        service, inputs=_renamed(service.inputs, apart), outputs=_renamed(service.outputs, apart)
    )
    providers = {own[ref]: provider for ref, provider in document.providers.items()}
    users = user_buckets(service)
    service = kept_apart(service, users)
    return Deployed(service, token, source, providers, owner, owner_name, created, users)


def _renamed(
    paths: tuple[StoragePath, ...], names: Mapping[ProviderRef, ProviderRef]
) -> tuple[StoragePath, ...]:
    return tuple(replace(path, provider=names.get(path.provider, path.provider)) for path in paths)


def _document(source: Source, targets: Sequence[TargetSpec]) -> Document:
    # What every file calls Lambda and Batch is what we have of them.
    kinds = {f"aws-{spec.kind}": spec.name for spec in targets if spec.kind in ("lambda", "batch")}
    names = kinds | {spec.name: spec.name for spec in targets}
    service = dict(source["service"])
    if "placement" in service:
        service["placement"] = _here(service["placement"], names)
    script = service.get("script", "")
    if script:
        service["script"] = _SCRIPT
    value = {
        "functions": {"bridge": [service]},
        "storage_providers": source["providers"],
        "clusters": source["clusters"],
        "targets": {spec.name: {"kind": spec.kind} for spec in targets},
    }
    try:
        return from_value(value, read_script=lambda _: str(script))
    except FdlError as error:
        raise UsageError(_sentences(error)) from error


def _here(placement: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The placement without targets that are not ours: a file names those of its own world.

    `names` are ours, by what they may be called."""
    found = dict(placement)
    for key in ("targets", "fallback"):
        said = found.get(key, [])
        if isinstance(said, str):
            said = [said]
        if isinstance(said, list):
            found[key] = [
                names[one] if isinstance(one, str) else one
                for one in said
                if not isinstance(one, str) or one in names
            ]
    prefer = found.get("prefer")
    if isinstance(prefer, Mapping):
        target = prefer.get("target")
        if isinstance(target, str):
            found["prefer"] = {key: value for key, value in prefer.items() if key != "target"}
            if target in names:
                found["prefer"]["target"] = names[target]
    return found


def _sentences(error: FdlError) -> str:
    """The problems as a client should read them: by the keys of its own object."""
    return "; ".join(
        ": ".join(filter(None, (p.path.removeprefix("functions.bridge[0]").lstrip("."), p.message)))
        + (f" ({p.hint})" if p.hint else "")
        for p in error.problems
    )
