"""The buckets of services: whose they are, who may see them, what jobs reach them with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from bridge.errors import BridgeError
from bridge.fdl.model import ProviderRef
from bridge.targets.render import ProviderAccess, own_provider
from manager.access import ConflictError, owns_bucket
from manager.accounts import Accounts
from manager.auth import Caller
from manager.buckets import Buckets
from manager.cloud import MINIO
from manager.quotas import Quotas
from manager.service import Deployed
from manager.store import BucketRow, ServiceStore

__all__ = ["Tenants"]

_LOG: Final = logging.getLogger("manager")


class Tenants:
    """Keeps the buckets of services, their owners and the keys of their jobs together.

    `access` is what targets read, see `manager.parts.Parts`. Errors are those of `Buckets` and of
    `Accounts`.
    """

    def __init__(
        self,
        buckets: Buckets,
        state: ServiceStore,
        accounts: Accounts,
        access: dict[ProviderRef, ProviderAccess],
        quotas: Quotas,
    ) -> None:
        self._quotas = quotas
        self._buckets = buckets
        self._state = state
        self._accounts = accounts
        self._access = access
        # Buckets that a changed service has left, while jobs may still need them.
        self._left: dict[str, frozenset[str]] = {}

    def check(self, one: Deployed, caller: Caller) -> None:
        """ConflictError for a bucket that is somebody else's."""
        for bucket in sorted(one.buckets):
            row = self._state.bucket(bucket)
            if bucket in one.users and row is not None and not _is_for(row, one, bucket):
                raise ConflictError(f"the bucket {bucket} already exists and is another user's")
            if owns_bucket(caller, row):
                continue
            # One of which nothing is known is the administrator's: to name it must not make it his.
            if row is not None or self._buckets.has_bucket(bucket):
                raise ConflictError(f"the bucket {bucket} already exists and is somebody else's")

    def take(self, one: Deployed, caller: Caller) -> None:
        """Make what is nobody's the service's owner's; `check` again, as another may be quicker."""
        for bucket in sorted(one.buckets):
            if self._state.bucket(bucket) is None and not self._buckets.has_bucket(bucket):
                self._quotas.claim_bucket(_wanted(bucket, one))
        self.check(one, caller)

    def open(self, one: Deployed) -> None:
        """Make the service's buckets, and its jobs able to use them."""
        for path in (*one.service.inputs, *one.service.outputs):
            if path.provider != MINIO:
                continue
            self._buckets.ensure_bucket(path.bucket)
            self._share(path.bucket, one)
            if path.folder:
                self._buckets.ensure_folder(path.bucket, path.folder)
        reached = one.buckets | self._left.get(one.name, frozenset())
        ref = own_provider(MINIO, one.name)
        if reached:
            self._access[ref] = self._accounts.of_service(one.name, one.owner, reached)
        elif self._access.pop(ref, None):
            self._accounts.forget(one.name)

    def leave(self, old: Deployed, new: Deployed) -> None:
        """Let jobs of a service that will be changed go on with the buckets that it will leave."""
        left = old.buckets - new.buckets
        if left:
            self._left[old.name] = self._left.get(old.name, frozenset()) | left

    def close(self, one: Deployed) -> None:
        """Take the keys of the service's jobs away; a store may not answer."""
        self._left.pop(one.name, None)
        self._access.pop(own_provider(MINIO, one.name), None)
        try:
            self._accounts.forget(one.name)
        except BridgeError as error:
            _LOG.warning("the keys of service %s are not taken away yet: %s", one.name, error)

    def release(self, one: Deployed) -> None:
        """Leave the buckets that were made for the service to themselves."""
        for row in self._made_for(one.name):
            self._put(replace(row, service=""))

    def abandon(self, one: Deployed) -> None:
        """Leave the buckets that a changed service does not use any more to its owner alone."""
        for row in self._made_for(one.name):
            if row.name not in one.buckets:
                self._put(replace(row, visibility="private"))

    def _made_for(self, name: str) -> list[BucketRow]:
        return [row for row in self._state.buckets().values() if row.service == name]

    def _put(self, row: BucketRow) -> None:
        try:
            self._accounts.put_bucket(row)
        except BridgeError as error:
            _LOG.warning("users' keys for bucket %s stay as they are: %s", row.name, error)

    def settle(self, services: Mapping[str, Deployed], busy: Callable[[str], bool]) -> None:
        """Make what the object store lets everybody do what it should be.

        Services that are not `busy` lose what they reach of buckets that they have left.
        """
        self._left = {name: left for name, left in self._left.items() if busy(name)}
        wanted = {
            name: one.buckets | self._left.get(name, frozenset()) for name, one in services.items()
        }
        self._accounts.settle(wanted)

    def _share(self, bucket: str, one: Deployed) -> None:
        """Let a bucket that was made for the service be seen by those who see the service."""
        row = self._state.bucket(bucket)
        made = row is None or (row.owner, row.service) == (one.owner, one.name)
        wanted = _wanted(bucket, one)
        if made and wanted != row:
            self._accounts.put_bucket(wanted)


def _wanted(bucket: str, one: Deployed) -> BucketRow:
    if user := one.users.get(bucket):
        return BucketRow(bucket, one.owner, "restricted", (user,), one.name)
    visibility, users = one.options.visibility, tuple(one.options.allowed_users)
    return BucketRow(bucket, one.owner, visibility, users, one.name)


def _is_for(row: BucketRow, one: Deployed, bucket: str) -> bool:
    """Whether what is in a user's bucket is of the same user and of the same owner's services."""
    return row.owner == one.owner and row.allowed_users == (one.users[bucket],)
