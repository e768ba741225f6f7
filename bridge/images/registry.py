"""A client of the OCI distribution API: what an image's journey through registries needs.

It speaks https; plain http only to this machine. Every digest is checked. What may pass is tried
again. Errors: AccessError for 401 and 403, NotFoundError for 404, TemporaryError for 429, 5xx and
broken connections (with the registry's Retry-After), PermanentError for the rest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from bridge.errors import AccessError, NotFoundError, PermanentError, TemporaryError
from bridge.images import _auth
from bridge.images._http import (
    Body,
    Request,
    Unauthorized,
    chunks,
    exchange,
    is_loopback,
    whole,
)
from bridge.images._retry import retried
from bridge.images.model import Credentials

__all__ = ["DOCKER_MANIFEST", "INDEXES", "MANIFESTS", "Blob", "Manifest", "Registry"]

DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
MANIFESTS: Final = ("application/vnd.oci.image.manifest.v1+json", DOCKER_MANIFEST)
INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_API_HOSTS: Final = {"docker.io": "registry-1.docker.io"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index, as it was sent and as a document."""

    media_type: str
    digest: str
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes by their digest. `open` may be called several times: once for every try."""

    digest: str
    size: int
    open: Callable[[], AbstractContextManager[Iterable[bytes]]]

    @classmethod
    def of(cls, data: bytes) -> Blob:
        """Bytes that are in memory."""
        return cls(digest_of(data), len(data), lambda: contextlib.nullcontext((data,)))

    @classmethod
    def of_file(cls, path: Path, digest: str, size: int) -> Blob:
        """The bytes of a file, whose digest and size are known."""

        @contextlib.contextmanager
        def opened() -> Iterator[Iterable[bytes]]:
            with path.open("rb") as file:
                yield chunks(file)

        return cls(digest, size, opened)


def digest_of(data: bytes) -> str:
    """The digest of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def encode(document: Mapping[str, Any]) -> bytes:
    """A document as it is pushed."""
    return json.dumps(document, separators=(",", ":")).encode()


