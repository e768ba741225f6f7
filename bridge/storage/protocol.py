"""The one protocol that every storage provider implements for the data path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import PathLike
    from typing import TypeAlias

    # pathlib is left to the callers: importing it costs the supervisor a tenth of its start.
    StrPath: TypeAlias = str | PathLike[str]


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
    Keys are exact: a store that cannot hold a key as it is raises PermanentError, never changes it.
    Not promised: atomicity across objects, or that `list` sees a concurrent `put`.
    """

    def get(self, bucket: str, key: str, target: StrPath) -> ObjectInfo:
        """Write the object to `target` (its parent exists), verified against its size and ETag."""
        ...

    def put(
        self, bucket: str, key: str, source: StrPath, *, metadata: Mapping[str, str] | None = None
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
