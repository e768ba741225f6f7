"""An OIDC refresh token, exchanged for access tokens at the issuer that it names."""

from __future__ import annotations

import json
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from bridge.errors import AccessError, TargetUnavailable
from bridge.secret import Secret

if TYPE_CHECKING:
    import httpx

__all__ = ["AccessTokens"]

_DISCOVERY: Final = "/.well-known/openid-configuration"
_KEYCLOAK: Final = "/protocol/openid-connect/token"
# A token is renewed this long before its end, so that no request carries one that has ended.
_EARLY: Final = 30.0
_SHORTEST: Final = 60.0
_REMEDY: Final = "get a new refresh token and put it where the old one was"


class AccessTokens:
    """Gives an access token that is valid now. Thread-safe; one exchange serves all threads."""

    def __init__(self, refresh: Secret, http: httpx.Client) -> None:
        self._refresh = refresh
        self._http = http
        self._lock = threading.Lock()
        self._token = ""
        self._until = 0.0

    def current(self) -> str:
        """The token's text. AccessError when the issuer refuses, TargetUnavailable when it is away.

        The claims are read without a check of the signature: the issuer checks it.
        """
        with self._lock:
            if not self._token or time.monotonic() > self._until:
                self._exchange()
            return self._token

    def drop(self) -> None:
        """Forget the access token, which was refused before its end."""
        with self._lock:
            self._token = ""

    def _exchange(self) -> None:
        claims = _claims(self._refresh.reveal())
        issuer = str(claims.get("iss") or "").rstrip("/")
        if not issuer.startswith(("https://", "http://")):
            raise AccessError("the OIDC refresh token names no issuer", hint=_REMEDY)
        answer = self._post(self._endpoint(issuer), issuer, claims)
        self._token = str(answer.get("access_token") or "")
        if not self._token:
            raise AccessError(f"{issuer} gave no access token", hint=_REMEDY)
        # Some issuers give a new refresh token each time, and the old one ends.
        if answer.get("refresh_token"):
            self._refresh = Secret(str(answer["refresh_token"]))
        seconds = answer.get("expires_in")
        lasts = float(seconds) if isinstance(seconds, int | float) else _SHORTEST
        self._until = time.monotonic() + max(lasts - _EARLY, 1.0)

    def _endpoint(self, issuer: str) -> str:
        found = self._ask("GET", f"{issuer}{_DISCOVERY}", issuer)
        try:
            named = found.json()["token_endpoint"] if found.status_code == 200 else ""
        except (ValueError, KeyError, TypeError):
            named = ""
        return str(named or f"{issuer}{_KEYCLOAK}")

    def _post(self, url: str, issuer: str, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self._refresh.reveal(),
            "client_id": str(claims.get("azp") or claims.get("client_id") or ""),
            "scope": str(claims.get("scope") or ""),
        }
        known = {key: value for key, value in form.items() if value}
        answer = self._ask("POST", url, issuer, known)
        if answer.status_code >= 500:
            raise TargetUnavailable(f"{issuer} answered {answer.status_code} to a token request")
        if answer.status_code != 200:
            said = f"{issuer} refused the OIDC refresh token ({answer.status_code})"
            raise AccessError(said, hint=_REMEDY)
        try:
            value = answer.json()
        except ValueError:
            value = None
        return value if isinstance(value, dict) else {}

    def _ask(
        self, method: str, url: str, issuer: str, form: dict[str, str] | None = None
    ) -> httpx.Response:
        import httpx  # noqa: PLC0415  heavy, and an extra

        try:
            return self._http.request(method, url, data=form)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            said = f"the OIDC issuer {issuer} cannot be reached: {type(error).__name__}"
            raise TargetUnavailable(said) from None


def _claims(token: str) -> Mapping[str, Any]:
    parts = token.split(".")
    try:
        text = parts[1] + "=" * (-len(parts[1]) % 4)
        claims = json.loads(urlsafe_b64decode(text))
    except (IndexError, ValueError):
        raise AccessError(
            "the OIDC refresh token is not a JWT, so its issuer is not known", hint=_REMEDY
        ) from None
    return claims if isinstance(claims, dict) else {}
