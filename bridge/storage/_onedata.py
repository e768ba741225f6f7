"""Objects as files of a Onedata space, by the REST interface of a Oneprovider from 21.02.5 on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

from bridge.errors import AccessError, NotFoundError, PermanentError, UnsafePathError
from bridge.secret import Secret
from bridge.storage._errors import Subject
from bridge.storage._files import open_source
from bridge.storage._keys import is_path
from bridge.storage._tree import walk
from bridge.storage._web import Receive, Site, into, nothing, tried
from bridge.storage.protocol import ObjectInfo

if TYPE_CHECKING:
    from bridge.storage.protocol import StrPath

T = TypeVar("T")

_API = "api/v3/oneprovider"
_JSON = {"Content-Type": "application/json"}
_ATTRIBUTES = json.dumps({"attributes": ["fileId", "name", "type", "size", "mtime"]}).encode()
_PAGE = 1000
_FILE = "REG"


class _File(NamedTuple):
    """What the Oneprovider says of a file or a folder."""

    id: str
    folder: bool
    size: int
    changed: int


class OnedataStore:
    """A `Store` on one space; a bucket is a folder at its top. Safe to use from several threads.

    `put` makes the folders that are missing, the bucket too. Keys that are no relative paths are
    refused with UnsafePathError. Not kept: metadata. There are no ETags: they are made of size and
    time of change in seconds, so a change within one second that keeps the size is not seen.
    """

    def __init__(self, provider: str, settings: Mapping[str, Any], secrets: Mapping[str, Any]):
        self._provider = provider
        self._space = str(settings.get("space") or "")
        if not self._space:
            raise PermanentError(f"storage provider {provider} has no space")
        token = secrets.get("token")
        said = token.reveal() if isinstance(token, Secret) else str(token or "")
        if not said:
            raise AccessError(f"no token for {provider}", hint="give the token of an access")
        host = settings.get("oneprovider_host")
        self._site = Site(provider, "oneprovider_host", host, {"X-Auth-Token": said})

    def get(self, bucket: str, key: str, target: StrPath) -> ObjectInfo:
        """See `Store.get`."""
        subject = self._subject("read", bucket, key)

        def once() -> ObjectInfo:
            file = self._file(subject)
            self._ask(subject, "GET", f"data/{file.id}/content", into(target, file.size, subject))
            return _info(bucket, key, file)

        return tried(once)

    def put(
        self, bucket: str, key: str, source: StrPath, *, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """See `Store.put`; `metadata` is not kept."""
        del metadata
        subject = self._subject("write", bucket, key)
        with open_source(source) as file:
            length = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
            length |= {"Content-Type": "application/octet-stream"}

            def once() -> None:
                file.seek(0)
                path = f"data/{self._made(subject)}/content"
                self._ask(subject, "PUT", path, nothing, body=file, headers=length)

            tried(once)
        return self.head(bucket, key)

    def list(self, bucket: str, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See `Store.list`; two requests for each folder, and one more for each 1,000 names."""
        self._subject("list", bucket, "")
        folder, slash, _ = prefix.rpartition("/")
        if slash and not is_path(folder):
            return
        try:
            inside = partial(self._children, bucket)
            for key, file in walk(inside, f"{folder}{slash}", prefix, start_after):
                yield _info(bucket, key, file)
        except NotFoundError:
            if not slash:
                raise

    def head(self, bucket: str, key: str) -> ObjectInfo:
        """See `Store.head`."""
        subject = self._subject("look at", bucket, key)
        return _info(bucket, key, tried(lambda: self._file(subject)))

    def delete(self, bucket: str, key: str) -> None:
        """See `Store.delete`."""
        subject = self._subject("delete", bucket, key)
        try:
            tried(lambda: self._ask(subject, "DELETE", f"data/{self._id(subject)}", nothing))
        except NotFoundError:
            return

    # --- parts ------------------------------------------------------------------------------

    def _subject(self, doing: str, bucket: str, key: str) -> Subject:
        if "/" in bucket or not is_path(bucket) or (doing != "list" and not is_path(key)):
            raise UnsafePathError(f"{bucket}/{key!r} cannot be a file of {self._provider}")
        return Subject(self._provider, doing, bucket, key)

    def _id(self, subject: Subject) -> str:
        where = "/".join(part for part in (self._space, subject.bucket, subject.key) if part)
        return str(self._json(subject, "POST", f"lookup-file-id/{where}")["fileId"])

    def _file(self, subject: Subject) -> _File:
        """A file; NotFoundError when it is a folder."""
        found = _read(self._json(subject, "GET", f"data/{self._id(subject)}", body=_ATTRIBUTES))
        if found.folder:
            raise NotFoundError(f"cannot {subject}: it is not a file")
        return found

    def _made(self, subject: Subject) -> str:
        """The id of a file that is there, or is made now."""
        try:
            return self._id(subject)
        except NotFoundError:
            top = self._id(Subject(self._provider, subject.doing, "", ""))
            path = f"data/{top}/path/{subject.bucket}/{subject.key}"
            query = f"?type={_FILE}&create_parents=true"
            return str(self._json(subject, "PUT", path, query=query, body=b"")["fileId"])

    def _children(self, bucket: str, folder: str) -> Iterator[tuple[str, _File]]:
        subject = self._subject("list", bucket, folder.rstrip("/"))
        path = f"data/{tried(lambda: self._id(subject))}/children"
        query = f"?limit={_PAGE}"
        while True:
            ask = partial(self._json, subject, "GET", path, query=query, body=_ATTRIBUTES)
            page = tried(ask)
            for one in page["children"]:
                if is_path(name := str(one["name"])) and "/" not in name:
                    yield f"{folder}{name}" + ("/" if _read(one).folder else ""), _read(one)
            token = page.get("nextPageToken")
            if page.get("isLast", True) or not token:
                return
            query = f"?limit={_PAGE}&token={quote(str(token), safe='')}"

    def _json(self, subject: Subject, method: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            found = self._ask(subject, method, path, json.load, headers=_JSON, **more)
        except ValueError as error:
            raise PermanentError(f"cannot {subject}: the answer is not a Oneprovider's") from error
        return found if isinstance(found, dict) else {}

    def _ask(self, subject: Subject, method: str, path: str, receive: Receive[T], **more: Any) -> T:
        return self._site.once(subject, method, f"{_API}/{path}", receive, **more)


def _read(value: Mapping[str, Any]) -> _File:
    size, changed = value.get("size") or 0, value.get("mtime") or 0
    return _File(str(value.get("fileId", "")), value.get("type") != _FILE, int(size), int(changed))


def _info(bucket: str, key: str, file: _File) -> ObjectInfo:
    modified = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(file.changed))
    return ObjectInfo(bucket, key, file.size, f"{file.size}-{file.changed}", "", modified)
