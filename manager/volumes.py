"""Volumes by REST: who they are of, what has them mounted, and what a new service may mount."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from bridge.errors import UsageError
from bridge.fdl.quantities import QuantityError, memory
from bridge.targets import Target
from bridge.targets.kubernetes import HeldVolume, Volumes
from bridge.targets.kubernetes.connection import AlreadyThere
from manager._json import folded, text_of
from manager.access import ConflictError
from manager.auth import ADMIN, Caller, Refused
from manager.quotas import Quotas
from manager.service import Deployed

__all__ = [
    "VolumeWish",
    "Volumery",
    "check_volume",
    "end_volume",
    "give_volume",
    "held",
    "read_volume",
]

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@runtime_checkable
class _HoldsVolumes(Protocol):
    """A target whose services may have volumes."""

    volumes: Volumes


def held(targets: Iterable[Target]) -> Volumes | None:
    """Where volumes are; None when no target has any."""
    return next((one.volumes for one in targets if isinstance(one, _HoldsVolumes)), None)


@dataclass(frozen=True, slots=True)
class VolumeWish:
    """A volume that a client wants. `size` in bytes."""

    name: str
    size: int


def read_volume(body: Mapping[str, Any]) -> VolumeWish:
    """A client's JSON object; UsageError for what is wrong with it."""
    value = folded(body)
    name = text_of(value, "name").strip()
    if _NAME.fullmatch(name) is None:
        raise UsageError("name must be up to 63 lower-case letters, digits and dashes")
    try:
        return VolumeWish(name, memory(text_of(value, "size").strip()))
    except QuantityError as error:
        raise UsageError(f"size: {error}", hint=error.hint) from error


def check_volume(
    one: Deployed, services: Collection[Deployed], targets: Iterable[Target], quotas: Quotas
) -> None:
    """Whether a new service may mount what it names, or have what is to be made with it.

    All services are in one namespace: nobody's volume must be mounted by naming it.
    """
    if not (name := one.volume):
        return
    others = [other for other in services if other.volume == name]
    if any(other.owner != one.owner for other in others):
        raise _taken(name)
    volumes = held(targets)
    if others or volumes is None:
        return
    found = volumes.find(name)
    wish = one.options.volume
    if found is None and (wish is None or wish.size is None):
        hint = "give it a size to make it, or make it by POST /system/volumes"
        raise UsageError(f"there is no volume {name!r}", hint=hint)
    if found is not None and one.owner not in (found.owner, ADMIN.uid):
        raise _taken(name)
    if found is None and wish is not None and wish.size is not None:
        own = Volumery(volumes, services, "").sizes(one.owner)
        quotas.check_volume(one.owner, own, wish.size)


def _taken(name: str) -> ConflictError:
    return ConflictError(f"the volume {name} already exists and is somebody else's")


class Volumery:
    """The volumes of a manager, seen by callers. Errors: Refused, and those of `Volumes`.

    A volume that nobody is known to own is that of the services which mount it, else the
    administrator's.
    """

    def __init__(self, volumes: Volumes, services: Iterable[Deployed], namespace: str) -> None:
        self._volumes = volumes
        self._namespace = namespace
        self._mounted: dict[str, list[Deployed]] = {}
        for one in services:
            if one.volume:
                self._mounted.setdefault(one.volume, []).append(one)

    def seen(self, caller: Caller) -> list[dict[str, Any]]:
        """All volumes of the caller; the administrator sees everyone's."""
        return [self._view(one) for one in self._volumes.all() if self._is_his(caller, one)]

    def one(self, caller: Caller, name: str) -> dict[str, Any]:
        """One volume."""
        return self._view(self._find(caller, name))

    def sizes(self, uid: str) -> list[int]:
        """The bytes of a user's volumes."""
        return [memory(one.size) for one in self._volumes.all() if self._owner(one) == uid]

    def create(self, caller: Caller, wish: VolumeWish, quotas: Quotas) -> dict[str, Any]:
        """Make a volume that no service has yet; 409 when there is one of that name."""
        try:
            quotas.check_volume(caller.uid, self.sizes(caller.uid), wish.size)
            return self._view(self._volumes.create(wish.name, wish.size, caller.uid))
        except AlreadyThere as error:
            raise ConflictError(f"the volume {wish.name} already exists") from error

    def delete(self, caller: Caller, name: str) -> None:
        """Delete a volume with what is in it; 400 while a service mounts it."""
        self._find(caller, name)
        if by := ", ".join(one.name for one in self._mounted.get(name, ())):
            raise UsageError(f"the volume {name} is attached to {by}", hint="delete that first")
        self._volumes.delete(name)

    def _find(self, caller: Caller, name: str) -> HeldVolume:
        found = self._volumes.find(name) if _NAME.fullmatch(name) else None
        if found is None or not self._is_his(caller, found):
            raise Refused(404, f"there is no volume {name}")
        return found

    def _is_his(self, caller: Caller, one: HeldVolume) -> bool:
        return caller.admin or self._owner(one) == caller.uid

    def _owner(self, one: HeldVolume) -> str:
        return one.owner or next((s.owner for s in self._mounted.get(one.name, ())), "")

    def _view(self, one: HeldVolume) -> dict[str, Any]:
        by = self._mounted.get(one.name, [])
        phase = "in_use" if by and one.phase in ("pending", "ready") else one.phase
        found: dict[str, Any] = {
            "name": one.name,
            "namespace": self._namespace,
            "pvc_name": one.name,
            "size": one.size,
            "owner_user": self._owner(one),
            "created_by_service": one.service,
            "creation_mode": "service" if one.service else "api",
            "lifecycle_policy": "delete" if any(_goes_with(s, one) for s in by) else "retain",
            "attachments": [_attachment(service) for service in by],
            "status": {"phase": phase, **({"attachment_count": len(by)} if by else {})},
        }
        return {key: value for key, value in found.items() if value}


def _goes_with(service: Deployed, volume: HeldVolume) -> bool:
    """Whether the volume was made with this service, and is to end with it."""
    wish = service.options.volume
    return (
        wish is not None
        and wish.size is not None
        and wish.lifecycle_policy == "delete"
        and volume.service == service.name
        and volume.owner in ("", service.owner)
    )


def _attachment(one: Deployed) -> dict[str, str]:
    wish = one.options.volume
    return {"service_name": one.name, "mount_path": wish.mount_path if wish else ""}


def give_volume(one: Deployed, targets: Iterable[Target]) -> None:
    """Note whose the volume is that was made with a service: it may outlive the service."""
    volumes = held(targets)
    if not one.volume or volumes is None:
        return
    found = volumes.find(one.volume)
    if found is not None and not found.owner:
        volumes.give(one.volume, one.owner)


def end_volume(one: Deployed, others: Iterable[Deployed], targets: Iterable[Target]) -> None:
    """Delete the volume that was made with a service which is deleted, unless it says `retain` or
    another service mounts it: then it stays its owner's."""
    volumes = held(targets)
    if not one.volume or volumes is None or any(other.volume == one.volume for other in others):
        return
    found = volumes.find(one.volume)
    if found is not None and _goes_with(one, found):
        volumes.delete(one.volume)
