"""`isolation_level: USER`: a bucket for each allowed user beside each bucket that a service reads.

A user's files start jobs from his bucket, and what they write goes back to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from bridge.errors import UsageError
from bridge.fdl.model import ProviderRef, Service, StoragePath
from bridge.fdl.options import OscarOptions

__all__ = ["kept_apart", "user_buckets", "with_outputs_of"]

_MINIO: Final = ProviderRef("minio")
# Of a user's name in the name of a bucket, as OSCAR has it.
_SHOWN: Final = 10
_LONGEST: Final = 63


def user_buckets(service: Service) -> Mapping[str, str]:
    """The users' buckets, each with its user; empty where users are not kept apart.

    UsageError when two users would share one, or a name would be too long.
    """
    found: dict[str, str] = {}
    options = service.options
    if not isinstance(options, OscarOptions) or options.isolation_level != "USER":
        return found
    for bucket in sorted({path.bucket for path in service.inputs if path.provider == _MINIO}):
        for user in dict.fromkeys(options.allowed_users):
            name = _bucket(bucket, user)
            if found.setdefault(name, user) != user:
                raise UsageError(
                    f"the users {found[name]} and {user} would share the bucket {name}",
                    hint=f"the first {_SHOWN} characters of users' names must differ",
                )
            if len(name) > _LONGEST:
                raise UsageError(f"{name}, the bucket of {user}, has more than {_LONGEST} letters")
    return found


def kept_apart(service: Service, buckets: Mapping[str, str]) -> Service:
    """The service that also takes what comes to these buckets of its users, after its own inputs.

    The supervisor is told of the buckets: what it makes of a file in one goes back to it.
    """
    if not buckets:
        return service
    assert isinstance(service.options, OscarOptions)
    more = tuple(
        _moved(path, bucket)
        for bucket, user in buckets.items()
        for path in service.inputs
        if path.provider == _MINIO and bucket == _bucket(path.bucket, user)
    )
    options = replace(service.options, bucket_list=tuple(buckets))
    return replace(service, inputs=(*service.inputs, *more), options=options)


def with_outputs_of(service: Service, buckets: Mapping[str, str]) -> Service:
    """The service as if it named what it writes to its users' buckets: for who draws its graph."""
    more = (
        _moved(path, bucket)
        for bucket in buckets
        for path in service.outputs
        if path.provider == _MINIO and path.folder
    )
    return replace(service, outputs=(*service.outputs, *more))


def _moved(path: StoragePath, bucket: str) -> StoragePath:
    return replace(path, path=f"{bucket}/{path.folder}" if path.folder else bucket)


def _bucket(bucket: str, user: str) -> str:
    return f"{bucket}-{re.sub(r'[^a-z0-9]', '-', user[:_SHOWN].lower()).strip('-') or 'user'}"
