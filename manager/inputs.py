"""Where new objects become events: the rules of buckets, and what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bridge.fdl.model import ProviderRef
from bridge.pipeline import NotificationRule
from bridge.storage import ObjectInfo
from bridge.storage.minio import Rule
from manager.buckets import Buckets, CloudBuckets
from manager.cloud import MINIO, S3

__all__ = ["Inputs"]


class Inputs:
    """The buckets that feed services: the manager's own, and those of S3 whose events are pulled.

    Errors as theirs; other providers have no rules and are not listed.
    """

    def __init__(self, buckets: Buckets, cloud: CloudBuckets | None) -> None:
        self._buckets = buckets
        self._cloud = cloud

    def put_rules(
        self,
        places: Iterable[tuple[ProviderRef, str]],
        wanted: Mapping[tuple[str, str], Sequence[NotificationRule]],
    ) -> None:
        """Make the rules of these buckets what is wanted of them."""
        for ref, bucket in sorted(places):
            rules = wanted.get((str(ref), bucket), ())
            if ref == MINIO and rules:
                self._buckets.ensure_rules(Rule(r.bucket, r.prefix, r.suffix) for r in rules)
            elif ref == MINIO:
                self._buckets.remove_rules(bucket)
            elif ref == S3 and self._cloud is not None:
                self._cloud.ensure_rules(bucket, rules)

    def listing(self, provider: str, bucket: str, prefix: str) -> Iterable[ObjectInfo]:
        """The objects under a prefix, in key order."""
        if provider == str(MINIO):
            return self._buckets.listing(bucket, prefix)
        if provider == str(S3) and self._cloud is not None:
            return self._cloud.listing(bucket, prefix)
        return ()
