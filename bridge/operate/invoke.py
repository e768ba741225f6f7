"""One synchronous request to a service's function, asked once."""

from __future__ import annotations

import json
import uuid
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.errors import (
    BridgeError,
    PermanentError,
    ScriptError,
    TargetUnavailable,
    UsageError,
)
from bridge.operate.bodies import exact
from bridge.operate.deployed import Deployed
from bridge.targets.aws.account import Account, translated
from bridge.targets.aws.requests import gateway_request, most_of_request

__all__ = ["Reply", "invoke"]

# A cold start with its image comes before the function's own time.
_LONGER: Final = 60.0
_OK: Final = 200
_ELSEWHERE: Final = 202


@dataclass(frozen=True, slots=True)
class Reply:
    """What the script gave back: its output, decoded. `log` is the end of the function's log."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    log: str = ""


def invoke(account: Account, deployed: Deployed, body: bytes) -> Reply:
    """Run the service once on `body` and wait for its reply; never tried again by itself.

    UsageError for a service without a function and for a body above Lambda's limit. ScriptError
    when the script or what is around it failed, PermanentError when the run went over to Batch,
    TargetUnavailable when there was no answer: the function may run on then.
    """
    if not deployed.function:
        raise UsageError(
            f"service {deployed.service} runs on AWS Batch only, which has no synchronous calls",
            hint=f"oscar-bridge submit {deployed.service} FILE, then oscar-bridge jobs",
        )
    payload = _payload(deployed, body)
    limit = most_of_request()
    if len(payload) > limit:
        raise UsageError(
            f"a request of {len(body)} bytes is too large: Lambda takes {limit}, encoded",
            hint=f"oscar-bridge submit {deployed.service} FILE has no such limit",
        )
    return _read(deployed, _ask(account, deployed, payload))


def _payload(deployed: Deployed, body: bytes) -> bytes:
    return gateway_request(f"/run/{deployed.service}", exact(body), {}, str(uuid.uuid4()))


def _ask(account: Account, deployed: Deployed, payload: bytes) -> Mapping[str, Any]:
    function = deployed.function
    with translated(f"function {function}"):
        known = account.client("lambda").get_function_configuration(FunctionName=function)
    client = account.asking_once("lambda", float(known["Timeout"]) + _LONGER)
    try:
        with translated(f"invoke {function}"):
            answer: dict[str, Any] = client.invoke(
                FunctionName=function, Payload=payload, LogType="Tail"
            )
            answer["Payload"] = answer["Payload"].read()
    except TargetUnavailable as error:
        hint = f"it may run on and is not asked again: oscar-bridge logs {deployed.service} -f"
        raise TargetUnavailable(error.message, hint=hint) from error
    return answer


def _read(deployed: Deployed, answer: Mapping[str, Any]) -> Reply:
    log = b64decode(answer.get("LogResult", "")).decode(errors="replace")
    said = _json(answer["Payload"], deployed.function)
    if "FunctionError" in answer:
        message = str(said.get("errorMessage") or said)
        raise ScriptError(f"{deployed.function} failed: {message}", hint=_tail(log))
    status = said.get("statusCode", _OK)
    if status == _OK:
        return Reply(_body(said), said.get("headers") or {}, log)
    raise _refused(deployed, status, _json(_body(said), deployed.function), log)


def _refused(deployed: Deployed, status: int, said: Mapping[str, Any], log: str) -> BridgeError:
    if status == _ELSEWHERE:
        jobs = ", ".join(str(one.get("job")) for one in said.get("jobs", ()))
        return PermanentError(
            f"{deployed.service} ran out of time or memory on Lambda; it goes on in Batch: {jobs}",
            hint=f"oscar-bridge logs {deployed.service} --job {jobs.partition(',')[0]} -f",
        )
    message = str(said.get("message") or f"status {status}")
    lines = "\n  ".join(map(str, said.get("log") or ())) or _tail(log)
    return ScriptError(f"{deployed.service} failed: {message}", hint=lines)


def _json(text: bytes, function: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text or b"{}")
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    raise PermanentError(
        f"function {function} did not answer as a service of OSCAR Bridge does",
        hint="was it replaced by hand? oscar-bridge drift tells",
    )


def _body(said: Mapping[str, Any]) -> bytes:
    body = str(said.get("body") or "")
    return b64decode(body) if said.get("isBase64Encoded") else body.encode()


def _tail(log: str) -> str:
    return "\n  ".join(log.rstrip().splitlines()[-10:])
