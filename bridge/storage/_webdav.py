"""Objects as files of a WebDAV server (RFC 4918), such as dCache's: a bucket is a top folder."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

from bridge.errors import NotFoundError, PermanentError, StorageUnavailable, UnsafePathError
from bridge.secret import Secret
from bridge.storage._errors import Subject
from bridge.storage._files import open_source
from bridge.storage._keys import is_path
from bridge.storage._tree import walk
from bridge.storage._web import Receive, Site, into, nothing, rfc3339, tried
from bridge.storage.protocol import ObjectInfo

if TYPE_CHECKING:
    from bridge.storage.protocol import StrPath

T = TypeVar("T")

_DAV = "{DAV:}"
_ASKED = (
    b'<?xml version="1.0"?><propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/>'
    b"<getetag/><getlastmodified/></prop></propfind>"
)
# A folder that is there already: RFC 4918 says 405, some servers say 409 or 301.
_THERE = frozenset({201, 301, 405})


class _Entry(NamedTuple):
    """A file or a folder; `path` is decoded, relative to the server's URL, without slashes."""

    path: str
    folder: bool
    size: int
    etag: str
    modified: str


class WebdavStore:
    """A `Store` on a WebDAV server. Safe to use from several threads.

    `put` makes the folders that are missing, the bucket too. Keys that are no relative paths are
    refused with UnsafePathError. Not kept: metadata. Where the server has no ETags, they are made
    of size and time of change. What a broken `put` has left is removed, where the server answers.
    """

    def __init__(self, provider: str, settings: Mapping[str, Any], secrets: Mapping[str, Any]):
        self._provider = provider
        self._site = Site(provider, "hostname", settings.get("hostname"), _login(secrets))

    def get(self, bucket: str, key: str, target: StrPath) -> ObjectInfo:
        """See `Store.get`."""
        subject = self._subject("read", bucket, key)

        def once() -> ObjectInfo:
            info = self.head(bucket, key)
            self._once(subject, "GET", into(target, info.size, subject))
            return info

        return tried(once)

    def put(
        self, bucket: str, key: str, source: StrPath, *, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """See `Store.put`; `metadata` is not kept."""
        del metadata
        subject = self._subject("write", bucket, key)
        with open_source(source) as file:
            size = os.fstat(file.fileno()).st_size
            try:
                tried(lambda: self._put(subject, file, size))
                info = self.head(bucket, key)
                if info.size != size:
                    raise StorageUnavailable(f"cannot {subject}: only a part of it arrived")
            except StorageUnavailable:
                self._remove_part(bucket, key)
                raise
        return info

    def list(self, bucket: str, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See `Store.list`; one request for each folder."""
        self._subject("list", bucket, "")
        folder, slash, _ = prefix.rpartition("/")
        if slash and not is_path(folder):
            return
        try:
            inside = partial(self._children, bucket)
            for key, entry in walk(inside, f"{folder}{slash}", prefix, start_after):
                yield _info(bucket, key, entry)
        except NotFoundError:
            if not slash:
                raise

    def head(self, bucket: str, key: str) -> ObjectInfo:
        """See `Store.head`."""
        subject = self._subject("look at", bucket, key)
        for entry in self._entries(subject, "0"):
            if not entry.folder:
                return _info(bucket, key, entry)
        raise NotFoundError(f"cannot {subject}: it is not a file")

    def delete(self, bucket: str, key: str) -> None:
        """See `Store.delete`."""
        try:
            subject = self._subject("delete", bucket, key)
            tried(lambda: self._once(subject, "DELETE", nothing))
        except NotFoundError:
            return

    # --- parts ------------------------------------------------------------------------------

    def _subject(self, doing: str, bucket: str, key: str) -> Subject:
        bad = "/" in bucket or not is_path(bucket) or (doing != "list" and not is_path(key))
        if bad:
            raise UnsafePathError(f"{bucket}/{key!r} cannot be a file of {self._provider}")
        return Subject(self._provider, doing, bucket, key)

    def _put(self, subject: Subject, file: BinaryIO, size: int) -> None:
        headers = {"Content-Length": str(size)}

        def send() -> None:
            file.seek(0)
            self._once(subject, "PUT", nothing, body=file, headers=headers)

        try:
            send()
        except (NotFoundError, PermanentError):
            # What is missing may be the folders: servers say 404, 409 or 403.
            self._make_folders(subject)
            send()

    def _make_folders(self, subject: Subject) -> None:
        parts = [subject.bucket, *subject.key.split("/")[:-1]]
        for count in range(1, len(parts) + 1):
            folder = Subject(self._provider, "make the folders of", parts[0], subject.key)
            self._site.once(folder, "MKCOL", "/".join(parts[:count]), nothing, also=_THERE)

    def _remove_part(self, bucket: str, key: str) -> None:
        # The error that brought us here is the one to report.
        try:
            self._once(self._subject("delete", bucket, key), "DELETE", nothing)
        except (NotFoundError, PermanentError, StorageUnavailable):
            return

    def _children(self, bucket: str, folder: str) -> Iterator[tuple[str, _Entry]]:
        subject = self._subject("list", bucket, folder.rstrip("/"))
        for entry in self._entries(subject, "1"):
            key = entry.path.removeprefix(f"{bucket}/")
            name = key.removeprefix(folder)
            # Directly in the folder, whatever else a server may say of it.
            if entry.path == f"{bucket}/{folder}{name}" and is_path(name) and "/" not in name:
                yield key + ("/" if entry.folder else ""), entry

    def _entries(self, subject: Subject, depth: str) -> tuple[_Entry, ...]:
        headers = {"Depth": depth, "Content-Type": "application/xml"}
        page = tried(
            lambda: self._once(
                subject, "PROPFIND", lambda answer: answer.read(), body=_ASKED, headers=headers
            )
        )
        try:
            root = ElementTree.fromstring(page)  # noqa: S314  expat bounds entity expansion
        except ElementTree.ParseError as error:
            raise PermanentError(f"cannot {subject}: the answer is not WebDAV's") from error
        return tuple(self._entry(one) for one in root.iter(f"{_DAV}response"))

    def _entry(self, response: ElementTree.Element) -> _Entry:
        path = unquote(urlsplit(response.findtext(f"{_DAV}href", "")).path)
        base = unquote(self._site.base)
        within = path.removeprefix(base) if path.startswith(f"{base}/") else path
        said = {one.tag: one for one in response.iter() if one.text or len(one)}

        def text(name: str) -> str:
            found = said.get(_DAV + name)
            return (found.text or "").strip() if found is not None else ""

        size, modified = text("getcontentlength"), rfc3339(text("getlastmodified"))
        etag = text("getetag").removeprefix("W/").strip('"')
        return _Entry(
            within.strip("/"),
            response.find(f".//{_DAV}resourcetype/{_DAV}collection") is not None,
            int(size) if size.isdecimal() else 0,
            etag or f"{size}-{modified}",
            modified,
        )

    def _once(self, subject: Subject, method: str, receive: Receive[T], **more: Any) -> T:
        where = "/".join(part for part in (subject.bucket, subject.key) if part)
        return self._site.once(subject, method, where, receive, **more)


def _login(secrets: Mapping[str, Any]) -> dict[str, str]:
    user, password = (_plain(secrets.get(name)) for name in ("login", "password"))
    if not user and not password:
        return {}
    return {"Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}


def _plain(value: object) -> str:
    return value.reveal() if isinstance(value, Secret) else str(value or "")


def _info(bucket: str, key: str, entry: _Entry) -> ObjectInfo:
    return ObjectInfo(bucket, key, entry.size, entry.etag, "", entry.modified)
