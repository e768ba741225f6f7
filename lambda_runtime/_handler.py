"""One invocation from its payload to its answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from bridge.errors import BridgeError
from bridge.events import decode, envelope
from bridge.supervisor import (
    Order,
    Report,
    ServiceConfig,
    load_event,
    load_service,
    run_job,
    script_secrets,
    secret_source,
    stores_for,
    work_base,
)
from bridge.supervisor.stores import SecretSource
from lambda_runtime import _payload, _response
from lambda_runtime._client import Failure, Invocation
from lambda_runtime._clock import threshold, time_for_script
from lambda_runtime._log import Log

# Files of a reply are read up to here: more than any response may have, so that the exact limit
# is judged on the whole response.
_REPLY: Final = 8 << 20
_SURELY_SMALL: Final = 1 << 20
_TYPES: Final[Mapping[int, str]] = {
    124: "ScriptTimeout",
    125: "StageInError",
    126: "StageOutError",
    127: "NoScriptError",
}


class Failed(Exception):
    """The invocation has failed; `failure` is what is said of it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Handler(NamedTuple):
    """A service that is ready to run. Invocations do not see each other."""

    environ: Mapping[str, str]
    service: ServiceConfig
    secrets: SecretSource
    kept: float | None
    log: Log

    @classmethod
    def load(cls, environ: Mapping[str, str], log: Log) -> Handler:
        """Read the service as the job contract says; raises what is wrong with it."""
        secrets = secret_source(environ)
        service = load_service(environ, stores_for(ServiceConfig(name=""), secrets))
        return cls(environ, service, secrets, threshold(environ), log)

    def handle(self, invocation: Invocation) -> bytes:
        """The response. Raises Failed when the invocation is to be reported as failed."""
        self.log.begin()
        try:
            body = _payload.parse(invocation.payload)
        except BridgeError as error:
            raise Failed(failure_of(error)) from error
        shape = _payload.shape(body)
        if shape is _payload.Shape.QUEUE:
            return self._batch(invocation, body)
        try:
            script = ""
            if shape is _payload.Shape.DIRECT:
                script, body = self._direct(body)
            return _checked(_response.succeeded(invocation, self._run(invocation, body, script)))
        except BridgeError as error:
            failed = Failed(failure_of(error))
        except Failed as error:
            failed = error
        if shape is _payload.Shape.HTTP:
            return _response.refused(invocation, failed.failure)
        raise failed

    def _batch(self, invocation: Invocation, body: dict[str, Any]) -> bytes:
        """Run a queue's messages. Of a FIFO group, nothing runs after a failure."""
        failed: list[str] = []
        stopped: set[str] = set()
        for message in _payload.messages(body):
            if message.group in stopped or not self._passes(invocation, message):
                failed.append(message.id)
                if message.group:
                    stopped.add(message.group)
        return _response.batch(failed)

    def _passes(self, invocation: Invocation, message: _payload.Message) -> bool:
        try:
            self._run(invocation, message.body, "")
        except BridgeError as error:
            reason = error.message
        except Failed as error:
            reason = error.failure.message
        else:
            return True
        self.log.write(f"[supervisor] message {message.id} comes again: {reason}\n".encode())
        return False

    def _direct(self, body: object) -> tuple[str, object]:
        """The script and the event of a payload that our caller made, not an event source."""
        script, rest = _payload.script(body)
        if isinstance(rest, dict) and isinstance(rest.get("event_url"), str):
            stores = stores_for(self.service, self.secrets)
            where = {"BRIDGE_EVENT_URL": rest["event_url"]}
            return script, _payload.parse(load_event(where, stores, work_base(self.environ)))
        return script, rest

    def _run(self, invocation: Invocation, body: object, script: str) -> bytes:
        """Run all jobs of a payload, one after the other; their replies. Failed when one failed."""
        service = self.service.with_script(script.encode()) if script else self.service
        replies, failures = [], []
        for order in _orders(body, invocation.id):
            report = self._job(invocation, service, order)
            if report.state == "succeeded" and not report.reply_error:
                replies.append(report.reply)
            else:
                failures.append(self._failure(report))
        if failures:
            first, more = failures[0], len(failures) - 1
            note = f"(and {more} more of {more + 1 + len(replies)} jobs failed) " if more else ""
            raise Failed(first._replace(message=note + first.message))
        return b"".join(replies)

    def _job(self, invocation: Invocation, service: ServiceConfig, order: Order) -> Report:
        seconds = time_for_script(invocation.deadline, self.kept)
        if seconds is not None and seconds <= 0:
            text = "there was no time left for another job before the function's timeout"
            raise Failed(Failure("ScriptTimeout", text))
        return run_job(
            service,
            order.event,
            stores=stores_for(service, self.secrets),
            base=work_base(self.environ),
            log=self.log.write,
            job=order.job,
            attempt=order.attempt,
            timeout=seconds,
            env=self._variables(invocation),
            credentials=True,
            report=self.environ.get("BRIDGE_REPORT", ""),
            reply_limit=_REPLY,
        )

    def _variables(self, invocation: Invocation) -> dict[str, str]:
        named = {
            "AWS_LAMBDA_REQUEST_ID": invocation.id,
            "REQUEST_ID": invocation.id,
            "_X_AMZN_TRACE_ID": invocation.trace,
        }
        return script_secrets(self.secrets) | {name: v for name, v in named.items() if v}

    def _failure(self, report: Report) -> Failure:
        if report.state == "succeeded":
            return Failure("ResponseTooLarge", f"job {report.job}: {report.reply_error}")
        lines = self.log.tail()
        text = f"job {report.job}: {report.reason}"
        if lines:
            text += "; the end of its log:\n" + "\n".join(lines)
        kind = _TYPES.get(report.status) if report.exit_code is None else None
        return Failure(kind or "ScriptError", text)


def failure_of(error: BridgeError) -> Failure:
    """An error of ours as the Runtime API takes it."""
    hint = f" ({error.hint})" if error.hint else ""
    return Failure(type(error).__name__, f"{error.message}{hint}")


def too_large(size: int | None = None, limit: int | None = None) -> Failure:
    """The response is above Lambda's limit."""
    exact = f" of {size} bytes is above Lambda's limit of {limit}" if size else " is too large"
    hint = "write large results to an output of the service instead"
    return Failure("ResponseTooLarge", f"the response{exact}: {hint}")


def _checked(response: bytes) -> bytes:
    if len(response) > _SURELY_SMALL and len(response) > (limit := _limit()):
        raise Failed(too_large(len(response), limit))
    return response


def _limit() -> int:
    import tomllib  # noqa: PLC0415  (only large responses pay for it)
    from importlib.resources import files  # noqa: PLC0415

    text = files(__package__).joinpath("limits.toml").read_text("utf-8")
    return int(tomllib.loads(text)["response"]["bytes"])


def _orders(body: object, request: str) -> Iterator[Order]:
    """The jobs of a body. Raw data is a job of its own for each request, also when it is equal."""
    wrapped = envelope(body)
    name, attempt = (wrapped.job, wrapped.attempt) if wrapped else ("", 1)
    for number, event in enumerate(decode(body, nonce=request), start=1):
        yield Order(event, f"{name}-{number}" if name and number > 1 else name, attempt)
