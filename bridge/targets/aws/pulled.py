"""Buckets of S3 whose events are pulled; nothing is made in the account before it is needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bridge.pipeline import NotificationRule
from bridge.storage.protocol import ObjectInfo
from bridge.targets.aws.account import Account
from bridge.targets.aws.buckets import Buckets
from bridge.targets.aws.source import QueueSource

__all__ = ["PulledBuckets"]


class PulledBuckets:
    """`Buckets` and a `QueueSource` of an account that is made with the first call.

    `accept` gets the bodies of events, and is durable when it returns; they are pulled from the
    first rule on, with long polls of `wait` seconds. Thread-safe.
    """

    def __init__(
        self,
        account: Callable[[], Account],
        accept: Callable[[bytes, Mapping[str, str]], Any],
        *,
        wait: int = 20,
    ) -> None:
        self._account = account
        self._accept = accept
        self._wait = wait
        self._lock = threading.Lock()
        self._made: tuple[Account, Buckets] | None = None
        self._source: QueueSource | None = None
        self._closed = False

    def ensure(self, name: str) -> bool:
        """See `Buckets.ensure`."""
        return self._ready()[1].ensure(name)

    def ensure_rules(self, bucket: str, rules: Iterable[NotificationRule]) -> None:
        """See `Buckets.ensure_rules`."""
        account, buckets = self._ready()
        buckets.ensure_rules(bucket, rules)
        with self._lock:
            if self._source is None and not self._closed:
                self._source = QueueSource(account, self._accept, wait=self._wait)
                self._source.start()

    def listing(self, bucket: str, prefix: str) -> Iterable[ObjectInfo]:
        """See `Buckets.listing`."""
        return self._ready()[1].listing(bucket, prefix)

    def close(self) -> None:
        """Pull no more; waits for the messages in hand."""
        with self._lock:
            self._closed = True
            source, self._source = self._source, None
        if source is not None:
            source.close()

    def _ready(self) -> tuple[Account, Buckets]:
        with self._lock:
            if self._made is None:
                account = self._account()
                self._made = account, Buckets(account)
            return self._made
