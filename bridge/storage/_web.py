"""Requests over the standard library, which all stores without a client of their own share."""

from __future__ import annotations

import http.client
import random
import ssl
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, BinaryIO, TypeVar
from urllib.parse import quote, urlsplit

from bridge.errors import PermanentError, StorageUnavailable
from bridge.storage._errors import Answer, Subject, answer_error
from bridge.storage._files import whole_file

if TYPE_CHECKING:
    from bridge.storage.protocol import StrPath

T = TypeVar("T")
Receive = Callable[[http.client.HTTPResponse], T]

BLOCK = 1 << 20
ERROR_BYTES = 65536
_TRIES = 5
_FIRST_DELAY = 0.1
_TIMEOUT = 60.0
_MOVED = frozenset({301, 302, 303, 307, 308})


def connect(
    host: str, *, secure: bool, verify: bool = True, authority: str = ""
) -> http.client.HTTPConnection:
    """A connection that is opened by its first request; `authority` is a PEM file."""
    if not secure:
        return http.client.HTTPConnection(host, timeout=_TIMEOUT)
    context = ssl.create_default_context(cafile=authority or None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, timeout=_TIMEOUT, context=context)


def tried(once: Callable[[], T]) -> T:
    """The answer of a request that may be sent again, with growing pauses in between."""
    delay = _FIRST_DELAY
    for left in range(_TRIES - 1, -1, -1):
        try:
            return once()
        except StorageUnavailable:
            if not left:
                raise
        time.sleep(delay * (0.5 + random.random()))  # noqa: S311 - jitter is not a secret
        delay *= 2
    raise AssertionError("the last try returns or raises")


def rfc3339(date: str) -> str:
    """An HTTP date as 2026-01-01T00:00:00Z, "" for none."""
    if not date:
        return ""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.strptime(date, "%a, %d %b %Y %H:%M:%S GMT"))


class Site:
    """A server that is asked over HTTP, with `headers` in each request.

    PermanentError for an address that is neither a host nor an http:// or https:// URL.
    """

    def __init__(self, provider: str, field: str, given: object, headers: Mapping[str, str]):
        text = str(given or "").rstrip("/")
        if not text:
            raise PermanentError(f"storage provider {provider} has no {field}")
        url = urlsplit(text if "://" in text else f"https://{text}")
        if url.scheme not in ("http", "https") or not url.hostname or url.username is not None:
            raise PermanentError(
                f"the {field} of {provider} is neither a host nor an http:// or https:// URL",
                hint="credentials have fields of their own",
            )
        self._secure = url.scheme == "https"
        self._host = url.netloc
        self._headers = headers
        self.base = url.path

    def once(
        self,
        subject: Subject,
        method: str,
        path: str,
        receive: Receive[T],
        *,
        query: str = "",
        body: bytes | BinaryIO | None = None,
        headers: Mapping[str, str] | None = None,
        also: frozenset[int] = frozenset(),
    ) -> T:
        """One request; `path` is not encoded yet, `also` are answers as good as success."""
        url, given = f"{self.base}/{quote(path)}{query}", {**self._headers, **(headers or {})}
        connection = connect(self._host, secure=self._secure)
        try:
            connection.request(method, url, body=body, headers=given)
            answer = connection.getresponse()
            if method == "GET" and answer.status in _MOVED:
                # dCache sends readers on to the machine with the file, with a ticket in the URL.
                connection.close()
                connection, answer = _elsewhere(answer, subject)
            if answer.status >= 300 and answer.status not in also:
                answer.read(ERROR_BYTES)
                raise answer_error(Answer(answer.status), subject)
            return receive(answer)
        except (OSError, http.client.HTTPException) as error:
            name = type(error).__name__
            raise StorageUnavailable(f"cannot {subject}: {name}") from error
        finally:
            connection.close()


def _elsewhere(
    answer: http.client.HTTPResponse, subject: Subject
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """The answer of where the server sent us, which gets none of our credentials."""
    url = urlsplit(answer.headers.get("location", ""))
    if url.scheme not in ("http", "https") or not url.netloc:
        raise PermanentError(f"cannot {subject}: the server sent us to nowhere")
    connection = connect(url.netloc, secure=url.scheme == "https")
    connection.request("GET", f"{url.path}?{url.query}" if url.query else url.path)
    return connection, connection.getresponse()


def into(target: StrPath, size: int, subject: Subject) -> Receive[None]:
    """Writes an answer of so many bytes into a file; StorageUnavailable when they are not those."""

    def receive(answer: http.client.HTTPResponse) -> None:
        with whole_file(target) as file:
            while block := answer.read(BLOCK):
                file.write(block)
            if file.tell() != size:
                raise StorageUnavailable(f"cannot {subject}: it changed or was cut off")

    return receive


def nothing(_: http.client.HTTPResponse) -> None:
    """Takes no notice of an answer."""
