"""One invocation from its payload to its answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from bridge.errors import BridgeError
from bridge.events import Event, decode, envelope, job_id
from bridge.supervisor import (
    Report,
    ServiceConfig,
    load_event,
    load_service,
    parse_report,
    run_job,
    script_secrets,
    secret_source,
    stores_for,
    work_base,
)
from bridge.supervisor.report import (
    FAILED,
    HANDED_OVER,
    SUCCEEDED,
    TIMED_OUT,
    earlier_success,
)
from bridge.supervisor.stores import SecretSource
from lambda_runtime import _payload, _response
from lambda_runtime._client import Failure, Invocation
from lambda_runtime._clock import Clock, threshold
from lambda_runtime._elsewhere import Arbiter, Elsewhere
from lambda_runtime._limits import limit
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


class _Order(NamedTuple):
    """One event, with the name and attempt that its dispatcher gave to the job."""

    event: Event
    job: str
    attempt: int
    dispatched: bool
    trace: str = ""


class Done(NamedTuple):
    """What the jobs of a payload replied, and those that this invocation does not finish."""

    reply: bytes = b""
    elsewhere: tuple[Elsewhere, ...] = ()


class Handler(NamedTuple):
    """A service that is ready to run. Invocations do not see each other."""

    environ: Mapping[str, str]
    service: ServiceConfig
    secrets: SecretSource
    clock: Clock
    arbiter: Arbiter
    log: Log

    @classmethod
    def load(cls, environ: Mapping[str, str], log: Log) -> Handler:
        """Read the service as the job contract says; raises what is wrong with it."""
        secrets = secret_source(environ)
        service = load_service(environ, stores_for(ServiceConfig(name=""), secrets))
        arbiter = Arbiter.load(environ)
        wanted = service.timeout_threshold
        clock = Clock(threshold(environ), wanted, hands_over=arbiter.batch is not None)
        return cls(environ, service, secrets, clock, arbiter, log)

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
            done = self._run(invocation, body, script)
            if done.elsewhere:
                return _response.elsewhere(invocation, done.elsewhere)
            return _checked(_response.succeeded(invocation, done.reply))
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

    def _run(self, invocation: Invocation, body: object, script: str) -> Done:
        """Run all jobs of a payload, one after the other. Failed when one failed."""
        replies, failures = [], []
        elsewhere: list[Elsewhere] = []
        for order in _orders(body, invocation.id):
            done = self._job(invocation, order, script)
            if isinstance(done, Elsewhere):
                elsewhere.append(done)
            elif done.state == SUCCEEDED and not done.reply_error:
                replies.append(done.reply)
            else:
                failures.append(self._failure(done))
        if failures:
            first, more = failures[0], len(failures) - 1
            note = f"(and {more} more of {more + 1 + len(replies)} jobs failed) " if more else ""
            raise Failed(first._replace(message=note + first.message))
        return Done(b"".join(replies), tuple(elsewhere))

    def _job(self, invocation: Invocation, order: _Order, script: str) -> Report | Elsewhere:
        """Run one job, unless another run has it or it goes on elsewhere."""
        name = order.job or job_id(self.service.name, order.event)
        order = order._replace(job=name)
        held = self.arbiter.take(name, order.attempt, invocation.id, invocation.deadline)
        passing = _Passing(self, invocation.id, order, script)
        if held is not None:
            return self._held(held, passing)
        # By this line an invocation is found in the log.
        self.log.write(f"[supervisor] job {name}: attempt {order.attempt}\n".encode())
        report = self._run_job(invocation, order, script, passing)
        if report.state == HANDED_OVER:
            return Elsewhere(name, order.attempt, HANDED_OVER, passing.found)
        if report.state == FAILED:
            self.arbiter.let_go(name, order.attempt)
        return report

    def _held(self, held: Elsewhere, passing: _Passing) -> Report | Elsewhere:
        """Another run's job: over, if that has reported its success."""
        if held.run is not None and passing(parse_report({"job": held.job, **held.run})):
            return held._replace(batch_job=passing.found)
        self.log.write(f"[supervisor] job {held.job} is {held.state} elsewhere\n".encode())
        place, base = self.environ.get("BRIDGE_REPORT", ""), work_base(self.environ)
        stores = stores_for(self.service, self.secrets)
        return earlier_success(held.job, place, stores, base) or held

    def _run_job(
        self, invocation: Invocation, order: _Order, script: str, passing: _Passing
    ) -> Report:
        service = self.service.with_script(script.encode()) if script else self.service
        time = self.clock.time_for(invocation.deadline)
        if time.script is not None and time.script <= 0:
            return self._too_late(order, passing)
        return run_job(
            service,
            order.event,
            stores=stores_for(service, self.secrets),
            base=work_base(self.environ),
            log=self.log.write,
            job=order.job,
            attempt=order.attempt,
            timeout=time.script,
            env=self._variables(invocation) | ({"TRACEPARENT": order.trace} if order.trace else {}),
            credentials=True,
            report=self.environ.get("BRIDGE_REPORT", ""),
            reply_limit=0 if self._is_dispatched(order) else _REPLY,
            grace=time.grace,
            handover=passing if self.arbiter.batch is not None else None,
        )

    def _is_dispatched(self, order: _Order) -> bool:
        """Whether somebody reads the report: the reply would only burden the destination."""
        return order.dispatched and self.environ.get("BRIDGE_REPORT", "").startswith("s3://")

    def _too_late(self, order: _Order, passing: _Passing) -> Report:
        text = "there was no time left for another job before the function's timeout"
        name = self.service.name
        report = Report(order.job, order.attempt, name, FAILED, reason=text, status=TIMED_OUT)
        if self.arbiter.batch is not None and passing(report):
            return report._replace(state=HANDED_OVER)
        return report

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


class _Passing:
    """Hands one job over when it comes to a limit; `found` is the Batch job then."""

    def __init__(self, handler: Handler, holder: str, order: _Order, script: str) -> None:
        self._handler = handler
        self._holder = holder
        self._order = order
        self._script = script
        self.found = ""

    def __call__(self, report: Report) -> bool:
        handler = self._handler
        stores = stores_for(handler.service, handler.secrets)
        self.found = handler.arbiter.hand_over(
            self._holder, self._order.event, report, self._script, stores
        )
        text = f"[supervisor] job {report.job}: handed over to Batch as {self.found}\n"
        handler.log.write(text.encode())
        return True


def failure_of(error: BridgeError) -> Failure:
    """An error of ours as the Runtime API takes it."""
    hint = f" ({error.hint})" if error.hint else ""
    return Failure(type(error).__name__, f"{error.message}{hint}")


def too_large(size: int | None = None, most: int | None = None) -> Failure:
    """The response is above Lambda's limit."""
    exact = f" of {size} bytes is above Lambda's limit of {most}" if size else " is too large"
    hint = "write large results to an output of the service instead"
    return Failure("ResponseTooLarge", f"the response{exact}: {hint}")


def _checked(response: bytes) -> bytes:
    if len(response) > _SURELY_SMALL and len(response) > (most := limit("response")):
        raise Failed(too_large(len(response), most))
    return response


def _orders(body: object, request: str) -> Iterator[_Order]:
    """The jobs of a body. Raw data is a job of its own for each request, also when it is equal."""
    wrapped = envelope(body)
    name, attempt = (wrapped.job, wrapped.attempt) if wrapped else ("", 1)
    trace = wrapped.trace if wrapped else ""
    for number, event in enumerate(decode(body, nonce=request), start=1):
        yield _Order(
            event, f"{name}-{number}" if name and number > 1 else name, attempt, bool(name), trace
        )
