"""What the emulator stores and passes around of functions → ours, and back."""

from __future__ import annotations

import json
from typing import Any

from bridge.local.aws._limits import lambda_limits
from bridge.local.aws.functions import AsyncPolicy, Function, Outcome
from bridge.local.aws.model import Scope

Json = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]


def error_response(code: str, message: str, status: int = 400) -> Response:
    """An error as services that speak JSON send it."""
    body = json.dumps({"__type": code, "message": message, "Message": message}).encode()
    return status, {"Content-Type": "application/json", "x-amzn-errortype": code}, body


def new_image(method: str, path: str, body: bytes) -> str:
    """The image that a request gives to a function, or ""."""
    creates = method == "POST" and path.rstrip("/").endswith("/functions")
    if not creates and not (method == "PUT" and path.rstrip("/").endswith("/code")):
        return ""
    wanted = decoded(body.decode(errors="replace"))
    code = wanted.get("Code") if creates and isinstance(wanted, dict) else wanted
    return str(code.get("ImageUri") or "") if isinstance(code, dict) else ""


def function_of(config: Json, scope: Scope) -> Function:
    """What the emulator stores of a function → ours."""
    overrides = (config.get("ImageConfigResponse") or {}).get("ImageConfig") or {}
    entry_point = overrides.get("EntryPoint")
    return Function(
        scope=scope,
        name=config["FunctionName"],
        arn=config["FunctionArn"],
        image=config["ImageUri"],
        version=config.get("Version") or "$LATEST",
        entry_point=tuple(entry_point) if entry_point else None,
        command=tuple(overrides.get("Command") or ()),
        workdir=overrides.get("WorkingDirectory") or None,
        env=(config.get("Environment") or {}).get("Variables") or {},
        timeout=int(config.get("Timeout") or 3),
        memory=int(config.get("MemorySize") or 128),
        storage=int((config.get("EphemeralStorage") or {}).get("Size") or 512),
        log_group=(config.get("LoggingConfig") or {}).get("LogGroup") or "",
    )


def result_of(outcome: Outcome) -> Json:
    """Our outcome → what the emulator's callers expect of an execution."""
    value = outcome.value
    return {
        "body": value,
        "error": bool(outcome.error),
        "function_error": outcome.error or None,
        "log": outcome.log,
        # Text that is no JSON must reach the caller as it is.
        "raw_payload": isinstance(value, str) and not outcome.payload.startswith(b'"'),
    }


def policy_of(config: Json, func: Json, qualifier: str) -> AsyncPolicy:
    """The rules for asynchronous invocations of a function by this qualifier."""
    every = func.get("event_invoke_configs") or {}
    # Without a qualifier it is $LATEST that is asked, and the other way round.
    unqualified = func.get("event_invoke_config") or every.get("$LATEST") or every.get("")
    rules = every.get(qualifier) or (unqualified if qualifier in {"", "$LATEST"} else None) or {}
    targets = rules.get("DestinationConfig") or {}
    limits = lambda_limits()
    retries = rules.get("MaximumRetryAttempts")
    return AsyncPolicy(
        retries=limits.retry_attempts if retries is None else int(retries),
        max_age=float(rules.get("MaximumEventAgeInSeconds") or limits.event_age_seconds),
        on_success=(targets.get("OnSuccess") or {}).get("Destination") or "",
        on_failure=(targets.get("OnFailure") or {}).get("Destination") or "",
        dead_letters=(config.get("DeadLetterConfig") or {}).get("TargetArn") or "",
    )


def disabled(func: Json) -> bool:
    """True when a function may not run at all."""
    reserved = func.get("concurrency")
    if isinstance(reserved, dict):
        reserved = reserved.get("ReservedConcurrentExecutions")
    return reserved == 0


def split(reference: str) -> tuple[str, str]:
    """A function's ARN → without its qualifier, and the qualifier or ""."""
    parts = reference.split(":")
    return ":".join(parts[:7]), parts[7] if len(parts) > 7 else ""


def plain(value: Any) -> Any:
    """Text for bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def decoded(text: str) -> Any:
    """JSON, or text as a body."""
    try:
        return json.loads(text)
    except ValueError:
        return {"body": text}
