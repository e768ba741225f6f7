"""What Lambda's API refuses and the emulator behind us lets through."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.local.aws._limits import Range, lambda_limits

_FUNCTIONS: Final = "/2015-03-31/functions"
_INVOKE: Final = re.compile(r"/functions/[^/]+/(?:invocations|response-streaming-invocations)$")
_CONFIGURE: Final = re.compile(r"/functions(?:/[^/]+/configuration)?$")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error of AWS: HTTP status, code and message."""

    status: int
    code: str
    message: str


def is_invocation(method: str, path: str) -> bool:
    """True for a request that invokes a function."""
    return method == "POST" and bool(_INVOKE.search(path.rstrip("/")))


def refusal(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Refusal | None:
    """Why a request to Lambda's API is refused; None when it may pass. Header names lower case."""
    plain = path.rstrip("/")
    if is_invocation(method, plain):
        return _invocation(headers.get("x-amz-invocation-type", ""), body)
    if method in {"POST", "PUT"} and _CONFIGURE.search(plain) and plain.startswith(_FUNCTIONS):
        return _configuration(body)
    return None


def _invocation(kind: str, body: bytes) -> Refusal | None:
    limits = lambda_limits()
    most = limits.async_request_bytes if kind == "Event" else limits.request_bytes
    if len(body) > most:
        text = f"Request must be smaller than {most} bytes for the InvokeFunction operation"
        return Refusal(413, "RequestTooLargeException", text)
    try:
        json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        text = f"Could not parse request body into json: {error}"
        return Refusal(400, "InvalidRequestContentException", text)
    return None


def _configuration(body: bytes) -> Refusal | None:
    try:
        wanted = json.loads(body or b"{}")
    except ValueError:
        return None  # the emulator says so itself
    if not isinstance(wanted, dict):
        return None
    limits = lambda_limits()
    return (
        _out_of_range(wanted, "memorySize", limits.memory_mb)
        or _out_of_range(wanted, "timeout", limits.timeout_seconds)
        or _too_much_environment(wanted, limits.environment_bytes)
    )


def _out_of_range(wanted: Mapping[str, Any], name: str, allowed: Range) -> Refusal | None:
    value = wanted.get(name[0].upper() + name[1:])
    if value is None or value in allowed:
        return None
    bound, least = (
        ("less than or equal to", allowed.max)
        if isinstance(value, int) and value > allowed.max
        else ("greater than or equal to", allowed.min)
    )
    text = (
        f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: "
        f"Member must have value {bound} {least}"
    )
    return Refusal(400, "ValidationException", text)


def _too_much_environment(wanted: Mapping[str, Any], most: int) -> Refusal | None:
    variables = (wanted.get("Environment") or {}).get("Variables") or {}
    if len(json.dumps(variables, separators=(",", ":")).encode()) <= most:
        return None
    text = (
        "Lambda was unable to configure your environment variables because the environment "
        f"variables you have provided exceeded the {most // 1024}KB limit."
    )
    return Refusal(400, "InvalidParameterValueException", text)
