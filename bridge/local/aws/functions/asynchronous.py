"""The queue behind asynchronous invocations: retries, then a destination or a dead-letter queue."""

from __future__ import annotations

import heapq
import itertools
import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from bridge.errors import BridgeError
from bridge.local.aws._limits import lambda_limits
from bridge.local.aws.model import Cloud, Scope, Settings

_log = logging.getLogger(__name__)
_THROTTLE_FIRST: Final = 0.1
_THROTTLE_MOST: Final = 1.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What an attempt gave; `value` is the decoded answer. `throttled`: it was not even started."""

    value: Any = None
    error: str = ""
    throttled: bool = False
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class AsyncPolicy:
    """What a function's settings say; the targets are ARNs or ""."""

    retries: int
    max_age: float
    on_success: str = ""
    on_failure: str = ""
    dead_letters: str = ""


@dataclass(frozen=True, slots=True)
class AsyncEvent:
    """One accepted event. `execute` runs one attempt to its end."""

    scope: Scope
    arn: str
    version: str
    request_id: str
    payload: Any
    policy: AsyncPolicy
    execute: Callable[[], Reply]
    accepted: float = field(default_factory=time.time)
    attempts: int = 0
    throttles: int = 0


class AsyncInvoker:
    """Runs accepted events with a few workers; everything else waits, nothing is lost.

    Errors of the function are tried again as its policy says; throttled attempts do not count and
    are tried until the event is too old.
    """

    def __init__(self, cloud: Cloud, settings: Settings) -> None:
        self._cloud = cloud
        self._delays = settings.retry_delays or (0.0,)
        self._wake = threading.Condition()
        self._queue: list[tuple[float, int, AsyncEvent]] = []
        self._order = itertools.count()
        self._closed = False
        for number in range(settings.async_workers):
            name = f"bridge-async-{number}"
            threading.Thread(target=self._run, name=name, daemon=True).start()

    def accept(self, event: AsyncEvent) -> None:
        """Take an event; returns at once."""
        self._put(event, 0.0)

    def close(self) -> None:
        """Start no more attempts; what waits is dropped with the endpoint."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()

    def _put(self, event: AsyncEvent, delay: float) -> None:
        with self._wake:
            heapq.heappush(self._queue, (time.monotonic() + delay, next(self._order), event))
            self._wake.notify()

    def _run(self) -> None:
        while (event := self._due()) is not None:
            try:
                self._attempt(event)
            except Exception:
                # A worker must outlive whatever one event does to it.
                _log.exception("asynchronous invocation %s failed", event.request_id)

    def _due(self) -> AsyncEvent | None:
        with self._wake:
            while not self._closed:
                wait = self._queue[0][0] - time.monotonic() if self._queue else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._queue)[2]
                self._wake.wait(wait)
        return None

    def _attempt(self, event: AsyncEvent) -> None:
        reply = event.execute()
        if reply.throttled:
            self._throttled(event, reply)
            return
        event = replace(event, attempts=event.attempts + 1)
        if not reply.error:
            self._finish(event, reply, "Success")
        elif event.attempts > event.policy.retries:
            self._finish(event, reply, "RetriesExhausted")
        else:
            delay = self._delays[min(event.attempts, len(self._delays)) - 1]
            self._again(event, reply, delay)

    def _throttled(self, event: AsyncEvent, reply: Reply) -> None:
        if reply.disabled:
            self._finish(event, reply, "ZeroReservedConcurrency")
            return
        delay = min(_THROTTLE_FIRST * 2**event.throttles, _THROTTLE_MOST)
        self._again(replace(event, throttles=event.throttles + 1), reply, delay)

    def _again(self, event: AsyncEvent, reply: Reply, delay: float) -> None:
        if time.time() + delay - event.accepted > event.policy.max_age:
            self._finish(event, reply, "EventAgeExceeded")
        else:
            self._put(event, delay)

    def _finish(self, event: AsyncEvent, reply: Reply, condition: str) -> None:
        policy = event.policy
        target = policy.on_success if condition == "Success" else policy.on_failure
        if target:
            self._deliver(event, target, destination_record(event, reply, condition))
        if condition != "Success" and policy.dead_letters:
            self._deliver(event, policy.dead_letters, event.payload, dead_letter(event, reply))

    def _deliver(
        self, event: AsyncEvent, target: str, body: Any, attributes: dict[str, str] | None = None
    ) -> None:
        try:
            self._cloud.deliver(event.scope, target, json.dumps(body), attributes)
        except BridgeError as error:
            _log.error("%s: nothing was sent to %s: %s", event.arn, target, error)


def destination_record(event: AsyncEvent, reply: Reply, condition: str) -> dict[str, Any]:
    """What AWS sends to the destination of an asynchronous invocation."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    response: dict[str, Any] = {"statusCode": 200, "executedVersion": event.version}
    if reply.error:
        response["functionError"] = reply.error
    return {
        "version": "1.0",
        "timestamp": now,
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": f"{event.arn}:{event.version}",
            "condition": condition,
            "approximateInvokeCount": event.attempts,
        },
        "requestPayload": event.payload,
        "responseContext": response,
        "responsePayload": reply.value,
    }


def dead_letter(event: AsyncEvent, reply: Reply) -> dict[str, str]:
    """The attributes of a message in a dead-letter queue, whose body is the event itself."""
    message = reply.value.get("errorMessage", "") if isinstance(reply.value, dict) else ""
    most = lambda_limits().error_message_bytes
    return {
        "RequestID": event.request_id,
        "ErrorCode": "429" if reply.throttled else "200",
        "ErrorMessage": str(message).encode()[:most].decode(errors="ignore"),
    }
