"""Who asks: OSCAR's three kinds of credentials, and where a further kind plugs in."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from bridge.secret import Secret

__all__ = [
    "ADMIN",
    "Authenticator",
    "Basic",
    "Caller",
    "Refused",
    "bearer",
    "is_pair",
    "is_service_token",
    "user_of",
]

_TOKEN_LENGTH: Final = 64
_HEX: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who has proved who they are. `uid` is the owner of what they make.

    `by_token` is somebody with a service's token, who calls in the name of the service's owner.
    """

    uid: str
    name: str
    admin: bool = False
    groups: frozenset[str] = field(default_factory=frozenset)
    by_token: bool = False


ADMIN: Final = Caller("cluster_admin", "oscar", admin=True)


class Refused(Exception):
    """The answer to somebody who may not: a status, a short text, headers."""

    def __init__(self, status: int, text: str = "", headers: Mapping[str, str] | None = None):
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = dict(headers or {})


class Authenticator(Protocol):
    """One way to prove who one is. Thread-safe; may ask others, so it may block."""

    def authenticate(self, authorization: str) -> Caller | None:
        """Who sent this header; None when it is no credential of this kind. Raises Refused."""
        ...


class Basic:
    """The one account of the cluster's administrator."""

    def __init__(self, user: str, password: Secret) -> None:
        self._user = user
        self._password = password

    def authenticate(self, authorization: str) -> Caller | None:
        """See Authenticator. A wrong name takes as long as a wrong password."""
        if bearer(authorization):
            return None
        if is_pair(authorization, self._user, self._password):
            return ADMIN
        raise Refused(401, headers={"WWW-Authenticate": 'Basic realm="Authorization Required"'})


def _pair(authorization: str) -> tuple[bytes, bytes]:
    """Name and password of a Basic header; empty ones when it is none."""
    kind, _, value = authorization.partition(" ")
    if kind.lower() != "basic":
        return b"", b""
    try:
        user, _, password = base64.b64decode(value.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return b"", b""
    return user, password


def user_of(authorization: str) -> str:
    """The name in a Basic header, "" for any other: nothing of it is proved."""
    return _pair(authorization)[0].decode(errors="replace")


def is_pair(authorization: str, user: str, password: Secret) -> bool:
    """Whether a Basic header has this name and password; wrong ones take as long as right ones."""
    name, word = _pair(authorization)
    right = [hmac.compare_digest(name, user.encode())]
    right.append(hmac.compare_digest(word, password.reveal().encode()))
    return all(right)


def bearer(authorization: str) -> str:
    """The token of a Bearer header; "" for any other."""
    kind, _, token = authorization.partition(" ")
    return token.strip() if kind == "Bearer" else ""


def is_service_token(token: str) -> bool:
    """Whether a token has the shape of a service's: it may still be of no service."""
    return len(token) == _TOKEN_LENGTH and _HEX.issuperset(token)
