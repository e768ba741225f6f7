"""The AWS endpoint of this machine as an account, and as buckets whose events we pull."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any, Final

from bridge.local._signals import held_back
from bridge.local.aws import AwsEndpoint
from bridge.pipeline import NotificationRule
from bridge.secret import Secret
from bridge.storage import ObjectInfo
from bridge.targets.aws import Account, AccountSettings, Buckets, QueueSource
from bridge.targets.render import ProviderAccess

__all__ = ["LazyBuckets", "account_of", "s3_access"]

_POLL: Final = 0.1
_WAIT: Final = 1
_ROLE: Final = "arn:aws:iam::000000000000:role/oscar-bridge-local"


def account_of(endpoint: AwsEndpoint, name: str = "oscar-bridge") -> Account:
    """The endpoint's account; what all services share there is under the name."""
    environment = endpoint.environment()
    settings = AccountSettings(
        name,
        region=environment["AWS_REGION"],
        endpoint=endpoint.url,
        credentials={
            "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
        },
        role=_ROLE,
        poll=_POLL,
    )
    account = Account(settings)
    account.prepare()
    return account


def s3_access(endpoint: AwsEndpoint) -> ProviderAccess:
    """How anything on this machine, and any container, reaches the endpoint's S3."""
    environment = endpoint.environment()
    return ProviderAccess(
        {"endpoint": endpoint.url, "region": environment["AWS_REGION"]},
        {
            "access_key": Secret(environment["AWS_ACCESS_KEY_ID"]),
            "secret_key": Secret(environment["AWS_SECRET_ACCESS_KEY"]),
        },
    )


class LazyBuckets:
    """S3 of an endpoint that may not stand yet; nothing is made there before it is needed.

    `accept` gets the bodies of events, and is durable when it returns; they are pulled from the
    first rule on. What is started is handed to `stack`, which stops it.
    """

    def __init__(
        self,
        endpoint: Callable[[], AwsEndpoint],
        name: str,
        accept: Callable[[bytes, Mapping[str, str]], Any],
        stack: ExitStack,
    ) -> None:
        self._endpoint = endpoint
        self._name = name
        self._accept = accept
        self._stack = stack
        self._lock = threading.Lock()
        self._made: tuple[Account, Buckets] | None = None
        self._pulling = False

    def ensure(self, name: str) -> bool:
        """See `Buckets.ensure`."""
        return self._buckets().ensure(name)

    def ensure_rules(self, bucket: str, rules: Iterable[NotificationRule]) -> None:
        """See `Buckets.ensure_rules`."""
        self._buckets().ensure_rules(bucket, rules)
        with self._lock:
            if self._pulling or self._made is None:
                return
            source = QueueSource(self._made[0], self._accept, wait=_WAIT)
            with held_back():
                self._stack.callback(source.close)
                source.start()
            self._pulling = True

    def listing(self, bucket: str, prefix: str) -> Iterable[ObjectInfo]:
        """See `Buckets.listing`."""
        return self._buckets().listing(bucket, prefix)

    def _buckets(self) -> Buckets:
        with self._lock:
            if self._made is None:
                account = account_of(self._endpoint(), self._name)
                self._made = account, Buckets(account)
            return self._made[1]
