"""The job of this container, from Batch's variables to its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from batch._array import array_event
from batch._place import Place, place_of
from bridge.errors import BridgeError, EventError
from bridge.events import envelope, job_id
from bridge.supervisor import (
    Order,
    Report,
    ServiceConfig,
    load_event,
    load_service,
    orders,
    run_job,
    script_secrets,
    secret_source,
    stores_for,
    work_base,
    write_report,
)
from bridge.supervisor.once import refusal, run_orders, writer
from bridge.supervisor.sources import seconds
from bridge.supervisor.stores import StoreFactory

_STDOUT: Final = 1
_STAGE_OUT_FAILED: Final = 126


def run(environ: Mapping[str, str]) -> Report:
    """Run what the job contract's and Batch's variables describe; the report that counts.

    The script's output goes to standard output. It sees the job role's credentials, as any
    program in a Batch container does. Faults of the service or the event become a report too.
    """
    log = writer(_STDOUT)
    secrets = secret_source(environ)
    s3 = stores_for(ServiceConfig(name=""), secrets)
    base, name = work_base(environ), environ.get("JOB_UUID", "")
    target = environ.get("BRIDGE_REPORT", "")
    try:
        place = place_of(environ)
        target = target if place.main else ""
        if environ.get("BRIDGE_ARRAY_URL"):
            body = array_event(environ, place, s3, base)
            # A job of its own, with its own name.
            place, name = place._replace(child=None), _named(body)
        else:
            body = load_event(environ, s3, base)
        name = _child(name, place)
        service = load_service(environ, s3)
        found = [_again(one, place) for one in orders(body, environ.get("JOB_UUID", ""))]
        mine = _mine(found, place, service)
        variables = script_secrets(secrets)
        timeout = seconds(environ.get("BRIDGE_TIMEOUT"), "BRIDGE_TIMEOUT")
    except BridgeError as error:
        report = refusal(error, name)
        log(f"[supervisor] {report.reason}\n".encode("utf-8", "replace"))
        return _told(report, target, s3, base)
    if not place.main:
        service = service._replace(outputs=())
    stores = stores_for(service, secrets)

    def one(order: Order) -> Report:
        return run_job(
            service,
            order.event,
            stores=stores,
            base=base,
            log=log,
            job=order.job,
            attempt=order.attempt,
            timeout=timeout,
            env=variables,
            credentials=True,
            report=target,
        )

    return run_orders(mine, one, place=target, stores=stores, base=base)[1]


def _named(body: bytes) -> str:
    found = envelope(body)
    return found.job if found else ""


def _again(order: Order, place: Place) -> Order:
    """Batch counts its own retries from 1, within one attempt of the dispatcher."""
    return order._replace(attempt=order.attempt + (place.attempt or 1) - 1)


def _mine(found: Sequence[Order], place: Place, service: ServiceConfig) -> list[Order]:
    """The jobs of this container: all of them, but in an array job just the one of its number."""
    if place.child is None or not found:
        return list(found)
    if len(found) == 1:
        order = found[0]
        name = order.job or job_id(service.name, order.event)
        return [order._replace(job=_child(name, place))]
    if place.child >= len(found):
        raise EventError(
            f"this is child {place.child} of an array job, and the event has {len(found)} records",
            hint="submit the array with as many children as records",
        )
    order = found[place.child]
    return [order._replace(job=_child(found[0].job, place))]


def _child(name: str, place: Place) -> str:
    return name if place.child is None or not name else f"{name}-{place.child}"


def _told(report: Report, target: str, s3: StoreFactory, base: str) -> Report:
    """Write the report of a job that could not begin, where that is possible."""
    if not target or (not report.job and (target.startswith("s3://") or target.endswith("/"))):
        return report
    try:
        write_report(report, target, s3, base)
    except BridgeError as error:
        return report._replace(status=_STAGE_OUT_FAILED, reason=f"{report.reason}; {error.message}")
    return report
