"""Calls of AWS's JSON services with the credentials that this machine, function or container has.

For the few calls that a job's own container makes: an SDK would be larger than the rest of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from bridge.errors import (
    AccessError,
    BridgeError,
    NotFoundError,
    PermanentError,
    TargetUnavailable,
)
from bridge.storage._ambient import for_signing
from bridge.storage._settings import DEFAULT_REGION
from bridge.storage._sigv4 import signed_headers

__all__ = ["Call", "call"]

_FIRST_DELAY: Final = 0.1
_TIMEOUT: Final = 20.0
_MOST_SAID: Final = 200
_DENIED: Final = frozenset({401, 403})
_BUSY: Final = frozenset({408, 425, 429})


class Call(NamedTuple):
    """One operation. `service` is the name that AWS signs with and uses in host names.

    `path` is the operation's of a REST service, `target` the X-Amz-Target of the others. `what`
    names it in errors. `tries` bounds how often it is sent: 1 for what must not happen twice.
    """

    service: str
    what: str
    body: Mapping[str, Any]
    path: str = "/"
    target: str = ""
    tries: int = 4


def call(wanted: Call) -> dict[str, Any]:
    """The answer's JSON object.

    The endpoint is AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL or the region's own; credentials
    are the ambient ones. Raises AccessError, NotFoundError, PermanentError, and TargetUnavailable
    when trying again may help. Messages quote AWS's sentence only where it cannot hold a secret.
    """
    delay = _FIRST_DELAY
    for left in range(wanted.tries - 1, -1, -1):
        try:
            return _once(wanted)
        except TargetUnavailable:
            if not left:
                raise
        time.sleep(delay * (0.5 + random.random()))  # noqa: S311 - jitter is not a secret
        delay *= 2
    raise AssertionError("the last try returns or raises")


def _once(wanted: Call) -> dict[str, Any]:
    import http.client  # noqa: PLC0415  a fifth of a start, and most jobs make no such call

    url = urlsplit(_endpoint(wanted.service))
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    body = json.dumps(wanted.body).encode()
    path = url.path.rstrip("/") + wanted.path
    connection = kind(url.netloc, timeout=_TIMEOUT)
    try:
        connection.request(
            "POST", path, body=body, headers=_headers(wanted, url.netloc, path, body)
        )
        answer = connection.getresponse()
        kind_of_error = answer.headers.get("x-amzn-errortype", "")
        return _understood(wanted, answer.status, kind_of_error, answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise TargetUnavailable(f"{wanted.what}: {type(error).__name__} at {url.netloc}") from error
    finally:
        connection.close()


def _headers(wanted: Call, host: str, path: str, body: bytes) -> dict[str, str]:
    headers = {"content-type": "application/json"}
    if wanted.target:
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": wanted.target}
    return signed_headers(
        "POST",
        host,
        path,
        "",
        headers=headers,
        payload=hashlib.sha256(body).hexdigest(),
        credentials=for_signing(),
        region=_region(),
        service=wanted.service,
    )


def _endpoint(service: str) -> str:
    named = os.environ.get(f"AWS_ENDPOINT_URL_{_VARIABLES.get(service, service).upper()}")
    given = named or os.environ.get("AWS_ENDPOINT_URL")
    if given:
        return given
    ending = "amazonaws.com.cn" if _region().startswith("cn-") else "amazonaws.com"
    return f"https://{service}.{_region()}.{ending}"


# Where the variable's name is not that of the host.
_VARIABLES: Final[Mapping[str, str]] = {"secretsmanager": "secrets_manager"}


def _region() -> str:
    environ = os.environ
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or DEFAULT_REGION


def _understood(wanted: Call, status: int, error: str, body: bytes) -> dict[str, Any]:
    answer = _object(body)
    if status == 200 and answer is not None:
        return answer
    if status == 200:
        raise PermanentError(f"{wanted.what}: the answer is no JSON object")
    code = error or str((answer or {}).get("__type", ""))
    code = code.partition(":")[0].rpartition("#")[2]
    said = str((answer or {}).get("message") or (answer or {}).get("Message") or "")
    raise _refusal(wanted.what, status, code, said[:_MOST_SAID])


def _refusal(what: str, status: int, code: str, said: str) -> BridgeError:
    name = code or f"HTTP status {status}"
    if "NotFound" in code or status == 404:
        return NotFoundError(f"{what}: it does not exist [{name}]")
    if status >= 500 or status in _BUSY or "Throttl" in code or "TooMany" in code:
        return TargetUnavailable(f"{what}: the service is busy [{name}]")
    # What AWS says of a refused signature quotes the request, with its session token.
    if status in _DENIED or "Denied" in code or "Signature" in code or "Token" in code:
        hint = "the role of the function or job lacks a permission, or its credentials are wrong"
        return AccessError(f"{what}: access denied [{name}]", hint=hint)
    return PermanentError(f"{what}: {said} [{name}]" if said else f"{what}: [{name}]")


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
