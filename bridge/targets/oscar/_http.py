"""Requests to one cluster: credentials, time limits, and answers that are errors as ours."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bridge.errors import (
    AccessError,
    BridgeError,
    MissingToolError,
    NotFoundError,
    PermanentError,
    TargetUnavailable,
)
from bridge.secret import HIDDEN, Secret
from bridge.targets.oscar._agent import AgentTokens
from bridge.targets.oscar._tokens import AccessTokens
from bridge.targets.oscar.access import ClusterAccess

if TYPE_CHECKING:
    import httpx

__all__ = ["MaybeDone", "Requests"]

_CONNECT: Final = 10.0
_ANSWER: Final = 60.0
_SHOWN: Final = 400
_LEAST: Final = 4
_DELAY: Final = 1.0
_LONGEST_DELAY: Final = 300.0
_OK: Final = range(200, 205)
# Who answers these has not carried the request out, for now.
_REFUSED: Final = frozenset({429, 503})


_KINDS: Final[Mapping[int, type[PermanentError]]] = {403: AccessError, 404: NotFoundError}


class _Asked(NamedTuple):
    """A request as it is sent, again after a token has ended too."""

    method: str
    path: str
    json: object
    body: bytes | None
    query: Mapping[str, str] | None
    headers: Mapping[str, str]
    timeout: float


class MaybeDone(TargetUnavailable):
    """There was no answer, or one of something between: the request may have been carried out."""


class Requests:
    """Sends requests to the API of one cluster. Thread-safe; `close` ends its connections.

    A request waits for its answer for 60 seconds at most unless it says otherwise. Redirects are
    followed for GET alone: another method would become a GET on the way.
    """

    def __init__(
        self, access: ClusterAccess, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        try:
            import httpx  # noqa: PLC0415  heavy, and an extra
        except ImportError as error:
            raise MissingToolError(
                "OSCAR clusters need the Python package httpx",
                hint="pip install 'oscar-bridge[oscar]'",
            ) from error
        self.access = access
        self._http = httpx.Client(
            verify=access.ssl_verify,
            timeout=httpx.Timeout(_ANSWER, connect=_CONNECT),
            transport=transport,
        )
        self._tokens = _tokens_of(access, self._http)
        self._lock = threading.Lock()
        self._hidden = {
            one.reveal() for one in (access.password, access.token, access.refresh_token) if one
        }

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def hide(self, secrets: Iterable[Secret]) -> None:
        """Keep these out of messages too: a server may quote what it was sent."""
        with self._lock:
            self._hidden |= {one.reveal() for one in secrets}

    def send(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        bearer: Secret | None = None,
        timeout: float = _ANSWER,
    ) -> httpx.Response:
        """The answer to a request, which is a success.

        `bearer` takes the place of the user's credentials. Errors: AccessError (401, 403),
        NotFoundError (404), TargetUnavailable (429, 503 with their Retry-After; not reachable),
        MaybeDone (other 5xx, an answer that never came), PermanentError (all else).
        """
        named = dict(headers or {})
        if bearer is not None:
            named["Authorization"] = f"Bearer {bearer.reveal()}"
        asked = _Asked(method, path, json, body, query, named, timeout)
        answer = self._ask(asked)
        if answer.status_code == 401 and bearer is None and self._tokens is not None:
            self._tokens.drop()
            answer = self._ask(asked)
        if answer.status_code not in _OK:
            raise self._error(f"{method} {path} on {self._where}", answer)
        return answer

    def json(
        self, path: str, query: Mapping[str, str] | None = None, *, posted: object = None
    ) -> Any:
        """The JSON that a path gives, or its answer to `posted`; PermanentError for no JSON."""
        method = "GET" if posted is None else "POST"
        answer = self.send(method, path, query=query, json=posted)
        try:
            return answer.json()
        except ValueError:
            raise PermanentError(
                f"{self._where} did not answer {path} with JSON",
                hint="is the endpoint that of an OSCAR manager?",
            ) from None

    @property
    def _where(self) -> str:
        return f"cluster {self.access.id} ({self.access.endpoint})"

    def _ask(self, asked: _Asked) -> httpx.Response:
        import httpx  # noqa: PLC0415  heavy, and an extra

        headers, basic = self._credentials(asked.headers)
        try:
            return self._http.request(
                asked.method,
                f"{self.access.endpoint}{asked.path}",
                json=asked.json,
                content=asked.body,
                params=dict(asked.query) if asked.query else None,
                headers=headers,
                auth=basic,
                timeout=httpx.Timeout(asked.timeout, connect=_CONNECT),
                follow_redirects=asked.method == "GET",
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            said = f"{self._where} cannot be reached: {self._clean(str(error)) or 'no connection'}"
            hint = "ssl_verify: false takes any certificate" if "CERTIFICATE" in said else ""
            raise TargetUnavailable(said, hint=hint, delay=_DELAY) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            what = self._clean(str(error)) or type(error).__name__
            said = f"{self._where} gave no answer to {asked.method} {asked.path}: {what}"
            raise MaybeDone(said, delay=_DELAY) from None

    def _credentials(
        self, headers: Mapping[str, str]
    ) -> tuple[dict[str, str], tuple[str, str] | None]:
        """Headers with a token, or the user and password of basic authentication."""
        access, named = self.access, dict(headers)
        if "Authorization" in named:
            return named, None
        if access.token:
            named["Authorization"] = f"Bearer {access.token.reveal()}"
        elif self._tokens is not None:
            named["Authorization"] = f"Bearer {self._tokens.current()}"
        elif access.password:
            return named, (access.user, access.password.reveal())
        return named, None

    def _error(self, asked: str, answer: httpx.Response) -> BridgeError:
        status, what = answer.status_code, self._said(answer)
        told = f": {what}" if what else ""
        if status == 401:
            return AccessError(
                f"{asked} was refused: {what or 'the credentials are not valid'}",
                hint=f"it was asked with {self.access.method or 'no credentials'} from "
                f"{self.access.source or 'this program'}",
            )
        if status in _REFUSED:
            return TargetUnavailable(f"{asked} was put off ({status}){told}", delay=_delay(answer))
        if status >= 500:
            return MaybeDone(f"{asked} failed ({status}){told}", delay=_delay(answer))
        if status < 400:
            to = answer.headers.get("location", "another place")
            return PermanentError(
                f"{asked} was sent on to {to}", hint="write the endpoint that it leads to"
            )
        return _KINDS.get(status, PermanentError)(f"{asked} was refused ({status}){told}")

    def _said(self, answer: httpx.Response) -> str:
        """The text of an error, on one line; a page of HTML of something between says nothing."""
        if "html" in answer.headers.get("content-type", ""):
            return str(answer.reason_phrase)
        text = self._clean(" ".join(answer.text.split()))
        return text[:_SHOWN] + ("…" if len(text) > _SHOWN else "")

    def _clean(self, text: str) -> str:
        with self._lock:
            hidden = sorted((one for one in self._hidden if len(one) >= _LEAST), key=len)
        for value in reversed(hidden):
            text = text.replace(value, HIDDEN)
        return text


def _tokens_of(access: ClusterAccess, http: httpx.Client) -> AccessTokens | AgentTokens | None:
    """What gives access tokens; None where the access has one, or a password."""
    if access.token:
        return None
    if access.refresh_token:
        return AccessTokens(access.refresh_token, http)
    return AgentTokens(access.account) if access.account else None


def _delay(answer: httpx.Response) -> float:
    """Seconds of Retry-After, within reason; dates are not read."""
    try:
        seconds = float(answer.headers.get("retry-after", ""))
    except ValueError:
        return _DELAY
    return min(max(seconds, 1.0), _LONGEST_DELAY)
