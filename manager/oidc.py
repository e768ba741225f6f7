"""Users with tokens of OpenID Connect providers.

A provider is asked for its keys when the first token of it comes, and again when a token names a
key that is not known: a provider that does not answer at the start is no reason to refuse later.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.request
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from bridge.errors import TemporaryError
from manager.auth import ADMIN, Caller, Refused, bearer

__all__ = ["ANY_GROUP", "Oidc", "OidcSettings"]

ANY_GROUP: Final = "*"
_LOG: Final = logging.getLogger("manager")
# What providers sign with; nothing symmetric, and not `none`.
_ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
_TIMEOUT: Final = 10.0
_LARGEST: Final = 1 << 20
_REFRESH: Final = 30.0
_PAUSE: Final = 5.0
_EGI: Final = "urn:mace:egi.eu:group:"


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """Who may prove who they are, and how strictly; `skew` in seconds.

    A user must be in one of `groups`; ANY_GROUP among them lets everyone in, none of them nobody.
    `audience` is what a token must be for, "" for anything.
    """

    issuers: tuple[str, ...]
    groups: tuple[str, ...] = ()
    audience: str = ""
    skew: int = 60


class Oidc:
    """See Authenticator: takes Bearer tokens that are no service's."""

    def __init__(self, settings: OidcSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._providers = {one.rstrip("/"): _Provider(one, clock) for one in settings.issuers}

    def authenticate(self, authorization: str) -> Caller | None:
        """See Authenticator. TemporaryError when the provider cannot be asked."""
        token = bearer(authorization)
        if not token:
            return None
        issuer = str(_unverified(token).get("iss", "")).rstrip("/")
        provider = self._providers.get(issuer)
        if provider is None:
            raise Refused(401, "tokens of this issuer are not accepted here")
        claims = self._verified(token, provider)
        uid = claims.get("sub")
        # A provider that lets its users choose must not make one of them the administrator.
        if not isinstance(uid, str) or uid in ("", ADMIN.uid):
            raise Refused(401)
        groups = _groups(issuer, claims) or _groups(issuer, provider.user(token, uid))
        if not self._admits(groups):
            raise Refused(401)
        name = claims.get("name")
        return Caller(uid, name if isinstance(name, str) and name else uid, groups=groups)

    def _verified(self, token: str, provider: _Provider) -> Mapping[str, Any]:
        own = self._settings
        audience = {"aud": {"essential": True, "value": own.audience}} if own.audience else {}
        registry = jwt.JWTClaimsRegistry(
            now=lambda: int(self._clock()),
            leeway=own.skew,
            exp={"essential": True},
            **audience,  # type: ignore[arg-type]
        )
        try:
            claims: dict[str, Any] = provider.decode(token).claims
            registry.validate(claims)
        except (JoseError, ValueError, RecursionError) as error:
            _LOG.info("a token was refused: %s", type(error).__name__)
            raise Refused(401) from None
        return claims

    def _admits(self, groups: frozenset[str]) -> bool:
        wanted = self._settings.groups
        return ANY_GROUP in wanted or not groups.isdisjoint(wanted)


class _Provider:
    """One issuer: where its keys are, and the keys."""

    def __init__(self, issuer: str, clock: Callable[[], float]) -> None:
        self._issuer = issuer.rstrip("/")
        self._clock = clock
        self._lock = threading.Lock()
        self._document: Mapping[str, Any] = {}
        self._keys: KeySet | None = None
        self._read = 0.0
        self._again = 0.0
        self._users: dict[str, tuple[float, Mapping[str, Any]]] = {}

    def decode(self, token: str) -> jwt.Token:
        """The token when it is signed by the issuer; JoseError when not."""
        try:
            return jwt.decode(token, self._known(), algorithms=_ALGORITHMS)
        except InvalidKeyIdError:
            # The issuer may sign with a new key.
            return jwt.decode(token, self._known(newer=True), algorithms=_ALGORITHMS)

    def user(self, token: str, uid: str) -> Mapping[str, Any]:
        """What the issuer says of the user beside the token; nothing where it does not say."""
        now = self._clock()
        with self._lock:
            known = self._users.get(uid)
        if known is not None and known[0] > now:
            return known[1]
        url = str(self._document.get("userinfo_endpoint") or "")
        try:
            found = _get(url, token) if url else {}
        except _Declined:
            # Not every token is for it, and another one of his may be.
            return {}
        # Somebody else's answer would let this user in as him.
        kept = found if found.get("sub") == uid else {}
        with self._lock:
            self._users = {k: v for k, v in self._users.items() if v[0] > now}
            self._users[uid] = now + _REFRESH, kept
        return kept

    def _known(self, *, newer: bool = False) -> KeySet:
        # Those whose key is known do not wait for an answer that others need.
        if (keys := self._keys) is not None and not newer:
            return keys
        with self._lock:
            old = self._keys is None or (newer and self._clock() - self._read > _REFRESH)
            return self._fetched() if old or self._keys is None else self._keys

    def _fetched(self) -> KeySet:
        """The keys, asked for now; not at once again when there was no answer."""
        if self._clock() < self._again:
            raise TemporaryError(f"{self._issuer} did not answer a moment ago", delay=_PAUSE)
        try:
            document = _get(f"{self._issuer}/.well-known/openid-configuration")
            if str(document.get("issuer", "")).rstrip("/") != self._issuer:
                raise TemporaryError(f"{self._issuer} says that it is another issuer")
            keys = KeySet.import_key_set(_get(str(document.get("jwks_uri"))))  # type: ignore[arg-type]
        except (TemporaryError, JoseError, LookupError, TypeError, ValueError) as error:
            self._again = self._clock() + _PAUSE
            if isinstance(error, TemporaryError):
                raise
            said = f"{self._issuer} has no keys that can be read"
            raise TemporaryError(said, delay=_PAUSE) from None
        self._document, self._keys, self._read = document, keys, self._clock()
        return keys


def _unverified(token: str) -> Mapping[str, Any]:
    """The claims before anything is checked: they only say which issuer to ask."""
    try:
        _, payload, _ = token.split(".")
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        raise Refused(400, "the token is not a JWT") from None
    if not isinstance(claims, dict):
        raise Refused(400, "the token is not a JWT")
    return claims


def _groups(issuer: str, claims: Mapping[str, Any]) -> frozenset[str]:
    """The user's groups, where this kind of issuer says them."""
    if "/realms/egi" in issuer:
        said = claims.get("entitlements") or claims.get("eduperson_entitlement")
        named = [one for one in _texts(said) if one.startswith(_EGI)]
        return frozenset(one.removeprefix(_EGI).partition(":")[0].lower() for one in named)
    if "/realms/ai4eosc" in issuer:
        access = claims.get("realm_access")
        return _texts(access.get("roles") if isinstance(access, Mapping) else None)
    return _texts(claims.get("group_membership"))


def _texts(value: Any) -> frozenset[str]:
    return (
        frozenset(v for v in value if isinstance(v, str))
        if isinstance(value, list)
        else frozenset()
    )


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
            value = json.loads(answer.read(_LARGEST))
    except (OSError, HTTPException, ValueError) as error:
        said = f"{url} cannot be asked: {type(error).__name__}"
        declined = isinstance(error, HTTPError) and error.code in (401, 403)
        raise (_Declined if declined else TemporaryError)(said, delay=_PAUSE) from None
    return value if isinstance(value, dict) else {}
