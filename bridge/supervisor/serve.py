"""The warm entry: one job per line of standard input, its report on one line of standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from bridge.errors import BridgeError, EventError, UsageError
from bridge.supervisor import _signals
from bridge.supervisor.job import Log, run_job
from bridge.supervisor.once import Order, orders, refusal, run_orders, writer
from bridge.supervisor.report import SIGNALLED, Report
from bridge.supervisor.sources import read_file, read_service, work_base
from bridge.supervisor.stores import SECRETS_DIR, folder_secrets, script_secrets, stores_for

# pathlib is left out: importing it costs the supervisor a tenth of its start.
# ruff: noqa: PTH103, PTH120

_KEYS = frozenset(
    "service_file script_file event job attempt timeout report log env secrets_dir".split()  # noqa: SIM905
)


class Request(NamedTuple):
    """One line of the warm protocol (see the job contract)."""

    service_file: str
    event: object
    script_file: str = ""
    job: str = ""
    attempt: int | None = None
    timeout: float | None = None
    report: str = ""
    log: str = ""
    env: Mapping[str, str] | None = None
    secrets_dir: str = SECRETS_DIR


def parse_request(line: bytes) -> Request:
    """Read a line; UsageError that says what is wrong with it."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the request is not JSON: {error}") from None
    if not isinstance(values, dict) or "event" not in values:
        raise UsageError("the request must be an object with `service_file` and `event`")
    unknown = values.keys() - _KEYS
    if unknown:
        raise UsageError(f"the request has unknown keys: {', '.join(sorted(unknown))}")
    given = {name: value for name, value in values.items() if value is not None or name == "event"}
    for name in ("service_file", "script_file", "job", "report", "log", "secrets_dir"):
        if not isinstance(given.get(name, ""), str):
            raise UsageError(f"`{name}` must be text")
    if not given.get("service_file"):
        raise UsageError("the request has no `service_file`")
    return Request(**given | _checked(given))


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are not plain text."""
    timeout, attempt, env = (given.get(name) for name in ("timeout", "attempt", "env"))
    if timeout is not None and (not _is_number(timeout) or timeout <= 0):
        raise UsageError("`timeout` must be a number of seconds above 0, or null")
    if attempt is not None and (not isinstance(attempt, int) or attempt < 1):
        raise UsageError("`attempt` must be a whole number from 1")
    if env is not None and not (
        isinstance(env, dict) and all(isinstance(value, str) for value in env.values())
    ):
        raise UsageError("`env` must be an object of texts")
    return {"timeout": timeout, "attempt": attempt, "env": env}


def answer(line: bytes) -> Report:
    """Run the job of one line; every fault of the line is a report too."""
    try:
        request = parse_request(line)
    except BridgeError as error:
        return refusal(error, "")
    try:
        with _log(request.log) as log:
            return _run(request, log)
    except OSError as error:
        text = f"cannot write the log {request.log}: {error.strerror}"
        return refusal(EventError(text), request.job)


def _run(request: Request, log: Log) -> Report:
    base = work_base(os.environ)
    try:
        found = orders(request.event, request.job, request.attempt)
        service = read_service(request.service_file)
        if request.script_file:
            service = service.with_script(read_file(request.script_file))
        secrets = folder_secrets(request.secrets_dir)
        variables = script_secrets(secrets) | dict(request.env or {})
    except BridgeError as error:
        report = refusal(error, request.job)
        log(f"[supervisor] {report.reason}\n".encode("utf-8", "replace"))
        return report
    stores = stores_for(service, secrets)

    def run(order: Order) -> Report:
        return run_job(
            service,
            order.event,
            stores=stores,
            base=base,
            log=log,
            job=order.job,
            attempt=order.attempt,
            timeout=request.timeout,
            env={**variables, **order.variables},
            report=request.report,
        )

    return run_orders(found, run, place=request.report, stores=stores, base=base)[1]


def main() -> int:
    """Answer lines until the input ends or a signal comes; the exit status."""
    _signals.install()
    send = writer(_own_output())
    try:
        for line in sys.stdin.buffer:
            if not line.strip():
                continue
            with _signals.held_back():
                with _signals.let_through():
                    report = answer(line)
                send(report.line())
            if _signals.arrived():
                break
    except _signals.Terminated:
        pass
    except OSError:
        # Nobody reads our answers any more.
        return 1
    return SIGNALLED + _signals.arrived() if _signals.arrived() else 0


def _own_output() -> int:
    """Standard output for the protocol alone: a stray print must not break it."""
    protocol = os.dup(1)
    os.dup2(2, 1)
    return protocol


@contextmanager
def _log(path: str) -> Iterator[Log]:
    """The job's log, appended to; standard error when there is no path."""
    if not path:
        yield writer(2)
        return
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        yield writer(descriptor)
    finally:
        os.close(descriptor)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
