"""One issuer of tokens: the keys that it signs with, and what it says of its users.

It is asked by threads of its own. Whoever waits for an answer waits a short time, and only so many
wait at once: an issuer that hangs must not hold the threads that answer everybody else.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPException, HTTPResponse
from typing import Any, Final, TypeVar
from urllib.error import HTTPError

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from bridge.errors import TemporaryError

__all__ = ["Issuer"]

T = TypeVar("T")

# What issuers sign with; nothing symmetric, and not `none`.
_ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
# Seconds: for each answer of the issuer, and for who waits for what it says.
_TIMEOUT: Final = 5.0
_PATIENCE: Final = 3.0
_CALLS: Final = 4
_LARGEST: Final = 1 << 20
_BLOCK: Final = 1 << 16
_REFRESH: Final = 30.0
_PAUSE: Final = 5.0
_USERS: Final = 10_000


class Issuer:
    """See the module. Thread-safe; at most `waiting` callers wait for it at once."""

    def __init__(self, url: str, clock: Callable[[], float], *, waiting: int) -> None:
        self._url = url.rstrip("/")
        self._clock = clock
        self._calls = ThreadPoolExecutor(_CALLS, "issuer")
        self._places = threading.Semaphore(waiting)
        self._lock = threading.Lock()
        self._fetch: Future[KeySet] | None = None
        self._document: Mapping[str, Any] = {}
        self._keys: KeySet | None = None
        self._read = 0.0
        self._again = 0.0
        self._users: dict[str, tuple[float, Mapping[str, Any]]] = {}

    def decode(self, token: str) -> jwt.Token:
        """The token when it is signed by the issuer; JoseError when not, TemporaryError when its
        keys are not known now."""
        try:
            return jwt.decode(token, self._known(), algorithms=_ALGORITHMS)
        except InvalidKeyIdError:
            # The issuer may sign with a new key.
            return jwt.decode(token, self._known(newer=True), algorithms=_ALGORITHMS)

    def user(self, token: str, uid: str) -> Mapping[str, Any]:
        """What the issuer says of the user beside the token, whose keys are known; nothing where it
        does not say. TemporaryError when it does not answer."""
        known = self._users.get(uid)
        if known is not None and known[0] > self._clock():
            return known[1]
        url = str(self._document.get("userinfo_endpoint") or "")
        if not url:
            return {}
        try:
            return self._waited(lambda: self._calls.submit(self._told, url, token, uid))
        except _Declined:
            # Not every token is for it, and another one of his may be.
            return {}

    def _told(self, url: str, token: str, uid: str) -> Mapping[str, Any]:
        found = _get(url, token)
        # Somebody else's answer would let this user in as him.
        kept = found if found.get("sub") == uid else {}
        now = self._clock()
        with self._lock:
            if len(self._users) >= _USERS:
                self._users = {k: v for k, v in self._users.items() if v[0] > now}
            self._users[uid] = now + _REFRESH, kept
        return kept

    def _known(self, *, newer: bool = False) -> KeySet:
        # Those whose key is known do not wait for an answer that others need.
        keys = self._keys
        fresh = not newer or self._clock() - self._read <= _REFRESH
        return keys if keys is not None and fresh else self._waited(self._fetching)

    def _fetching(self) -> Future[KeySet]:
        """The one fetch of the keys that is under way; not at once again when there was no
        answer."""
        with self._lock:
            if self._fetch is None:
                if self._clock() < self._again:
                    said = f"{self._url} did not answer a moment ago"
                    raise TemporaryError(said, delay=_PAUSE)
                self._fetch = self._calls.submit(self._fetched)
            return self._fetch

    def _fetched(self) -> KeySet:
        try:
            document, keys = self._asked()
        except BaseException:
            with self._lock:
                self._again, self._fetch = self._clock() + _PAUSE, None
            raise
        with self._lock:
            self._document, self._keys, self._read = document, keys, self._clock()
            self._fetch = None
        return keys

    def _asked(self) -> tuple[Mapping[str, Any], KeySet]:
        try:
            document = _get(f"{self._url}/.well-known/openid-configuration")
            if str(document.get("issuer", "")).rstrip("/") != self._url:
                raise TemporaryError(f"{self._url} says that it is another issuer", delay=_PAUSE)
            found: Any = _get(str(document.get("jwks_uri")))
            return document, KeySet.import_key_set(found)
        except (JoseError, LookupError, TypeError, ValueError):
            said = f"{self._url} has no keys that can be read"
            raise TemporaryError(said, delay=_PAUSE) from None

    def _waited(self, ask: Callable[[], Future[T]]) -> T:
        """The answer, when there is a place to wait for it and it comes in time."""
        if not self._places.acquire(blocking=False):
            raise TemporaryError(f"too many wait for {self._url}", delay=_PAUSE)
        try:
            future = ask()
            try:
                return future.result(_PATIENCE)
            except TimeoutError:
                # The keys are fetched for all; what one has asked for nobody else would hear.
                if future is not self._fetch:
                    future.cancel()
                said = f"{self._url} does not answer in time"
                raise TemporaryError(said, delay=_PAUSE) from None
        finally:
            self._places.release()


class _Declined(TemporaryError):
    """The issuer answers, but not to this token."""


def _get(url: str, token: str = "") -> Mapping[str, Any]:
    """A JSON object; TemporaryError when it cannot be had."""
    if not url.startswith(("https://", "http://")):
        raise TemporaryError("the token's issuer names no address to ask", delay=_REFRESH)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  checked above
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            value = json.loads(_body(answer))
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        said = f"{url} cannot be asked: {type(error).__name__}"
        declined = isinstance(error, HTTPError) and error.code in (401, 403)
        raise (_Declined if declined else TemporaryError)(said, delay=_PAUSE) from None
    return value if isinstance(value, dict) else {}


def _body(answer: HTTPResponse) -> bytes:
    """What came in time: one who sends a little now and then would never be done."""
    found, end = bytearray(), time.monotonic() + _TIMEOUT
    while (block := answer.read1(_BLOCK)) and len(found) < _LARGEST:
        found += block
        if time.monotonic() > end:
            raise TimeoutError
    return bytes(found)
