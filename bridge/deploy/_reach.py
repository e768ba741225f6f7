"""How AWS reaches the MinIO of a cluster: what the file leaves out, the cluster itself says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from bridge.fdl.model import Document, ProviderRef, StorageProvider
from bridge.targets.oscar import OscarClient

__all__ = ["reaching", "unreached"]

_MINIO: Final = ProviderRef("minio")


def reaching(
    document: Document, on_aws: Collection[str], clients: Mapping[str, OscarClient]
) -> Document:
    """The document, with the connection of the file's one cluster to its MinIO.

    It is as it was when the file says where `minio.default` is, when no service on AWS uses it, and
    when the file has no cluster or several: whose MinIO it is must then be written. Asks the
    cluster for it; errors as `OscarClient.storage`'s.
    """
    if len(clients) != 1 or not unreached(document, on_aws):
        return document
    (client,) = clients.values()
    found = StorageProvider(_MINIO, *client.storage())
    return replace(document, providers={**document.providers, _MINIO: found})


def unreached(document: Document, on_aws: Collection[str]) -> bool:
    """Whether a service on AWS uses `minio.default`, and the file does not say where that is."""
    known = document.providers.get(_MINIO)
    said = known is not None and known.settings.get("endpoint")
    return not said and any(_uses(document, name) for name in on_aws)


def _uses(document: Document, name: str) -> bool:
    service = document.service(name)
    return any(path.provider == _MINIO for path in (*service.inputs, *service.outputs))
