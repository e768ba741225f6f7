"""Where new objects become events: the rules of buckets, and what is in them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Final

from bridge.fdl.model import ProviderRef
from bridge.pipeline import NotificationRule
from bridge.storage import ObjectInfo
from bridge.storage.minio import Rule, SilentError
from manager.buckets import Buckets, CloudBuckets
from manager.cloud import MINIO, S3

__all__ = ["Inputs"]

_LOG: Final = logging.getLogger("manager")

Rules = Mapping[tuple[str, str], Sequence[NotificationRule]]


class Inputs:
    """The buckets that feed services: the manager's own, and those of S3 whose events are pulled.

    Errors as theirs; other providers have no rules and are not listed. Of a bucket whose server
    sends no events that is said in the log, and `silent` has it: it must be listed.
    """

    def __init__(self, buckets: Buckets, cloud: CloudBuckets | None) -> None:
        self._buckets = buckets
        self._cloud = cloud
        self._silent: frozenset[str] = frozenset()

    @property
    def silent(self) -> Set[str]:
        """The manager's own buckets of which no events come."""
        return self._silent

    def put_rules(self, places: Iterable[tuple[ProviderRef, str]], wanted: Rules) -> None:
        """Make the rules of these buckets what is wanted of them."""
        for ref, bucket in sorted(places):
            rules = wanted.get((str(ref), bucket), ())
            if ref == MINIO:
                self._put_own(bucket, rules)
            elif ref == S3 and self._cloud is not None:
                self._cloud.ensure_rules(bucket, rules)

    def ask_again(self, wanted: Rules) -> None:
        """Put the rules of silent buckets again: their server may have learned to speak."""
        self.put_rules([(MINIO, bucket) for bucket in self._silent], wanted)

    def _put_own(self, bucket: str, rules: Sequence[NotificationRule]) -> None:
        silent = self._silent - {bucket}
        if not rules:
            self._buckets.remove_rules(bucket)
        else:
            try:
                self._buckets.ensure_rules(Rule(r.bucket, r.prefix, r.suffix) for r in rules)
            except SilentError as error:
                if bucket not in self._silent:
                    _LOG.warning("%s; its objects are found by listing", error.message)
                silent |= {bucket}
        self._silent = silent

    def listing(self, provider: str, bucket: str, prefix: str) -> Iterable[ObjectInfo]:
        """The objects under a prefix, in key order."""
        if provider == str(MINIO):
            return self._buckets.listing(bucket, prefix)
        if provider == str(S3) and self._cloud is not None:
            return self._cloud.listing(bucket, prefix)
        return ()
