"""CloudFormation's events as lines, and the one of them that explains a failure. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

# Said of what was stopped because something else had failed.
_STOPPED: Final = ("Resource creation cancelled", "Resource update cancelled")
_DOING: Final[Mapping[str, str]] = {
    "CREATE": "created",
    "DELETE": "deleted",
    "ROLLBACK": "rolled back",
    "UPDATE": "updated",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """The first thing that went wrong in an operation on a stack."""

    logical: str
    type: str
    status: str
    reason: str
    physical: str = ""

    @property
    def sentence(self) -> str:
        """Which resource, and why."""
        doing = _DOING.get(self.status.partition("_")[0], "changed")
        named = f" ({self.physical})" if self.physical not in ("", self.logical) else ""
        why = self.reason or "CloudFormation gives no reason"
        return f"{self.type} {self.logical}{named} could not be {doing}: {why}"


def failure_of(events: Iterable[Mapping[str, Any]], stack: str) -> Failure | None:
    """The first failure among events, which may be in any order; the stack's own counts last."""
    failed = [one for one in events if str(one["ResourceStatus"]).endswith("_FAILED")]
    own = {stack, *(str(one.get("StackId")) for one in failed)}
    ranked = sorted(
        failed,
        key=lambda one: (
            str(one.get("PhysicalResourceId")) in own or one["LogicalResourceId"] == stack,
            str(one.get("ResourceStatusReason", "")).startswith(_STOPPED),
            one["Timestamp"],
        ),
    )
    return _failure(ranked[0]) if ranked else None


def _failure(event: Mapping[str, Any]) -> Failure:
    return Failure(
        logical=str(event["LogicalResourceId"]),
        type=str(event.get("ResourceType", "")),
        status=str(event["ResourceStatus"]),
        reason=str(event.get("ResourceStatusReason") or "").strip(),
        physical=str(event.get("PhysicalResourceId") or ""),
    )


def line_of(event: Mapping[str, Any], stack: str) -> str:
    """One event as one line."""
    status = str(event["ResourceStatus"]).replace("_", " ").lower()
    reason = str(event.get("ResourceStatusReason") or "").strip()
    kind = str(event.get("ResourceType", "")).removeprefix("AWS::").replace("::", " ")
    logical = str(event["LogicalResourceId"])
    what = f"stack {stack}" if logical == stack else f"{kind} {logical}"
    return f"{what}: {status}" + (f" ({reason})" if reason else "")
