"""Who may speak to the endpoint: those who have this session's keys, and public URLs.

Anybody on this machine can connect to loopback, and what an AWS API is asked to run it runs as this
user. So a request must name an access key that the session made: the key id is a random capability.
Signatures are not recomputed.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]

_CREDENTIAL: Final = re.compile(r"Credential=([^/,\s]+)/(?:[^/]+/[^/]+/([^/]+)/)?")
# Function URLs and HTTP APIs are public on AWS too; the callback of a custom resource has a token.
_PUBLIC_PATHS: Final = (
    "/_ministack/health",
    "/_localstack/health",
    "/_ministack/cfn-response/",
    "/_aws/lambda-url/",
    "/_aws/execute-api/",
)
_PUBLIC_HOSTS: Final = re.compile(r"\.(?:execute-api|lambda-url)\.")
_USER_REQUEST: Final = re.compile(r"^/restapis/[^/]+/[^/]+/_user_request_/")
_TEXT: Final = "The security token included in the request is invalid."
_JSON: Final = (
    '{"__type":"UnrecognizedClientException","code":"UnrecognizedClientException",'
    f'"message":"{_TEXT}"}}'
)
_QUERY: Final = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code>"
    f"<Message>{_TEXT}</Message></Error></ErrorResponse>"
)
_S3: Final = f"<Error><Code>InvalidAccessKeyId</Code><Message>{_TEXT}</Message></Error>"


class Gate:
    """An ASGI application that lets through what `known` says has a key of this session."""

    def __init__(self, app: App, known: Callable[[str], bool]) -> None:
        self._app = app
        self._known = known

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] not in {"http", "websocket"} or self._allowed(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            kind, body, more = _refusal(_headers(scope))
            headers = [(b"content-type", kind.encode()), (b"connection", b"close"), *more]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": body.encode()})

    def _allowed(self, scope: Mapping[str, Any]) -> bool:
        headers = _headers(scope)
        path: str = scope["path"]
        if path.startswith(_PUBLIC_PATHS) or _USER_REQUEST.match(path):
            return True
        if _PUBLIC_HOSTS.search(headers.get(b"host", "")):
            return True
        key = _access_key(headers.get(b"authorization", ""), scope.get("query_string", b""))
        return bool(key) and self._known(key)


def _headers(scope: Mapping[str, Any]) -> dict[bytes, str]:
    return {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _refusal(headers: Mapping[bytes, str]) -> tuple[str, str, list[tuple[bytes, bytes]]]:
    """Content type, body and more headers, in the words of the service that is asked."""
    found = _CREDENTIAL.search(headers.get(b"authorization", ""))
    if found and found[2] == "s3":
        return "application/xml", _S3, []
    if headers.get(b"content-type", "").startswith("application/x-www-form-urlencoded"):
        return "text/xml", _QUERY, []
    name = (b"x-amzn-errortype", b"UnrecognizedClientException")
    return "application/json", _JSON, [name]


def _access_key(authorization: str, query: bytes) -> str:
    if found := _CREDENTIAL.search(authorization):
        return found[1]
    values = parse_qs(query.decode("latin-1"))
    for name in ("X-Amz-Credential", "AWSAccessKeyId"):
        if name in values:
            return values[name][0].partition("/")[0]
    return ""
