"""How a registry wants to be convinced: Basic, or a Bearer token from a server that it names."""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bridge.errors import AccessError, PermanentError
from bridge.images._http import Request, Unauthorized, exchange, is_loopback, whole
from bridge.images.model import Credentials

REFRESH: Final = "<token>"  # the user name that says: the password is a refresh token
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_CLIENT: Final = "oscar-bridge"


@dataclass(frozen=True, slots=True)
class Challenge:
    """One WWW-Authenticate header."""

    scheme: str
    parameters: Mapping[str, str]

    @classmethod
    def parse(cls, header: str) -> Challenge:
        """Read a header."""
        scheme, _, rest = header.partition(" ")
        return cls(scheme.lower(), dict(_PARAMETER.findall(rest)))


def authorization(challenges: tuple[str, ...], credentials: Credentials | None, host: str) -> str:
    """The value of the Authorization header that answers a 401 of `host`.

    AccessError when there are no credentials for it or its token server refuses them; "" when the
    challenge is of no kind that we know.
    """
    for challenge in map(Challenge.parse, challenges):
        if challenge.scheme == "bearer":
            return f"Bearer {_token(challenge, credentials, host)}"
        if challenge.scheme == "basic":
            return _basic(credentials, host)
    return ""


def login_hint(host: str) -> str:
    """What to do when a registry refuses."""
    return f"log in with: docker login {host}"


def _basic(credentials: Credentials | None, host: str) -> str:
    if credentials is None:
        raise AccessError(f"the registry {host} asks for credentials", hint=login_hint(host))
    return _basic_header(credentials)


def _basic_header(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password.reveal()}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _token(challenge: Challenge, credentials: Credentials | None, host: str) -> str:
    request, header = _token_request(challenge, credentials, host)
    try:
        with exchange(request, header) as answer:
            document = json.loads(whole(answer, request.what))
    except Unauthorized as refused:
        raise AccessError(refused.error.message, hint=login_hint(host)) from None
    except ValueError:
        raise PermanentError(f"{request.what}: the answer is not JSON") from None
    token = document.get("token") or document.get("access_token")
    if not isinstance(token, str):
        raise PermanentError(f"{request.what}: the answer has no token")
    return token


def _token_request(
    challenge: Challenge, credentials: Credentials | None, host: str
) -> tuple[Request, str]:
    realm, what = _realm(challenge, host), f"get a token for the registry {host}"
    asked = {"service": challenge.parameters.get("service", "")}
    scopes = [("scope", scope) for scope in challenge.parameters.get("scope", "").split()]
    if credentials is not None and credentials.username == REFRESH:
        form = [*asked.items(), ("grant_type", "refresh_token"), ("client_id", _CLIENT)]
        form += [("scope", challenge.parameters.get("scope", ""))]
        form += [("refresh_token", credentials.password.reveal())]
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return Request("POST", realm, what, kind, urllib.parse.urlencode(form).encode()), ""
    query = urllib.parse.urlencode([*asked.items(), *scopes])
    header = _basic_header(credentials) if credentials else ""
    return Request("GET", f"{realm}{'&' if '?' in realm else '?'}{query}", what), header


def _realm(challenge: Challenge, host: str) -> str:
    """The token server's address; a password is never sent to it in clear."""
    realm = challenge.parameters.get("realm", "")
    parts = urllib.parse.urlsplit(realm)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.netloc)):
        return realm
    raise AccessError(f"the registry {host} names a token server that is not reached through https")
