"""Objects as files of a folder: each bucket is a sub-folder of the root."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import gmtime, strftime
from typing import TYPE_CHECKING

from bridge.errors import AccessError, NotFoundError, PermanentError, UnsafePathError
from bridge.storage._files import open_source, whole_file
from bridge.storage._keys import is_path
from bridge.storage._tree import walk
from bridge.storage.protocol import ObjectInfo

if TYPE_CHECKING:
    from bridge.storage.protocol import StrPath

# Where a file grows before it gets its name; no bucket may start with a dot.
_NURSERY = ".bridge-tmp"
_BLOCK = 1 << 20


class FolderStore:
    """A `Store` on a local or mounted folder. Safe to use from several threads and processes.

    The ETag is made from size and time of change, not from the content. Buckets are never created
    by `put`. Keys that are no relative paths (empty parts, `.`, `..`) are refused with
    UnsafePathError, and so is anything that a symbolic link leads out of the root. Not kept:
    metadata, and a key together with another that has it as a folder.
    """

    def __init__(self, root: StrPath, provider: str = "folder.default") -> None:
        self._root = Path(os.path.realpath(root))
        self._provider = provider

    def get(self, bucket: str, key: str, target: StrPath) -> ObjectInfo:
        """See `Store.get`."""
        path = self._path(bucket, key)
        try:
            with path.open("rb") as source, whole_file(target) as file:
                shutil.copyfileobj(source, file, _BLOCK)
                written, facts = file.tell(), os.fstat(source.fileno())
                if written != facts.st_size:
                    raise PermanentError(f"{bucket}/{key} changed while it was read")
        except OSError as error:
            raise self._refused("read", bucket, key, error) from error
        return _info(bucket, key, facts)

    def put(
        self, bucket: str, key: str, source: StrPath, *, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """See `Store.put`; `metadata` is not kept."""
        self._bucket(bucket)
        path = self._path(bucket, key)
        nursery = self._root / _NURSERY
        part = nursery / f"{os.getpid()}-{os.urandom(8).hex()}"
        try:
            nursery.mkdir(exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            with open_source(source) as file, whole_file(part) as copy:
                shutil.copyfileobj(file, copy, _BLOCK)
            part.replace(path)
            return _info(bucket, key, path.stat())
        except OSError as error:
            part.unlink(missing_ok=True)
            raise self._refused("write", bucket, key, error) from error

    def list(self, bucket: str, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See `Store.list`; symbolic links are left out."""
        base = self._bucket(bucket)
        for key, entry in walk(lambda above: _entries(base, above), "", prefix, start_after):
            if entry.is_file(follow_symlinks=False):
                yield _info(bucket, key, entry.stat(follow_symlinks=False))

    def head(self, bucket: str, key: str) -> ObjectInfo:
        """See `Store.head`."""
        try:
            facts = self._path(bucket, key).stat()
        except OSError as error:
            raise self._refused("look at", bucket, key, error) from error
        if not stat.S_ISREG(facts.st_mode):
            raise NotFoundError(f"cannot look at {bucket}/{key} in {self._provider}: not a file")
        return _info(bucket, key, facts)

    def delete(self, bucket: str, key: str) -> None:
        """See `Store.delete`."""
        try:
            self._path(bucket, key).unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise self._refused("delete", bucket, key, error) from error

    def _bucket(self, bucket: str) -> Path:
        path = self._path(bucket, "")
        if not path.is_dir():
            raise NotFoundError(f"the bucket {bucket} does not exist in {self._provider}")
        return path

    def _path(self, bucket: str, key: str) -> Path:
        bad = (key and not is_path(key)) or not is_path(bucket)
        if bad or bucket.startswith(".") or "/" in bucket:
            raise UnsafePathError(f"{bucket}/{key!r} cannot be a file of {self._provider}")
        path = self._root.joinpath(bucket, key)
        if Path(os.path.realpath(path)) != path:
            raise UnsafePathError(f"{bucket}/{key} in {self._provider} is behind a symbolic link")
        return path

    def _refused(self, doing: str, bucket: str, key: str, error: OSError) -> Exception:
        where = f"cannot {doing} {bucket}/{key} in {self._provider}"
        if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
            if doing == "write":
                return PermanentError(f"{where}: {error.strerror}")
            return NotFoundError(f"{where}: it does not exist")
        if isinstance(error, PermissionError):
            return AccessError(f"{where}: {error.strerror}")
        return PermanentError(f"{where}: {error.strerror or error}")


def _entries(base: Path, above: str) -> list[tuple[str, os.DirEntry[str]]]:
    with os.scandir(base / above) as found:
        return [(f"{above}{e.name}{'/' if _is_folder(e) else ''}", e) for e in found]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _info(bucket: str, key: str, facts: os.stat_result) -> ObjectInfo:
    modified = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(facts.st_mtime))
    etag = f"{facts.st_size:x}-{facts.st_mtime_ns:x}"
    return ObjectInfo(bucket, key, facts.st_size, etag, "", modified)
