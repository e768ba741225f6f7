"""The one webhook of a MinIO server that is ours: set where it is not configured already."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException
from minio.minioadmin import MinioAdmin
from urllib3.exceptions import HTTPError

from bridge.errors import StorageUnavailable
from bridge.secret import Secret
from bridge.storage.minio import ServerSettings

__all__ = ["Admin", "admin_of", "ensure_webhook"]

_PATIENCE: Final = 60.0
_PAUSE: Final = 0.5


class Admin(Protocol):
    """What is needed of MinIO's admin API (`minio.minioadmin.MinioAdmin`)."""

    def info(self) -> str:
        """What the server says of itself, as JSON."""
        ...

    def config_set(self, key: str, config: dict[str, str]) -> str:
        """Change a part of its configuration."""
        ...

    def service_restart(self) -> str:
        """Let it begin anew with the configuration that it has."""
        ...


def admin_of(settings: ServerSettings) -> MinioAdmin:
    """The admin API of a server."""
    scheme, _, host = settings.endpoint.rpartition("://")
    keys = StaticProvider(settings.access_key.reveal(), settings.secret_key.reveal())
    return MinioAdmin(
        endpoint=host.rstrip("/"),
        credentials=keys,
        region=settings.region,
        secure=scheme == "https",
        cert_check=settings.verify,
    )


def ensure_webhook(
    admin: Admin,
    name: str,
    url: str,
    token: Secret,
    *,
    changed: bool = False,
    pause: Callable[[float], object] = time.sleep,
) -> bool:
    """Let the server know our webhook; True when it had to be set.

    It does not say with which address and token it knows it: `changed` says that they are not those
    that it was told. A server that takes them only when it starts is restarted, once.
    StorageUnavailable when it does not let us, or does not know the webhook then.
    """
    with _translated():
        known = _knows(admin, name)
        if known and not changed:
            return False
        admin.config_set(
            f"notify_webhook:{name}",
            {"endpoint": url, "auth_token": token.reveal(), "enable": "on"},
        )
        # One that it knew already it goes on with until it starts anew.
        if not known and _knows(admin, name):
            return True
        admin.service_restart()
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        pause(_PAUSE)
        try:
            with _translated():
                if _knows(admin, name):
                    return True
        except StorageUnavailable:
            continue
    raise StorageUnavailable(f"the object store does not know its webhook {name} after a restart")


def _knows(admin: Admin, name: str) -> bool:
    known = json.loads(admin.info()).get("sqsARN") or []
    return any(str(arn).endswith(f":{name}:webhook") for arn in known)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (HTTPError, MinioAdminException, ValueError) as error:
        raise StorageUnavailable(
            f"the object store's webhook cannot be set: {type(error).__name__}",
            hint="configure MINIO_NOTIFY_WEBHOOK_*_INGEST on the server, see docs/manager.md",
        ) from error
