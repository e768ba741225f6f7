"""From a provider's name, settings and secrets to its store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from bridge.errors import PermanentError
from bridge.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.storage.protocol import Store

SUPPORTED = ("folder", "minio", "onedata", "s3", "webdav")
_CACHE_SIZE = 32
_cache: dict[tuple[object, ...], Store] = {}


def open_store(
    provider: str, settings: Mapping[str, Any], secrets: Mapping[str, str | Secret]
) -> Store:
    """The store of `<type>.<id>` ("minio" alone is "minio.default"); nothing is sent yet.

    `settings` and `secrets` have FDL's names: `endpoint`, `region`, `verify` and `access_key`,
    `secret_key`, `session_token` for `s3` and `minio`; `hostname`, `login`, `password` for
    `webdav`; `oneprovider_host`, `space`, `token` for `onedata`; `root` for `folder`. An `s3`
    provider without secrets uses the credentials, endpoint and region that AWS's variables or role
    give.
    The same arguments in the same environment give the same store, with its open connections.
    Raises PermanentError for a type that is not supported and for settings without a meaning,
    AccessError when credentials are missing.
    """
    kind, _, name = provider.partition(".")
    full = f"{kind}.{name or 'default'}"
    key = (full, _frozen(settings), _frozen(secrets), _ambient() if kind == "s3" else ())
    store = _cache.get(key)
    if store is None:
        store = _make(kind, full, settings, secrets)
        if len(_cache) >= _CACHE_SIZE:
            _cache.clear()
        _cache[key] = store
    return store


def _make(
    kind: str, provider: str, settings: Mapping[str, Any], secrets: Mapping[str, str | Secret]
) -> Store:
    # The clients are imported here: a process that opens no store of a kind does not pay for it.
    if kind in {"s3", "minio"}:
        from bridge.storage._s3 import S3Store  # noqa: PLC0415
        from bridge.storage._settings import (  # noqa: PLC0415
            explicit_credentials,
            s3_settings,
        )

        where = s3_settings(provider, settings)
        return S3Store(where, explicit_credentials(provider, secrets))
    if kind == "webdav":
        from bridge.storage._webdav import WebdavStore  # noqa: PLC0415

        return WebdavStore(provider, settings, secrets)
    if kind == "onedata":
        from bridge.storage._onedata import OnedataStore  # noqa: PLC0415

        return OnedataStore(provider, settings, secrets)
    if kind == "folder":
        return _folder(provider, settings)
    raise PermanentError(
        f"the storage provider {provider} is of an unsupported type",
        hint=f"supported types: {', '.join(SUPPORTED)}",
    )


def _folder(provider: str, settings: Mapping[str, Any]) -> Store:
    from bridge.storage._folder import FolderStore  # noqa: PLC0415

    root = settings.get("root")
    if not root:
        raise PermanentError(f"storage provider {provider} has no root folder")
    return FolderStore(str(root), provider)


def _frozen(values: Mapping[str, Any]) -> tuple[tuple[str, object], ...]:
    """Hashable and without a secret in its text."""
    pairs = ((k, v if isinstance(v, Secret) else Secret(repr(v))) for k, v in values.items())
    return tuple(sorted(pairs, key=lambda pair: pair[0]))


def _ambient() -> tuple[tuple[str, object], ...]:
    return _frozen({k: v for k, v in os.environ.items() if k.startswith("AWS_")})
