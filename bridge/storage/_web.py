"""Requests over the standard library, which all stores without a client of their own share."""

from __future__ import annotations

import http.client
import random
import ssl
import time
from collections.abc import Callable
from typing import TypeVar

from bridge.errors import StorageUnavailable

T = TypeVar("T")

BLOCK = 1 << 20
ERROR_BYTES = 65536
_TRIES = 5
_FIRST_DELAY = 0.1
_TIMEOUT = 60.0


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
