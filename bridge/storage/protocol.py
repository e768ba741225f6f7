"""The one protocol that every storage provider implements for the data path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store knows of one object. `size` in bytes, `modified` RFC 3339 UTC or ""."""

    bucket: str
    key: str
    size: int
    etag: str = ""
    version: str = ""
    modified: str = ""


class Store(Protocol):
    """Objects in buckets: whole files in and out, streamed, never whole in memory.

    Every method raises NotFoundError (bucket or object), AccessError, or StorageUnavailable after
    its own retries. A failed `get` leaves no file at `target`; a failed `put` no partial object.
    Not promised: atomicity across objects, or that `list` sees a concurrent `put`.
    """

    def get(self, bucket: str, key: str, target: Path) -> ObjectInfo:
        """Write the object to `target` (its parent exists), verified against its size and ETag."""
        ...

    def put(
        self, bucket: str, key: str, source: Path, *, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """Store the file under the key, replacing what is there; multipart when large."""
        ...

    def list(self, bucket: str, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key starts with `prefix`, in key order, folder markers left out."""
        ...

    def head(self, bucket: str, key: str) -> ObjectInfo:
        """What `list` would say of one object."""
        ...

    def delete(self, bucket: str, key: str) -> None:
        """Remove one object; no error when it is not there."""
        ...
