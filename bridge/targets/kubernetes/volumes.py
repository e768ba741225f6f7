"""Volumes by themselves: claims that services mount by name, made and deleted without a service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from bridge.fdl.quantities import format_memory
from bridge.targets.kubernetes.connection import MANAGED_BY, MANAGER, SERVICE, Connection, is_ours
from bridge.targets.kubernetes.resources import VOLUME_CLAIMS

__all__ = ["OWNER", "HeldVolume", "Volumes", "claim_spec"]

#: Annotation: who a volume is of.
OWNER: Final = "oscar-bridge/owner"
Phase = Literal["pending", "ready", "error", "deleting"]
_PHASES: Final[dict[str, Phase]] = {"Bound": "ready", "Lost": "error"}


@dataclass(frozen=True, slots=True)
class HeldVolume:
    """A volume that is there. `size` as the cluster writes it; `owner` is "" when nobody said.

    `service` is the one that it was made with, "" for none. A `pending` one may wait for its first
    pod.
    """

    name: str
    size: str
    owner: str
    service: str
    phase: Phase


class Volumes:
    """The volume claims in the namespace of a connection that are ours. Errors as its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> list[HeldVolume]:
        """All volumes, by name."""
        found = self._connection.find_all(VOLUME_CLAIMS, labels=f"{MANAGED_BY}={MANAGER}")
        return sorted(map(_volume, found), key=lambda one: one.name)

    def find(self, name: str) -> HeldVolume | None:
        """One volume, None when there is none, or none of ours."""
        found = self._connection.find(VOLUME_CLAIMS, name)
        return _volume(found) if found is not None and is_ours(found) else None

    def create(self, name: str, size: int, owner: str) -> HeldVolume:
        """Make a volume of `size` bytes; AlreadyThere when there is one, whoever's it is."""
        facts = {
            "name": name,
            "namespace": self._connection.namespace,
            "labels": {MANAGED_BY: MANAGER},
            "annotations": {OWNER: owner},
        }
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": facts}
        return _volume(self._connection.create({**claim, "spec": claim_spec(size)}))

    def give(self, name: str, owner: str) -> None:
        """Say who a volume is of; NotFoundError when it is not there."""
        facts = {"metadata": {"annotations": {OWNER: owner}}}
        self._connection.patch(VOLUME_CLAIMS, name, facts)

    def delete(self, name: str) -> None:
        """Delete a volume with what is in it; the cluster waits until no pod has it."""
        self._connection.delete(VOLUME_CLAIMS, name)


def claim_spec(size: int) -> dict[str, Any]:
    """The `spec` of a claim of so many bytes."""
    storage = {"requests": {"storage": format_memory(size)}}
    return {"accessModes": ["ReadWriteOnce"], "resources": storage}


def _volume(claim: Mapping[str, Any]) -> HeldVolume:
    facts = claim["metadata"]
    phase = _PHASES.get((claim.get("status") or {}).get("phase", ""), "pending")
    return HeldVolume(
        name=facts["name"],
        size=claim["spec"]["resources"]["requests"]["storage"],
        owner=(facts.get("annotations") or {}).get(OWNER, ""),
        service=(facts.get("labels") or {}).get(SERVICE, ""),
        phase="deleting" if facts.get("deletionTimestamp") else phase,
    )
