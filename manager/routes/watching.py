"""`/ready` and `/metrics`: for who keeps the manager running."""

from __future__ import annotations

import threading
import time
from typing import Final

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response

from bridge.errors import BridgeError
from manager._http import text_answer
from manager.auth import Caller
from manager.core import LOG, Manager
from manager.gate import Gate
from manager.telemetry import Telemetry

__all__ = ["router"]

# Seconds between two writes: anybody may ask.
_PAUSE: Final = 5.0
_PROBE: Final = "readiness"


def router(manager: Manager, gate: Gate, telemetry: Telemetry) -> APIRouter:
    """See the module."""
    routes = APIRouter(tags=["system"])
    probe = _Probe(manager)

    @routes.get("/ready", response_class=PlainTextResponse)
    def ready() -> Response:
        """Whether jobs run and what is accepted can be kept; 503 when not. `Ok` and more, where the
        object store sends no events."""
        if why := probe.missing():
            return text_answer(f"not ready: {why}", 503)
        silent = len(manager.inputs.silent)
        more = f"; {silent} buckets are listed, as no events of them come" if silent else ""
        return text_answer(f"Ok{more}")

    @routes.get("/metrics", response_class=PlainTextResponse)
    def metrics(caller: Caller = gate.admin) -> Response:
        """What Prometheus reads, with the administrator's name and password."""
        return Response(telemetry.text(), headers={"content-type": CONTENT_TYPE_LATEST})

    return routes


class _Probe:
    """Says what is missing; both stores are written to for it, now and then."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._writable = False

    def missing(self) -> str:
        """What is missing, "" for nothing."""
        if not self._manager.ready or self._manager.stopping.is_set():
            return "services are not loaded yet, or it is about to end"
        # While one looks, the others hear what was seen before: a database that hangs holds one
        # thread, not all that are asked for.
        if time.monotonic() - self._looked >= _PAUSE and self._lock.acquire(blocking=False):
            try:
                self._writable = self._write()
                self._looked = time.monotonic()
            finally:
                self._lock.release()
        return "" if self._writable else "the state cannot be written"

    def _write(self) -> bool:
        try:
            # A lease that is over: nobody has it, and it is one row.
            self._manager.parts.jobs.lease(_PROBE, 0.0)
            self._manager.parts.state.put_setting(_PROBE, time.time())
        except BridgeError as error:
            LOG.warning("not ready: %s", error)
            return False
        return True
