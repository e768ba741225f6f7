"""Requests to a registry: bodies that stream both ways, and refusals as our errors.

No message has a URL in it: where a registry sends us for a blob, the address is signed.
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import ipaddress
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import IO, Final

from bridge.errors import AccessError, BridgeError, NotFoundError, PermanentError, TemporaryError

Chunks = Iterable[bytes]
Body = bytes | Callable[[], AbstractContextManager[Chunks]] | None

_SECONDS: Final = 60.0
_LARGEST: Final = 16 * 1024 * 1024  # of what is read whole: manifests, configurations, tokens
_LARGEST_ERROR: Final = 64 * 1024
_CHUNK: Final = 1024 * 1024
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `what` says in a message what is being done. A body that is not bytes is opened
    anew for every try; its size is in `headers`."""

    method: str
    url: str
    what: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = None


class Unauthorized(Exception):
    """Status 401, with what the registry asks for."""

    def __init__(self, challenges: tuple[str, ...], error: AccessError) -> None:
        super().__init__(error.message)
        self.challenges = challenges
        self.error = error


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Redirects that keep HEAD a HEAD, as an address that is signed for HEAD demands."""

    def redirect_request(self, req, *rest):  # type: ignore[no-untyped-def]  # as in the base class
        made = super().redirect_request(req, *rest)
        if made is not None and req.get_method() == "HEAD":
            made.method = "HEAD"
        return made


_OPENER: Final = urllib.request.build_opener(_Redirects)


@contextlib.contextmanager
def exchange(request: Request, authorization: str = "") -> Iterator[http.client.HTTPResponse]:
    """Send and give the answer, whose body is still to be read.

    Unauthorized for status 401; AccessError, NotFoundError, TemporaryError or PermanentError for
    other refusals, TemporaryError also when the connection breaks, even inside the block.
    """
    try:
        with _opened(request.body) as data:
            made = urllib.request.Request(  # noqa: S310  (our own scheme: http or https)
                request.url,
                data=data,
                headers=dict(request.headers),
                method=request.method,
            )
            if authorization:  # not sent on to where the registry redirects us
                made.add_unredirected_header("Authorization", authorization)
            with _OPENER.open(made, timeout=_SECONDS) as answer:
                yield answer
    except urllib.error.HTTPError as refusal:
        with refusal:
            raise _refused(request.what, refusal) from None
    except (OSError, http.client.HTTPException) as broken:
        reason = getattr(broken, "reason", broken)
        raise TemporaryError(f"{request.what}: {reason}") from broken


def whole(answer: http.client.HTTPResponse, what: str) -> bytes:
    """The body of an answer that must be small. PermanentError when it is not."""
    data = answer.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise PermanentError(f"{what}: the answer has more than {_LARGEST} bytes")
    return data


def chunks(source: http.client.HTTPResponse | IO[bytes]) -> Iterator[bytes]:
    """An answer's body or a file, piece by piece."""
    while piece := source.read(_CHUNK):
        yield piece


def is_loopback(host: str) -> bool:
    """Whether a host (and port) is this machine by its name; only there is plain HTTP spoken."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name == "localhost"


@contextlib.contextmanager
def _opened(body: Body) -> Iterator[bytes | Chunks | None]:
    if body is None or isinstance(body, bytes):
        yield body
    else:
        with body() as pieces:
            yield pieces


def _refused(what: str, refusal: urllib.error.HTTPError) -> Exception:
    message = f"{what}: {_explanation(refusal)}"
    if refusal.code == 401:
        asked = tuple(refusal.headers.get_all("WWW-Authenticate") or ())
        return Unauthorized(asked, AccessError(message))
    return _error(refusal, message)


def _error(refusal: urllib.error.HTTPError, message: str) -> BridgeError:
    if refusal.code == 403:
        return AccessError(message)
    if refusal.code == 404:
        return NotFoundError(message)
    if refusal.code in _PASSING:
        return TemporaryError(message, delay=_delay(refusal.headers.get("Retry-After", "")))
    return PermanentError(message)


def _explanation(refusal: urllib.error.HTTPError) -> str:
    """The registry's own words, or the status."""
    status = f"status {refusal.code}"
    try:
        errors = json.loads(refusal.read(_LARGEST_ERROR))["errors"]
        said = "; ".join(f"{e.get('message') or ''} [{e.get('code')}]".strip() for e in errors)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return status
    return f"{said} ({status})" if said else status


def _delay(header: str) -> float:
    """Seconds to wait by a Retry-After header, which has seconds or a date; 1 without one."""
    if header.strip().isdigit():
        return float(header)
    try:
        moment = email.utils.parsedate_to_datetime(header).timestamp()
    except ValueError:
        return 1.0
    return max(moment - time.time(), 0.0)
