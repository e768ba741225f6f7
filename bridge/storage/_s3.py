"""Objects in S3 and in services that speak it (MinIO and others)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from bridge.errors import PermanentError, StorageUnavailable
from bridge.storage import _native
from bridge.storage._errors import Subject, native_error
from bridge.storage._files import open_source, whole_file
from bridge.storage._keys import is_plain
from bridge.storage._settings import Credentials, S3Settings
from bridge.storage.protocol import ObjectInfo

if TYPE_CHECKING:
    from obstore.store import S3Store as Client

    from bridge.storage._plain import PlainClient
    from bridge.storage.protocol import StrPath

_DAMAGED_TRIES = 2
_MD5_LENGTH = 32


class _Damaged(StorageUnavailable):
    """What was received differs from what the service says it has."""


class S3Store:
    """A `Store` on S3. Safe to use from several threads.

    Keys that the native client would change or refuse go through a plain client instead. Uploads
    are protected by the signature over their content; downloads are compared with the object's
    size and, where the ETag is an MD5, with that.
    """

    def __init__(self, settings: S3Settings, credentials: Credentials | None) -> None:
        self._settings = settings
        self._credentials = credentials
        self._clients: dict[str, Client] = {}
        self._plain_client: PlainClient | None = None

    def get(self, bucket: str, key: str, target: StrPath) -> ObjectInfo:
        """See `Store.get`."""
        for _ in range(_DAMAGED_TRIES - 1):
            try:
                return self._get(bucket, key, target)
            except _Damaged:
                continue
        return self._get(bucket, key, target)

    def put(
        self, bucket: str, key: str, source: StrPath, *, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """See `Store.put`."""
        with open_source(source) as file:
            if not is_plain(key):
                return self._plain().put(bucket, key, file, metadata or {})
            with self._errors("write", bucket, key):
                client, path = self._native(bucket, key)
                size, said = _native.put(client, path, file, metadata or {})
        etag = (said.get("e_tag") or "").strip('"')
        return ObjectInfo(bucket, key, size, etag, said.get("version") or "")

    def list(self, bucket: str, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See `Store.list`."""
        for info in self._plain().list(bucket, prefix, start_after):
            if not info.key.endswith("/"):
                yield info

    def head(self, bucket: str, key: str) -> ObjectInfo:
        """See `Store.head`."""
        if not is_plain(key):
            return self._plain().head(bucket, key)
        with self._errors("look at", bucket, key):
            client, path = self._native(bucket, key)
            return _native.info(bucket, key, _native.head(client, path))

    def delete(self, bucket: str, key: str) -> None:
        """See `Store.delete`."""
        if not is_plain(key):
            return self._plain().delete(bucket, key)
        with self._errors("delete", bucket, key):
            client, path = self._native(bucket, key)
            return _native.delete(client, path)

    def _get(self, bucket: str, key: str, target: StrPath) -> ObjectInfo:
        with whole_file(target) as file:
            info, digest = self._receive(bucket, key, file)
            if file.tell() == info.size and self._matches(info, digest):
                return info
            raise _Damaged(
                f"cannot {self._subject('read', bucket, key)}: what arrived is not what is stored"
            )

    def _receive(self, bucket: str, key: str, file: BinaryIO) -> tuple[ObjectInfo, str]:
        if not is_plain(key):
            return self._plain().get(bucket, key, file)
        with self._errors("read", bucket, key):
            client, path = self._native(bucket, key)
            meta, digest = _native.get(client, path, file)
            return _native.info(bucket, key, meta), digest

    def _matches(self, info: ObjectInfo, digest: str) -> bool:
        # An ETag with a dash is that of an upload in parts; S3 Express ETags are no digests.
        if len(info.etag) != _MD5_LENGTH or "-" in info.etag or info.etag == digest:
            return True
        if info.bucket.endswith("--x-s3"):
            return True
        return self._plain().encrypted_by_key_service(info.bucket, info.key)

    def _native(self, bucket: str, key: str) -> tuple[Client, str]:
        if not bucket or "/" in bucket:
            raise PermanentError(f"{bucket!r} is no name of a bucket")
        shared = bool(self._settings.endpoint)
        name = "" if shared else bucket
        client = self._clients.get(name)
        if client is None:
            # Two threads may both build one; the loser's is dropped, which is harmless.
            client = _native.build(self._settings, self._credentials, bucket)
            client = self._clients.setdefault(name, client)
        return client, f"{bucket}/{key}" if shared else key

    def _plain(self) -> PlainClient:
        if self._plain_client is None:
            from bridge.storage._plain import PlainClient  # noqa: PLC0415  rarely needed

            self._plain_client = PlainClient(self._settings, self._signer())
        return self._plain_client

    def _signer(self) -> Callable[[], Credentials]:
        fixed = self._credentials
        if fixed is not None:
            return lambda: fixed
        from bridge.storage._ambient import for_signing  # noqa: PLC0415  rarely needed

        return for_signing

    def _subject(self, doing: str, bucket: str, key: str) -> Subject:
        return Subject(self._settings.provider, doing, bucket, key)

    @contextmanager
    def _errors(self, doing: str, bucket: str, key: str) -> Iterator[None]:
        try:
            yield
        except _native.NATIVE_ERRORS as error:
            raise native_error(error, self._subject(doing, bucket, key)) from None
        except BaseException as error:
            # A panic of the native code is no Exception; it must not end the process.
            if type(error).__name__ != _native.PANIC:
                raise
            subject = self._subject(doing, bucket, key)
            raise PermanentError(f"cannot {subject}: the native client failed: {error}") from None
