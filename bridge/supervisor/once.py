"""The one-shot entry: one event from the environment, its jobs one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from bridge.errors import BridgeError, EventError
from bridge.events import Event, decode, envelope
from bridge.supervisor import _signals
from bridge.supervisor.config import ServiceConfig
from bridge.supervisor.job import Log, run_job
from bridge.supervisor.report import (
    FAILED,
    SIGNALLED,
    STAGE_IN_FAILED,
    STAGE_OUT_FAILED,
    Report,
    write_report,
)
from bridge.supervisor.sources import load_event, load_service, seconds, work_base
from bridge.supervisor.stores import StoreFactory, script_secrets, secret_source, stores_for

#: How many bytes of files a reply on standard output may carry.
REPLY_LIMIT = 64 << 20
_LONGEST_NAME = 128


class Order(NamedTuple):
    """One event with the name, attempt and trace that its dispatcher gave to the job ("" for
    none)."""

    event: Event
    job: str = ""
    attempt: int = 1
    trace: str = ""

    @property
    def variables(self) -> dict[str, str]:
        """What the script is told of it beside the event: where its own spans belong."""
        return {"TRACEPARENT": self.trace} if self.trace else {}


def orders(body: object, job: str = "", attempt: int | None = None) -> list[Order]:
    """The jobs in a body of the job contract; `job` and `attempt` beat what an envelope says.

    Of several events the first keeps the job's name, the others add -2, -3, … Nothing when the
    body starts nothing. Raises EventError when it cannot be understood.
    """
    wrapped = envelope(body)
    name = job or (wrapped.job if wrapped else "")
    if name and not _is_name(name):
        raise EventError(f"the job's name {name!r} is not made of letters, digits, '-', '_', '.'")
    number = attempt or (wrapped.attempt if wrapped else 1)
    trace = wrapped.trace if wrapped else ""
    return [
        Order(event, f"{name}-{n}" if name and n > 1 else name, number, trace)
        for n, event in enumerate(decode(body), start=1)
    ]


def run_orders(
    found: Sequence[Order],
    run: Callable[[Order], Report],
    *,
    place: str,
    stores: StoreFactory,
    base: str,
) -> tuple[list[Report], Report]:
    """Run one job after the other; all reports, and the one that stands for them.

    That is the first failure, else the last success; a report file (not a folder, not S3), which
    holds one report, gets it. A signal stops what has not begun.
    """
    results: list[Report] = []
    for order in found:
        if not _signals.arrived():
            results.append(run(order))
    if not results:
        return [], Report(job="", reason="the event starts nothing")
    counts = next((result for result in results if result.state == FAILED), results[-1])
    if counts is not results[-1] and place and not place.startswith("s3://"):
        write_report(counts, place, stores, base)
    return results, counts


def run_once(
    environ: Mapping[str, str],
    *,
    credentials: bool = False,
    reply: bool = False,
    attempt: int | None = None,
) -> Report:
    """Run what the job contract's variables describe; the report that counts (see `run_orders`).

    The script's output goes to standard output, or with `reply` to standard error and the reply of
    the first event to standard output. `credentials` shows the script this process's AWS
    credentials; `attempt` counts from 1 and beats the envelope's. Faults of the service or of the
    event become a report too.
    """
    log = writer(2 if reply else 1)
    secrets = secret_source(environ)
    s3 = stores_for(ServiceConfig(name=""), secrets)
    base, place = work_base(environ), environ.get("BRIDGE_REPORT", "")
    found: list[Order] = []
    try:
        body = load_event(environ, s3, base)
        found = orders(body, environ.get("JOB_UUID", ""), attempt)
        service = load_service(environ, s3)
        timeout = seconds(environ.get("BRIDGE_TIMEOUT"), "BRIDGE_TIMEOUT")
        variables = script_secrets(secrets)
    except BridgeError as error:
        job = found[0].job if found else environ.get("JOB_UUID", "")
        return _told(refusal(error, job), log, place, s3, base)
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
            timeout=timeout,
            env={**variables, **order.variables},
            credentials=credentials,
            report=place,
            reply_limit=REPLY_LIMIT if reply else 0,
        )

    results, counts = run_orders(found, run, place=place, stores=stores, base=base)
    if reply and results:
        writer(1)(results[0].reply)
    return counts


def refusal(error: BridgeError, job: str) -> Report:
    """The report of a job that could not even begin."""
    hint = f" ({error.hint})" if error.hint else ""
    reason = f"{error.message}{hint}"
    return Report(job=job, state=FAILED, status=STAGE_IN_FAILED, reason=reason)


def writer(descriptor: int) -> Log:
    """A log that is an open file descriptor; every byte arrives or OSError is raised."""

    def write(block: bytes) -> None:
        view = memoryview(block)
        while view:
            view = view[os.write(descriptor, view) :]

    return write


def main(arguments: Sequence[str]) -> int:
    """`python -m bridge.supervisor [--reply]`: run once, exit as the job contract says."""
    _signals.install()
    try:
        report = run_once(os.environ, reply="--reply" in arguments)
    except _signals.Terminated as error:
        return SIGNALLED + error.number
    return SIGNALLED + _signals.arrived() if _signals.arrived() else report.status


def _told(report: Report, log: Log, place: str, s3: StoreFactory, base: str) -> Report:
    log(f"[supervisor] {report.reason}\n".encode("utf-8", "replace"))
    if place and (report.job or not place.startswith("s3://")):
        try:
            write_report(report, place, s3, base)
        except BridgeError as error:
            log(f"[supervisor] {error.message}\n".encode("utf-8", "replace"))
            return Report(
                job=report.job, state=FAILED, status=STAGE_OUT_FAILED, reason=report.reason
            )
    return report


def _is_name(name: str) -> bool:
    fit = all(c.isascii() and (c.isalnum() or c in "-_.") for c in name)
    return fit and len(name) <= _LONGEST_NAME and name[0] not in ".-"
