"""A plain S3 client for what the native one cannot do: unusual keys and exact listings."""

from __future__ import annotations

import hashlib
import http.client
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, TypeVar
from urllib.parse import unquote_plus, urlsplit
from xml.etree import ElementTree

from bridge.errors import PermanentError, StorageUnavailable
from bridge.storage._errors import Answer, Subject, answer_error
from bridge.storage._settings import Credentials, S3Settings
from bridge.storage._sigv4 import encode_path, encode_query, signed_headers
from bridge.storage._web import BLOCK, ERROR_BYTES, connect, rfc3339, tried
from bridge.storage.protocol import ObjectInfo

_EMPTY = hashlib.sha256(b"").hexdigest()
# One request carries at most this much: S3's limit of a single PUT.
_MAX_PUT = 5 * 1024**3
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Request:
    """One request before it is signed."""

    method: str
    subject: Subject
    query: Mapping[str, str]
    headers: Mapping[str, str]
    payload: str = _EMPTY


class PlainClient:
    """S3 over the standard library, one connection per request. Slow and exact."""

    def __init__(self, settings: S3Settings, credentials: Callable[[], Credentials]) -> None:
        url = urlsplit(settings.endpoint or f"https://s3.{settings.region}.amazonaws.com")
        self._settings = settings
        self._credentials = credentials
        self._secure = url.scheme == "https"
        self._host = url.netloc
        self._base = url.path.rstrip("/")

    def get(self, bucket: str, key: str, file: BinaryIO) -> tuple[ObjectInfo, str]:
        """Write the object into the file; its facts and the MD5 of what was written."""

        def receive(answer: http.client.HTTPResponse) -> tuple[ObjectInfo, str]:
            file.seek(0)
            file.truncate()
            digest = hashlib.md5(usedforsecurity=False)
            while block := answer.read(BLOCK):
                digest.update(block)
                file.write(block)
            return _info(bucket, key, answer), digest.hexdigest()

        return self._send(self._request("GET", "read", bucket, key), receive)

    def put(self, bucket: str, key: str, file: BinaryIO, metadata: Mapping[str, str]) -> ObjectInfo:
        """Store the file in one request; PermanentError when it is above S3's limit for one."""
        size = os.fstat(file.fileno()).st_size
        if size > _MAX_PUT:
            raise PermanentError(
                f"cannot write {bucket}/{key}: an object with such a name is limited to 5 GiB",
                hint="give the file a name without empty parts, dots alone or control characters",
            )
        digest = _sha256(file)
        headers = {f"x-amz-meta-{name}": value for name, value in metadata.items()}
        headers["content-length"] = str(size)
        request = self._request("PUT", "write", bucket, key, headers=headers, payload=digest)
        return self._send(request, lambda answer: _info(bucket, key, answer, size), file)

    def head(self, bucket: str, key: str) -> ObjectInfo:
        """Facts of one object."""
        request = self._request("HEAD", "look at", bucket, key)
        return self._send(request, lambda answer: _info(bucket, key, answer))

    def encrypted_by_key_service(self, bucket: str, key: str) -> bool:
        """True when the object's ETag is not its MD5 because of how it is encrypted."""

        def read(answer: http.client.HTTPResponse) -> bool:
            kms = answer.headers.get("x-amz-server-side-encryption", "").startswith("aws:kms")
            return kms or "x-amz-server-side-encryption-customer-algorithm" in answer.headers

        return self._send(self._request("HEAD", "look at", bucket, key), read)

    def delete(self, bucket: str, key: str) -> None:
        """Remove one object; no error when it is not there."""
        self._send(self._request("DELETE", "delete", bucket, key), lambda _: None)

    def list(self, bucket: str, prefix: str, start_after: str) -> Iterator[ObjectInfo]:
        """Every object with the prefix, page by page, folder markers included."""
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
        if start_after:
            query["start-after"] = start_after
        while True:
            request = self._request("GET", "list", bucket, "", query=query)
            page = self._send(request, lambda answer: answer.read())
            root = _without_namespaces(page)
            yield from (_listed(bucket, entry) for entry in root.iter("Contents"))
            token = root.findtext("NextContinuationToken")
            if root.findtext("IsTruncated") != "true" or not token:
                return
            query["continuation-token"] = token

    def _request(
        self,
        method: str,
        doing: str,
        bucket: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        payload: str = _EMPTY,
    ) -> _Request:
        subject = Subject(self._settings.provider, doing, bucket, key)
        if not bucket or "/" in bucket:
            raise PermanentError(f"{bucket!r} is no name of a bucket")
        if not _is_text(key):
            raise PermanentError(f"cannot {subject!r}: the name is not UTF-8 text")
        return _Request(method, subject, query or {}, headers or {}, payload)

    def _send(
        self,
        request: _Request,
        receive: Callable[[http.client.HTTPResponse], T],
        body: BinaryIO | None = None,
    ) -> T:
        return tried(lambda: self._once(request, receive, body))

    def _once(
        self,
        request: _Request,
        receive: Callable[[http.client.HTTPResponse], T],
        body: BinaryIO | None,
    ) -> T:
        connection = self._connect()
        try:
            if body is not None:
                body.seek(0)
            url, headers = self._signed(request)
            connection.request(request.method, url, body=body, headers=headers)
            answer = connection.getresponse()
            if answer.status >= 300:
                said = answer.read(ERROR_BYTES).decode("utf-8", "replace")
                raise answer_error(Answer.parse(answer.status, said), request.subject)
            return receive(answer)
        except (OSError, http.client.HTTPException) as error:
            name = type(error).__name__
            raise StorageUnavailable(f"cannot {request.subject}: {name}") from error
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        where = self._settings
        return connect(
            self._host, secure=self._secure, verify=where.verify, authority=where.authority
        )

    def _signed(self, request: _Request) -> tuple[str, dict[str, str]]:
        key = f"/{request.subject.key}" if request.subject.key else ""
        path = encode_path(f"{self._base}/{request.subject.bucket}{key}")
        query = encode_query(request.query)
        headers = signed_headers(
            request.method,
            self._host,
            path,
            query,
            headers=request.headers,
            payload=request.payload,
            credentials=self._credentials(),
            region=self._settings.region,
        )
        return (f"{path}?{query}" if query else path), headers


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := file.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _info(
    bucket: str, key: str, answer: http.client.HTTPResponse, size: int | None = None
) -> ObjectInfo:
    headers = answer.headers
    return ObjectInfo(
        bucket,
        key,
        int(headers.get("content-length", "0")) if size is None else size,
        headers.get("etag", "").strip('"'),
        headers.get("x-amz-version-id", ""),
        rfc3339(headers.get("last-modified", "")),
    )


def _listed(bucket: str, entry: ElementTree.Element) -> ObjectInfo:
    return ObjectInfo(
        bucket,
        unquote_plus(entry.findtext("Key", "")),
        int(entry.findtext("Size", "0")),
        entry.findtext("ETag", "").strip('"'),
        "",
        _seconds_only(entry.findtext("LastModified", "")),
    )


def _without_namespaces(page: bytes) -> ElementTree.Element:
    # The service is authenticated, and expat bounds entity expansion.
    root = ElementTree.fromstring(page)  # noqa: S314
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _seconds_only(stamp: str) -> str:
    """The same moment at the resolution that `head` has: 2026-01-01T00:00:00Z."""
    head, dot, _ = stamp.partition(".")
    return f"{head}Z" if dot else stamp
