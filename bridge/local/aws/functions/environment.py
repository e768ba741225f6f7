"""One execution environment: a task with its Runtime API, serving one invocation at a time."""

from __future__ import annotations

import json
import queue
import secrets
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import Final

from bridge.errors import BridgeError
from bridge.local.aws._logs import LogStream, LogWriter
from bridge.local.aws.functions.model import Function, Invocation, Outcome, failure
from bridge.local.aws.functions.runtime_api import (
    Answer,
    Channel,
    InitError,
    Message,
    Ready,
    RuntimeApi,
)
from bridge.local.aws.model import Place
from bridge.local.executors import Executor, Exit, Running, Task

_MIB: Final = 1024 * 1024
_TAIL: Final = 4_096
_LAST_OUTPUT: Final = 5.0  # a log of megabytes is still on its way when its invocation is over
_CORE_MB: Final = 1_769  # the memory at which AWS gives one whole core

Failure = tuple[str, str]
"""The errorType and the rest of the errorMessage."""


class Environment:
    """Started with its first invocation; `alive` is False once it must not be used again."""

    def __init__(
        self, function: Function, executor: Executor, api: RuntimeApi, logs: LogWriter, place: Place
    ) -> None:
        self.function = function
        self.alive = True
        self.idle_since = 0.0
        self._executor = executor
        self._api = api
        self._logs = logs
        self._place = place
        self._log = self._new_stream()
        self._tail = _Tail()
        self._channel: Channel | None = None
        self._mailbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._running: Running | None = None
        self._init_seconds: float | None = None

    @property
    def usable(self) -> bool:
        """True while its task runs and nobody retired it."""
        return self.alive and self._running is not None and self._running.wait(0) is None

    def invoke(self, invocation: Invocation, init_limit: float) -> Outcome:
        """Serve one invocation; an environment that fails is dead afterwards."""
        self._tail.clear()
        refused = self._prepare(init_limit)
        self._say(f"START RequestId: {invocation.request_id} Version: {self.function.version}")
        began = time.monotonic()
        outcome = self._failed(invocation, refused) if refused else self._serve(invocation)
        self._report(invocation, time.monotonic() - began, outcome)
        return Outcome(outcome.payload, outcome.error, self._tail.text())

    def stop(self) -> None:
        """Kill the task and close its address; no error when it is over."""
        self.alive = False
        running, self._running = self._running, None
        channel, self._channel = self._channel, None
        if running is not None:
            running.kill()
        if channel is not None:
            channel.close()
        self._log.close()

    def _prepare(self, init_limit: float) -> Failure | None:
        """Start the task when there is none and wait until it asks for an event.

        As on AWS, an initialisation that is too slow is started again with the function's own
        time limit.
        """
        if self._channel is not None:
            return None
        began = time.monotonic()
        refused = self._start(init_limit)
        if refused == _TIMED_OUT:
            self._say(f"INIT_REPORT Init Duration: {_ms(began)} ms Phase: init Status: timeout")
            self._restart()
            refused = self._start(float(self.function.timeout))
        self._init_seconds = time.monotonic() - began
        return refused

    def _start(self, limit: float) -> Failure | None:
        self._channel = channel = self._api.open()
        self._mailbox = channel.mailbox
        try:
            self._running = self._executor.start(
                self._task(channel.address), self._say, channel.mailbox.put
            )
        except BridgeError as error:
            hint = f" ({error.hint})" if error.hint else ""
            return "Runtime.InvalidEntrypoint", f"Error: {error.message}{hint}"
        return _init_failure(self._next(time.monotonic() + limit))

    def _restart(self) -> None:
        self.stop()
        self.alive = True

    def _serve(self, invocation: Invocation) -> Outcome:
        timeout = self.function.timeout
        limit = time.monotonic() + timeout
        if self._channel is not None:
            self._channel.send(invocation, time.time() + timeout)
        while not isinstance(message := self._next(limit), Answer):
            if message is None:
                return self._failed(invocation, _TIMED_OUT)
            if isinstance(message, Exit):
                return self._failed(invocation, exit_failure(message))
        if message.too_large:
            most = self._api.response_limit
            text = f"Response payload size exceeded maximum allowed payload size ({most} bytes)."
            return failure("Function.ResponseSizeTooLarge", text)
        return Outcome(message.body, "Unhandled" if message.error else "")

    def _next(self, limit: float) -> Message | None:
        try:
            return self._mailbox.get(timeout=max(0.0, limit - time.monotonic()))
        except queue.Empty:
            return None

    def _failed(self, invocation: Invocation, why: Failure) -> Outcome:
        """The environment is of no more use: end it, then say why."""
        self.stop()
        kind, text = why
        if kind == _INIT_ERROR:
            return Outcome(text.encode(), "Unhandled")
        if why == _TIMED_OUT:
            text = f"Task timed out after {self.function.timeout:.2f} seconds"
            self._say(f"{_now()} {invocation.request_id} {text}")
            text = f"Error: {text}"
        else:
            self._say(f"{kind} {text}")
        return failure(kind, f"RequestId: {invocation.request_id} {text}")

    def _report(self, invocation: Invocation, seconds: float, outcome: Outcome) -> None:
        running = self._running
        if running is not None:
            running.drain(_LAST_OUTPUT)
        self._say(f"END RequestId: {invocation.request_id}")
        peak = running.peak_memory if running is not None else None
        billed = int(seconds * 1000) + 1
        parts = [
            f"REPORT RequestId: {invocation.request_id}",
            f"Duration: {seconds * 1000:.2f} ms",
            f"Billed Duration: {billed} ms",
            f"Memory Size: {self.function.memory} MB",
        ]
        if peak:
            parts.append(f"Max Memory Used: {-(-peak // _MIB)} MB")
        if self._init_seconds is not None:
            parts.append(f"Init Duration: {self._init_seconds * 1000:.2f} ms")
            self._init_seconds = None
        if outcome.error and running is None:
            kind = outcome.value.get("errorType", "") if isinstance(outcome.value, dict) else ""
            parts.append(f"Status: error\tError Type: {kind}")
        self._say("\t".join(parts))
        self._log.flush()

    def _say(self, line: str) -> None:
        self._log.write(line)
        self._tail.append(line)

    def _new_stream(self) -> LogStream:
        function = self.function
        name = f"{datetime.now(UTC):%Y/%m/%d}/[{function.version}]{secrets.token_hex(16)}"
        group = function.log_group or f"/aws/lambda/{function.name}"
        return self._logs.stream(function.scope, group, name)

    def _task(self, address: str) -> Task:
        function = self.function
        return Task(
            name=f"lambda-{function.name}",
            image=function.image,
            argv=function.entry_point,
            args=function.command,
            env=self._variables(address),
            memory=function.memory * _MIB,
            cpus=max(function.memory / _CORE_MB, 0.1),
            workdir=function.workdir,
            read_only=True,
            scratch={"/tmp": function.storage * _MIB},  # noqa: S108  as on Lambda
        )

    def _variables(self, address: str) -> dict[str, str]:
        function = self.function
        reserved = {
            "AWS_LAMBDA_RUNTIME_API": address,
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": function.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
            "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group or f"/aws/lambda/{function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": self._log.name,
            "AWS_EXECUTION_ENV": "AWS_Lambda_Image",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "LAMBDA_TASK_ROOT": "/var/task",
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "_HANDLER": function.command[0] if function.command else "",
            "_X_AMZN_TRACE_ID": "",
        }
        session = {"AWS_SESSION_TOKEN": secrets.token_urlsafe(16), "TZ": ":UTC"}
        own = self._place.environment(function.scope) | session
        return own | dict(function.env) | reserved


class _Tail:
    """The last lines, at most _TAIL characters of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: deque[str] = deque()
        self._size = 0

    def append(self, line: str) -> None:
        with self._lock:
            self._lines.append(line)
            self._size += len(line) + 1
            while self._size > _TAIL and len(self._lines) > 1:
                self._size -= len(self._lines.popleft()) + 1

    def clear(self) -> None:
        with self._lock:
            self._lines.clear()
            self._size = 0

    def text(self) -> str:
        with self._lock:
            return "\n".join(self._lines)


_TIMED_OUT: Final[Failure] = ("Sandbox.Timedout", "")
_INIT_ERROR: Final = "InitError"


def exit_failure(end: Exit) -> Failure:
    """How AWS words the end of a runtime that should not have ended."""
    if end.unable:
        return "Runtime.InvalidEntrypoint", f"Error: {end.reason}"
    if end.oom:
        return "Runtime.OutOfMemory", "Error: Runtime exited with error: signal: killed"
    if end.signal is not None:
        name = {9: "killed", 11: "segmentation fault", 15: "terminated"}.get(end.signal)
        return (
            "Runtime.ExitError",
            f"Error: Runtime exited with error: signal: {name or end.signal}",
        )
    if end.code:
        return "Runtime.ExitError", f"Error: Runtime exited with error: exit status {end.code}"
    return "Runtime.ExitError", "Error: Runtime exited without providing a reason"


def _init_failure(message: Message | None) -> Failure | None:
    match message:
        case Ready():
            return None
        case InitError(body, kind):
            return _INIT_ERROR, _error_body(body, kind)
        case Exit():
            return exit_failure(message)
        case _:
            return _TIMED_OUT


def _error_body(body: bytes, kind: str) -> str:
    """What a runtime said of its failed start; JSON in any case."""
    try:
        json.loads(body)
    except ValueError:
        text = body.decode(errors="replace")
        return json.dumps({"errorType": kind or "Runtime.Unknown", "errorMessage": text})
    return body.decode()


def _ms(since: float) -> str:
    return f"{(time.monotonic() - since) * 1000:.2f}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
