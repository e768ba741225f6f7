"""Keys of the object store that reach what their holder may use, and nothing else.

The jobs of a service have keys of that service. A user has keys that may what the API lets him see.
They are kept in the manager's state, and what they may is changed on the server: a change of
buckets needs no new keys, so jobs that wait go on with those that they have.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Final

from bridge.errors import AccessError, UsageError
from bridge.secret import Secret
from bridge.targets.render import ProviderAccess
from manager.access import may_see_bucket
from manager.auth import ADMIN, Caller
from manager.minio_accounts import AccountServer, Policy, policy_for
from manager.store import BucketRow, ServiceStore

__all__ = ["Accounts"]

_LOG: Final = logging.getLogger("manager")
_SERVICE: Final = "account of service "
_USER: Final = "account of user "
_Provider = tuple[Mapping[str, str | bool], Mapping[str, Secret]]


class Accounts:
    """The accounts that a manager makes on its object store; thread-safe.

    `provider` is how the manager itself reaches the store. Without a server, or where the server
    makes no accounts, the jobs of the administrator's services get the manager's keys, and nobody
    else gets any. Errors are those of `AccountServer`.
    """

    def __init__(
        self,
        server: AccountServer | None,
        state: ServiceStore,
        provider: Callable[[], _Provider],
    ) -> None:
        self._server = server
        self._state = state
        self._provider = provider
        self._lock = threading.Lock()
        # What the server lets its accounts do; None where there are none, or not asked yet.
        self._there: dict[str, Policy] | None = None
        self._asked = server is None

    def of_service(self, name: str, owner: str, buckets: Set[str]) -> ProviderAccess:
        """What the jobs of a service reach these buckets with. UsageError where they may not."""
        settings, own = self._provider()
        with self._lock:
            if self._can():
                return ProviderAccess(settings, self._opened(_SERVICE + name, buckets))
        if owner != ADMIN.uid:
            raise UsageError(
                "the object store of this cluster gives users no keys of their own",
                hint="leave its buckets out, or let the administrator make the service",
            )
        return ProviderAccess(settings, own)

    def of_user(self, caller: Caller) -> Mapping[str, Secret]:
        """A caller's own keys, `access_key` and `secret_key`; none where users can have none."""
        if caller.admin:
            return self._provider()[1]
        with self._lock:
            if not self._can():
                return {}
            return self._opened(_USER + caller.uid, self._seen_by(caller.uid))

    def forget(self, service: str) -> None:
        """Take the account of a service away, when it has one."""
        with self._lock:
            self._forget(_SERVICE + service)

    def put_bucket(self, row: BucketRow) -> None:
        """Store whose a bucket is, and let users' keys follow."""
        self._follow(row.name, lambda: self._state.put_bucket(row))

    def remove_bucket(self, name: str) -> None:
        """Forget a bucket; users' keys follow."""
        self._follow(name, lambda: self._state.remove_bucket(name))

    def settle(self, services: Mapping[str, Set[str]]) -> None:
        """Make every account so again: `services` are all that there are, with their buckets."""
        with self._lock:
            of_services, of_users = self._state.settings(_SERVICE), self._state.settings(_USER)
            self._there, self._asked = None, self._server is None
            if not (of_services or of_users) or not self._can():
                return
            for name in of_services:
                service = name.removeprefix(_SERVICE)
                if service in services:
                    self._opened(name, services[service])
                else:
                    self._forget(name)
            for name in of_users:
                self._opened(name, self._seen_by(name.removeprefix(_USER)))

    def _can(self) -> bool:
        """Whether the server makes accounts. It is asked once, and again when all is settled."""
        if not self._asked:
            assert self._server is not None
            try:
                self._there = dict(self._server.known())
            except AccessError as error:
                _LOG.warning("%s; only the administrator's services reach it", error.message)
            self._asked = True
        return self._there is not None

    def _opened(self, name: str, buckets: Set[str]) -> Mapping[str, Secret]:
        """The keys of an account, which reaches these buckets when this returns."""
        assert self._server is not None
        assert self._there is not None
        kept = self._state.setting(name, None)
        if kept is None:
            # Stored first: of an account that nobody remembers nobody would take the keys away.
            # Another manager may have been quicker.
            kept = self._state.kept_setting(name, _new_keys())
        keys = {field: Secret(value) for field, value in kept.items()}
        key, policy = kept["access_key"], policy_for(buckets)
        if key not in self._there:
            self._server.put(key, keys["secret_key"], policy)
        elif self._there[key] != policy:
            self._server.permit(key, policy)
        self._there[key] = policy
        return keys

    def _forget(self, name: str) -> None:
        kept = self._state.setting(name, None)
        if kept is None or not self._can():
            return
        assert self._server is not None
        assert self._there is not None
        self._server.remove(kept["access_key"])
        self._there.pop(kept["access_key"], None)
        self._state.remove_setting(name)

    def _follow(self, bucket: str, change: Callable[[], None]) -> None:
        with self._lock:
            old = self._state.bucket(bucket)
            change()
            rows = [row for row in (old, self._state.bucket(bucket)) if row is not None]
            users = self._state.settings(_USER)
            if users and self._can():
                for name in users:
                    uid = name.removeprefix(_USER)
                    if any(may_see_bucket(Caller(uid, uid), row) for row in rows):
                        self._opened(name, self._seen_by(uid))

    def _seen_by(self, uid: str) -> Set[str]:
        caller = Caller(uid, uid)
        rows: Iterable[BucketRow] = self._state.buckets().values()
        return {row.name for row in rows if may_see_bucket(caller, row)}


def _new_keys() -> dict[str, str]:
    return {"access_key": f"ob{secrets.token_hex(9)}", "secret_key": secrets.token_hex(20)}
