"""The head of an HTTP request, read strictly: what can be taken in two ways is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_VERSIONS = {"HTTP/1.1": True, "HTTP/1.0": False}
_MOST_DIGITS = 18


class Refused(Exception):
    """A request that is answered with a status of 400 and above and does not run the script."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


class Head(NamedTuple):
    """A request without its body. Names of headers are in small letters.

    `length` is that of the body in bytes, None when it comes in chunks. `lasts` says that the
    connection may serve another request.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    length: int | None
    lasts: bool

    @property
    def waits(self) -> bool:
        """True when the client sends the body only after it was asked for it."""
        return self.headers.get("expect", "").lower() == "100-continue"


def parse_head(block: bytes) -> Head:
    """Read a head without the empty line at its end; Refused when it is not plain HTTP/1."""
    first, *lines = block.split(b"\r\n")
    try:
        method, target, version = first.decode("ascii").split(" ")
    except ValueError:
        raise Refused(400, "the request's first line is not HTTP") from None
    if version not in _VERSIONS:
        raise Refused(505, "this server speaks HTTP/1.1")
    headers = _headers(lines)
    path, _, query = target.partition("?")
    close = "close" in headers.get("connection", "").lower()
    return Head(method, path, query, headers, _length(headers), _VERSIONS[version] and not close)


def _headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or not _TOKEN.issuperset(name) or b"\n" in value or b"\r" in value:
            raise Refused(400, "a header of the request is not HTTP")
        key, text = name.decode("ascii").lower(), value.strip(b" \t").decode("latin-1")
        if key in headers and key in ("content-length", "transfer-encoding"):
            raise Refused(400, f"the request has {key} twice")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _length(headers: Mapping[str, str]) -> int | None:
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if length is not None:
            raise Refused(400, "the request has both content-length and transfer-encoding")
        if coding.lower() != "chunked":
            raise Refused(501, f"the transfer-encoding {coding[:40]!r} is not known")
        return None
    if length is None:
        return 0
    if not (length.isascii() and length.isdigit() and len(length) <= _MOST_DIGITS):
        raise Refused(400, "content-length is not a number")
    return int(length)
