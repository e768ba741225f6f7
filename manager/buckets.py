"""What the manager needs of the server that holds the buckets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, Protocol

from bridge.pipeline import NotificationRule
from bridge.secret import Secret
from bridge.storage import ObjectInfo
from bridge.storage.minio import Rule

__all__ = ["Buckets", "CloudBuckets"]


class Buckets(Protocol):
    """A server of buckets whose new objects become events.

    Methods raise StorageUnavailable, AccessError or NotFoundError; UsageError for a bad name.
    """

    def provider(self) -> tuple[Mapping[str, str | bool], Mapping[str, Secret]]:
        """Settings and secrets of the storage provider that it is."""
        ...

    def buckets(self) -> list[str]:
        """Names of all buckets, sorted."""
        ...

    def has_bucket(self, bucket: str) -> bool:
        """True when the bucket exists."""
        ...

    def ensure_bucket(self, bucket: str) -> None:
        """Make the bucket unless it is there."""
        ...

    def remove_bucket(self, bucket: str) -> None:
        """Remove the bucket with everything in it; NotFoundError when it is not there."""
        ...

    def ensure_folder(self, bucket: str, folder: str) -> None:
        """Make the folder visible in clients that list folders, by an empty object."""
        ...

    def ensure_rules(self, rules: Iterable[Rule]) -> None:
        """Make these the rules that feed our webhook, in every bucket that they name."""
        ...

    def remove_rules(self, bucket: str) -> None:
        """Take our rules out of the bucket; no error when it or they are not there."""
        ...

    def listing(
        self, bucket: str, prefix: str = "", *, start_after: str = ""
    ) -> Iterator[ObjectInfo]:
        """Objects of the bucket in key order, folder markers left out; fetched page by page."""
        ...

    def presign(
        self, bucket: str, key: str, operation: Literal["upload", "download"], seconds: int
    ) -> str:
        """A URL that does one operation on one object for so long, without credentials."""
        ...


class CloudBuckets(Protocol):
    """Buckets of S3 whose events are pulled from a queue (`bridge.targets.aws.Buckets`)."""

    def ensure(self, name: str) -> bool:
        """Create the bucket unless it is there; True when it was made now."""
        ...

    def ensure_rules(self, bucket: str, rules: Iterable[NotificationRule]) -> None:
        """Send the rules' events to our queue; what others have configured stays."""
        ...

    def listing(self, bucket: str, prefix: str) -> Iterable[ObjectInfo]:
        """Objects under a prefix, in key order."""
        ...
