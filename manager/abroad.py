"""How jobs on AWS reach storage providers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from bridge.fdl.model import ProviderRef
from bridge.targets.render import ProviderAccess
from manager.cloud import MINIO, S3

__all__ = ["Abroad"]


class Abroad(Mapping[ProviderRef, ProviderAccess]):
    """As `access` says, at any moment, with two exceptions: AWS's own S3 is reached by the role of
    jobs, and an object store that is at `inside` for us is at `outside` for them ("" for the same).
    """

    def __init__(
        self,
        access: Mapping[ProviderRef, ProviderAccess],
        *,
        inside: str = "",
        outside: str = "",
    ) -> None:
        self._access = access
        self._inside = inside
        self._outside = outside

    def __getitem__(self, ref: ProviderRef) -> ProviderAccess:
        if ref == S3:
            raise KeyError(ref)
        one = self._access[ref]
        here = ref.type == MINIO.type and one.settings.get("endpoint") == self._inside
        if not here or not self._outside:
            return one
        return replace(one, settings={**one.settings, "endpoint": self._outside})

    def __iter__(self) -> Iterator[ProviderRef]:
        return (ref for ref in list(self._access) if ref != S3)

    def __len__(self) -> int:
        return len(list(iter(self)))
