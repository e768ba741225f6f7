"""What an answer of the API server means as an error of ours. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.errors import (
    AccessError,
    BridgeError,
    NotFoundError,
    PermanentError,
    TargetUnavailable,
    TemporaryError,
)
from bridge.fdl.quantities import QuantityError, memory

__all__ = ["AlreadyThere", "Call", "Gone", "Stranger", "error_of"]

_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_GONE: Final = 410
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_QUOTA: Final = re.compile(
    r"exceeded quota: (?P<name>[^,]+), requested: (?P<requested>.*?), used: (?P<used>.*?), "
    r"limited: (?P<limited>.*)"
)
_NO_RIGHT: Final = re.compile(r' cannot [a-z]+ resource | is forbidden: User "')


class AlreadyThere(PermanentError):
    """An object of that name exists already."""


class Stranger(AccessError):
    """The API server does not know who asks: a token has expired, or was never good."""


class Gone(TemporaryError):
    """What was asked for is older than what the API server remembers."""


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked of the API server, for its error: `create` `jobs.batch` in a namespace."""

    verb: str
    resource: str
    cluster: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        name = f" {self.name}" if self.name else ""
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{name}{where} of cluster {self.cluster}"


def error_of(call: Call, status: int, body: bytes, retry_after: str = "") -> BridgeError:
    """The error that an answer other than success stands for."""
    answer = _parsed(body)
    told = str(answer.get("message") or body[:300].decode("utf-8", "replace")).strip()
    if status == _UNAUTHORIZED:
        return Stranger(
            f"cannot {call}: the API server does not know who asks",
            hint="the credentials of the kubeconfig are wrong or have expired: log in again",
        )
    if status == _FORBIDDEN:
        return _forbidden(call, told)
    if status == _NOT_FOUND:
        return _absent(call, told)
    if status == _CONFLICT:
        return _conflict(call, told, str(answer.get("reason") or ""))
    return _other(call, status, told, retry_after)


def _conflict(call: Call, told: str, reason: str) -> BridgeError:
    if reason == "AlreadyExists":
        return AlreadyThere(f"cannot {call}: it exists already")
    return TemporaryError(f"cannot {call}: somebody else is changing it ({told})")


def _other(call: Call, status: int, told: str, retry_after: str) -> BridgeError:
    if status == _GONE:
        return Gone(f"cannot {call}: {told}")
    if status == _TOO_MANY or status >= _SERVER_ERROR:
        delay = float(retry_after) if retry_after.isdigit() else 1.0
        return TargetUnavailable(f"cannot {call}: {told} [{status}]", delay=delay)
    return PermanentError(f"cannot {call}: {told} [{status}]")


def _parsed(body: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _forbidden(call: Call, told: str) -> BridgeError:
    quota = _QUOTA.search(told)
    if quota is not None:
        return _quota_exceeded(call, quota)
    if _NO_RIGHT.search(told):
        return AccessError(
            f"may not {call}: {told}",
            hint="deploy/kubernetes/rbac.yaml has the role that oscar-bridge needs",
        )
    if "because it is being terminated" in told:
        return NotFoundError(f"cannot {call}: the namespace is being deleted")
    return PermanentError(f"cannot {call}: the cluster's rules refuse it: {told}")


def _quota_exceeded(call: Call, quota: re.Match[str]) -> BridgeError:
    """Permanent only when the whole quota is less than what is asked for."""
    requested, limited = _amounts(quota["requested"]), _amounts(quota["limited"])
    text = (
        f"cannot {call}: quota {quota['name']} is exceeded (requested {quota['requested']}; "
        f"used {quota['used']}; limit {quota['limited']})"
    )
    if any(amount > limited.get(name, amount) for name, amount in requested.items()):
        return PermanentError(text, hint="ask for less, or have the quota raised")
    return TargetUnavailable(text, delay=5.0)


def _amounts(text: str) -> dict[str, int]:
    """`cpu=500m,pods=1` in thousandths; what cannot be read is left out."""
    found = {}
    for pair in text.split(","):
        name, _, amount = pair.strip().partition("=")
        whole, unit = (amount[:-1], 1) if amount.endswith("m") else (amount, 1000)
        try:
            found[name] = memory(whole) * unit if whole.strip("0") else 0
        except QuantityError:
            continue
    return found


def _absent(call: Call, told: str) -> BridgeError:
    if told.startswith("namespaces ") and call.namespace:
        return NotFoundError(
            f"cannot {call}: there is no such namespace",
            hint=f"create it: kubectl create namespace {call.namespace}",
        )
    if told == "404 page not found":
        return NotFoundError(f"cannot {call}: this cluster does not know {call.resource}")
    return NotFoundError(f"cannot {call}: {told}")
