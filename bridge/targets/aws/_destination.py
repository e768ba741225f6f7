"""What Lambda sends to the destination of an asynchronous invocation, read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bridge.targets.protocol import JobUpdate

_ACCEPTED: Final = 202
# How Lambda words that it has killed the environment, time or memory being over.
_LIMITS: Final = ("Sandbox.Timedout", "Runtime.OutOfMemory")
_WORDS: Final = ("Task timed out after", "signal: killed")


@dataclass(frozen=True, slots=True)
class Destination:
    """The end of one invocation. `job` is "" when it was not one of ours.

    `elsewhere` is what our entry said of a job that it did not finish.
    """

    job: str = ""
    attempt: int = 1
    service: str = ""
    handle: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)
    failed: bool = False
    error: str = ""
    reason: str = ""
    elsewhere: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> Destination:
        """The record as AWS sends it."""
        payload = message.get("requestPayload")
        if not isinstance(payload, dict) or not payload.get("job_id"):
            return cls()
        context = message.get("requestContext") or {}
        answer = message.get("responsePayload")
        said = answer if isinstance(answer, dict) else {}
        job, attempt = str(payload["job_id"]), int(payload.get("attempt", 1))
        arn = str(context.get("functionArn", ""))
        return cls(
            job=job,
            attempt=attempt,
            service=arn.rpartition(":function:")[2].partition(":")[0],
            handle=str(context.get("requestId", "")),
            payload=payload,
            failed="functionError" in (message.get("responseContext") or {}),
            error=str(said.get("errorType", "")),
            reason=str(said.get("errorMessage") or "no reason given"),
            elsewhere=_elsewhere(said, job),
        )

    @property
    def log_group(self) -> str:
        """Where the function writes its log."""
        return f"/aws/lambda/{self.service}"

    @property
    def came_to_a_limit(self) -> bool:
        """Whether Lambda killed the invocation for lack of time or memory."""
        return self.error in _LIMITS or any(words in self.reason for words in _WORDS)


def with_runs(update: JobUpdate, before: Mapping[str, Any]) -> JobUpdate:
    """The final news of a job that was handed over, with both of its runs in the report."""
    if not before:
        return update
    own = {name: value for name, value in update.report.items() if name != "runs"}
    last = own or {"state": str(update.state), "reason": update.reason}
    runs = [
        {"place": "lambda", **before},
        {"place": "batch", **last, "handle": update.handle},
    ]
    return replace(update, report={**update.report, "runs": runs})


def _elsewhere(answer: Mapping[str, Any], job: str) -> Mapping[str, Any] | None:
    if answer.get("statusCode") != _ACCEPTED:
        return None
    try:
        jobs = json.loads(str(answer.get("body")))["jobs"]
        return next((one for one in jobs if one.get("job") == job), {})
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
