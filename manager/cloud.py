"""Inputs whose events come to a manager: its own object store, and S3 where a queue is pulled."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from bridge.errors import UsageError
from bridge.fdl.model import ProviderRef, StoragePath, StorageProvider
from bridge.targets.render import own_provider
from manager.service import Deployed

__all__ = ["MINIO", "S3", "check_input", "has_keys", "is_cloud"]

MINIO: Final = ProviderRef("minio")
S3: Final = ProviderRef("s3")


def is_cloud(provider: StorageProvider, endpoint: str | None) -> bool:
    """Whether a service's provider is the S3 at `endpoint` ("" for AWS's own, None for none)."""
    said = str(provider.settings.get("endpoint") or "").rstrip("/")
    return provider.ref == S3 and said == endpoint


def has_keys(one: Deployed) -> bool:
    """Whether the service brings its own keys to that S3."""
    own = one.providers.get(own_provider(S3, one.name))
    return bool(own and own.secrets)


def check_input(
    path: StoragePath,
    one: Deployed,
    *,
    pulled: bool,
    endpoint: str | None,
    access: Container[ProviderRef],
    roles: bool,
) -> None:
    """UsageError for an input that is not heard, or that the service's jobs could not read.

    `pulled` says whether events of S3 are pulled, `access` whose providers all services may use,
    `roles` whether the jobs need no keys for S3.
    Other kinds of storage send messages by themselves, or are listed.
    """
    ref = path.provider
    heard = ref == MINIO or (ref == S3 and pulled)
    if ref.type in ("minio", "s3") and not heard:
        raise UsageError(
            f"no events come from the storage provider of {path.path}",
            hint=_way_out(pulled=pulled, endpoint=endpoint) if ref.type == "s3" else "",
        )
    if ref == S3 and S3 not in access and not has_keys(one) and not roles:
        raise UsageError(
            f"there are no keys for {S3}, the storage provider of {path.path}",
            hint=f"give access_key and secret_key under storage_providers.{S3}",
        )


def _way_out(*, pulled: bool, endpoint: str | None) -> str:
    if not pulled:
        return "the manager pulls those of S3 when it has AWS_REGION and credentials of AWS"
    return f"of S3, they come from {S3} at {endpoint or 'AWS'} only"
