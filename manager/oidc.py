"""Users with tokens of OpenID Connect providers.

A provider is asked for its keys when the first token of it comes, and again when a token names a
key that is not known: a provider that does not answer at the start is no reason to refuse later.
"""

from __future__ import annotations

import json
import logging
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError

from manager.auth import ADMIN, Caller, Refused, bearer
from manager.issuer import Issuer

__all__ = ["ANY_GROUP", "Oidc", "OidcSettings"]

ANY_GROUP: Final = "*"
_LOG: Final = logging.getLogger("manager")
# Callers that wait for providers at once, all of them together: fewer than there are threads.
_WAITING: Final = 16
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
        waiting = max(1, _WAITING // max(1, len(settings.issuers)))
        self._providers = {
            url.rstrip("/"): Issuer(url, clock, waiting=waiting) for url in settings.issuers
        }

    def authenticate(self, authorization: str) -> Caller | None:
        """See Authenticator. TemporaryError when the provider cannot be asked, or does not answer
        in a few seconds: then it is asked again later, and once for all who wait."""
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

    def _verified(self, token: str, provider: Issuer) -> Mapping[str, Any]:
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
