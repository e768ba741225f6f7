"""Accounts of a MinIO server that reach a few buckets only, made through its admin API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Any, Final, Protocol

from minio.error import MinioAdminException
from minio.minioadmin import MinioAdmin
from urllib3.exceptions import HTTPError

from bridge.errors import AccessError, StorageUnavailable
from bridge.secret import Secret
from bridge.storage.minio import ServerSettings
from manager.webhook import admin_of

__all__ = ["AccountServer", "MinioAccounts", "Policy", "policy_for"]

Policy = dict[str, Any]

# What reads and writes objects, and nothing that changes what a bucket is.
_ON_BUCKETS: Final = (
    "s3:GetBucketLocation",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
)
_ON_OBJECTS: Final = (
    "s3:AbortMultipartUpload",
    "s3:DeleteObject",
    "s3:GetObject",
    "s3:GetObjectTagging",
    "s3:ListMultipartUploadParts",
    "s3:PutObject",
    "s3:PutObjectTagging",
)
_ARN: Final = "arn:aws:s3:::"
_SERVER_FAULT: Final = range(500, 600)
_NOT_IMPLEMENTED: Final = 501


class AccountServer(Protocol):
    """A server of buckets that has accounts.

    Errors: AccessError when it has none or does not let us, StorageUnavailable.
    """

    def known(self) -> Mapping[str, Policy]:
        """All accounts that may do something: their policies by access key."""
        ...

    def put(self, access_key: str, secret_key: Secret, policy: Policy) -> None:
        """Make an account that may do this, or make it so."""
        ...

    def permit(self, access_key: str, policy: Policy) -> None:
        """Let an account that was put do this from now on, and nothing else."""
        ...

    def remove(self, access_key: str) -> None:
        """Take an account away; no error when it is not there."""
        ...


def policy_for(buckets: Set[str]) -> Policy:
    """What lets one read and write the objects of these buckets, and list them."""
    names = sorted(buckets)
    if not names:
        # A policy without statements is none.
        return _policy([_statement("Deny", ("s3:*",), [f"{_ARN}*"])])
    return _policy(
        [
            _statement("Allow", _ON_BUCKETS, [f"{_ARN}{name}" for name in names]),
            _statement("Allow", _ON_OBJECTS, [f"{_ARN}{name}/*" for name in names]),
        ]
    )


def _policy(statements: list[Policy]) -> Policy:
    return {"Version": "2012-10-17", "Statement": statements}


def _statement(effect: str, actions: tuple[str, ...], resources: list[str]) -> Policy:
    return {"Effect": effect, "Action": sorted(actions), "Resource": sorted(resources)}


class MinioAccounts:
    """See AccountServer. `settings` are asked for at each call: a server here may move."""

    def __init__(self, settings: Callable[[], ServerSettings]) -> None:
        self._settings = settings

    def known(self) -> Mapping[str, Policy]:
        """See AccountServer."""
        with _translated():
            admin = self._admin()
            policies = json.loads(admin.policy_list())
            users = json.loads(admin.user_list())
        named = {key: one.get("policyName", "") for key, one in users.items()}
        return {key: _tidy(policies[name]) for key, name in named.items() if name in policies}

    def put(self, access_key: str, secret_key: Secret, policy: Policy) -> None:
        """See AccountServer."""
        with _translated():
            admin = self._admin()
            admin.policy_add(access_key, policy=policy)
            admin.user_add(access_key, secret_key.reveal())
            admin.policy_set(access_key, user=access_key)

    def permit(self, access_key: str, policy: Policy) -> None:
        """See AccountServer."""
        with _translated():
            self._admin().policy_add(access_key, policy=policy)

    def remove(self, access_key: str) -> None:
        """See AccountServer."""
        # In this order: a policy that somebody has is not removed.
        for remove in (self._admin().user_remove, self._admin().policy_remove):
            with _translated(absent_is_fine=True):
                remove(access_key)

    def _admin(self) -> MinioAdmin:
        return admin_of(self._settings())


def _tidy(said: Any) -> Policy:
    """A policy in the form that `policy_for` gives; servers change the order of its lists."""
    statements = [
        _statement(one.get("Effect", ""), tuple(one.get("Action", ())), one.get("Resource", []))
        for one in said.get("Statement", [])
    ]
    return _policy(sorted(statements, key=lambda one: str(one["Resource"])))


@contextmanager
def _translated(*, absent_is_fine: bool = False) -> Iterator[None]:
    """Turn the client's errors into ours; what the server said is left out, it may be a secret."""
    try:
        yield
    except MinioAdminException as error:
        status = int(error._code)
        if status == 404 and absent_is_fine:
            return
        if status in _SERVER_FAULT and status != _NOT_IMPLEMENTED:
            said = f"the object store's accounts cannot be changed now: status {status}"
            raise StorageUnavailable(said) from None
        raise AccessError(
            f"the object store does not let its accounts be changed: status {status}",
            hint="the manager's keys must be those of a MinIO server's root user",
        ) from None
    except (HTTPError, ValueError, KeyError, AttributeError) as error:
        said = f"the object store's accounts cannot be reached: {type(error).__name__}"
        raise StorageUnavailable(said) from error