class Registry:
    """One registry, by its host (and port). Safe to use from several threads."""

    def __init__(
        self,
        host: str,
        credentials: Credentials | None = None,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.host = host
        self._credentials = credentials
        self._pause = pause
        self._root = f"{'http' if is_loopback(host) else 'https'}://{_API_HOSTS.get(host, host)}"
        self._lock = threading.Lock()
        self._granted: dict[tuple[str, ...], str] = {}

    def digest(self, repository: str, version: str) -> str:
        """The digest of what a tag or digest names, "" when it is not there."""
        request = self._request("HEAD", repository, f"manifests/{version}", _ACCEPT)
        try:
            with self._retried(request, repository) as answer:
                found = answer.headers.get("Docker-Content-Digest", "")
        except NotFoundError:
            return ""
        return found or self.manifest(repository, version).digest

    def manifest(self, repository: str, version: str) -> Manifest:
        """The manifest or index that a tag or digest names."""
        request = self._request("GET", repository, f"manifests/{version}", _ACCEPT)
        with self._retried(request, repository) as answer:
            data = whole(answer, request.what)
            kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
            said = answer.headers.get("Docker-Content-Digest", "")
        digest = digest_of(data)
        for wanted in (version if version.startswith("sha256:") else "", said):
            if wanted.startswith("sha256:") and wanted != digest:
                raise TemporaryError(f"{request.what}: it came as {digest} instead of {wanted}")
        return Manifest(kind, digest, _document(data, request.what))

    def config(self, repository: str, digest: str) -> dict[str, Any]:
        """A small JSON blob, such as an image's configuration."""
        what = f"read {digest} of {self.host}/{repository}"
        data = retried(lambda: self._small(repository, digest, what), self._pause)
        return _document(data, what)

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether a repository has a blob."""
        try:
            with self._retried(self._request("HEAD", repository, f"blobs/{digest}"), repository):
                return True
        except NotFoundError:
            return False

    def blob(self, repository: str, digest: str, size: int) -> Blob:
        """A blob to be read from here, checked while it is read."""
        request = self._request("GET", repository, f"blobs/{digest}")

        @contextlib.contextmanager
        def opened() -> Iterator[Iterable[bytes]]:
            with self._send(request, (repository,)) as answer:
                yield _verified(chunks(answer), digest, size, request.what)

        return Blob(digest, size, opened)

    def push_blob(
        self, repository: str, blob: Blob, *, mount_from: str = ""
    ) -> Literal["present", "mounted", "uploaded"]:
        """Make a repository have a blob: as it is, taken over from another repository of this
        registry, or by upload, which starts anew when it breaks."""
        if self.has_blob(repository, blob.digest):
            return "present"
        return retried(lambda: self._deliver(repository, blob, mount_from), self._pause)

    def put_manifest(
        self, repository: str, version: str, media_type: str, document: Mapping[str, Any]
    ) -> str:
        """Write a manifest under a tag; the answer is its digest."""
        data = encode(document)
        request = self._request(
            "PUT", repository, f"manifests/{version}", {"Content-Type": media_type}, data
        )
        with self._retried(request, repository):
            return digest_of(data)

    def _small(self, repository: str, digest: str, what: str) -> bytes:
        with self._send(self._request("GET", repository, f"blobs/{digest}"), (repository,)) as got:
            data = whole(got, what)
        if digest_of(data) != digest:
            raise TemporaryError(f"{what}: what came is not what its digest says")
        return data

    def _deliver(
        self, repository: str, blob: Blob, mount_from: str
    ) -> Literal["mounted", "uploaded"]:
        place = self._start_upload(repository, blob, mount_from)
        if not place:
            return "mounted"
        what = f"upload {blob.digest} to {self.host}/{repository}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
        with self._send(Request("PATCH", place, what, headers, blob.open), (repository,)) as got:
            place = self._location(place, got.headers.get("Location", ""), what)
        end = f"{place}{'&' if '?' in place else '?'}{_query(digest=blob.digest)}"
        with self._send(Request("PUT", end, what, {"Content-Length": "0"}), (repository,)):
            return "uploaded"

    def _start_upload(self, repository: str, blob: Blob, mount_from: str) -> str:
        """Where to upload, "" when that is not needed any more."""
        wish = "?" + _query(**{"mount": blob.digest, "from": mount_from}) if mount_from else ""
        path = f"blobs/uploads/{wish}"
        request = self._request("POST", repository, path, {"Content-Length": "0"})
        scope = (repository, mount_from) if mount_from else (repository,)
        with self._send(request, scope) as answer:
            if answer.status == 201:
                return ""
            return self._location(request.url, answer.headers.get("Location", ""), request.what)

    def _location(self, base: str, given: str, what: str) -> str:
        """Where an upload goes on. Our token goes there too, so it must be the same registry."""
        place = urllib.parse.urljoin(base, given)
        here, there = urllib.parse.urlsplit(self._root), urllib.parse.urlsplit(place)
        if not given or here.hostname != there.hostname or here.scheme != there.scheme:
            raise PermanentError(f"{what}: the registry sends the upload elsewhere")
        return place

    def _request(
        self,
        method: str,
        repository: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
    ) -> Request:
        verb = {"GET": "read", "HEAD": "look for"}.get(method, "write")
        what = f"{verb} {path.partition('?')[0]} of {self.host}/{repository}"
        return Request(method, f"{self._root}/v2/{repository}/{path}", what, headers or {}, body)

    @contextlib.contextmanager
    def _retried(self, request: Request, repository: str) -> Iterator[Any]:
        """The answer to a request; only the asking is tried again, not the reading."""
        with contextlib.ExitStack() as stack:
            yield retried(
                lambda: stack.enter_context(self._send(request, (repository,))), self._pause
            )

    @contextlib.contextmanager
    def _send(self, request: Request, scope: tuple[str, ...]) -> Iterator[Any]:
        """One try; a registry that asks who we are is told once."""
        with self._lock:
            known = self._granted.get(scope, "")
        with contextlib.ExitStack() as stack:
            try:
                answer = stack.enter_context(exchange(request, known))
            except Unauthorized as asked:
                answer = stack.enter_context(self._authorized(request, scope, asked))
            yield answer

    @contextlib.contextmanager
    def _authorized(
        self, request: Request, scope: tuple[str, ...], asked: Unauthorized
    ) -> Iterator[Any]:
        granted = _auth.authorization(asked.challenges, self._credentials, self.host)
        try:
            with exchange(request, granted) as answer:
                with self._lock:
                    self._granted[scope] = granted
                yield answer
        except Unauthorized as again:
            raise AccessError(again.error.message, hint=_auth.login_hint(self.host)) from None


_ACCEPT: Final = {"Accept": ", ".join((*MANIFESTS, *INDEXES))}


def _query(**values: str) -> str:
    return urllib.parse.urlencode(values)


def _document(data: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise PermanentError(f"{what}: it is not a JSON object")
    return document


def _verified(pieces: Iterable[bytes], digest: str, size: int, what: str) -> Iterator[bytes]:
    """The pieces; TemporaryError at the end when they are not what the digest and size say."""
    seen, count = hashlib.sha256(), 0
    for piece in pieces:
        count += len(piece)
        seen.update(piece)
        if count > size:
            break
        yield piece
    if count != size or f"sha256:{seen.hexdigest()}" != digest:
        raise TemporaryError(f"{what}: {count} of {size} bytes came, or others than {digest}")
