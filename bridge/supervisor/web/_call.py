"""One call, in a process of its own: take the body, run the job, send the answer."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from bridge.errors import BridgeError
from bridge.events import Event, EventKind, decode, job_prefix
from bridge.supervisor import _signals
from bridge.supervisor.config import ServiceConfig
from bridge.supervisor.job import run_job
from bridge.supervisor.once import writer
from bridge.supervisor.report import FAILED, SUCCEEDED, TIMED_OUT, Report
from bridge.supervisor.stores import SecretSource, script_secrets, stores_for
from bridge.supervisor.web._answer import Body, Kept, head
from bridge.supervisor.web._body import Received, Wire, receive, unpacked
from bridge.supervisor.web._request import Head, Refused

# pathlib is left out: importing it costs the supervisor a tenth of its start.
# ruff: noqa: PTH108, PTH118

#: How a call's process ends: the connection may serve on, or must be closed.
GOES_ON, OVER = 0, 1
_IDLE = 60.0
_PR_SET_PDEATHSIG = 1


class Setting(NamedTuple):
    """What all calls of this process have in common. `timeout` is in seconds, None for no limit."""

    service: ServiceConfig
    secrets: SecretSource
    base: str
    timeout: float | None = None


def in_child(setting: Setting, connection: socket.socket, request: Head, rest: bytes) -> int:
    """Answer one call in a process that was just forked for it; what it is to end with.

    SIGTERM, SIGINT and SIGCHLD are blocked when it begins. SIGTERM, or the death of the parent,
    ends the script and everything that it has started; then nothing is answered.
    """
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _signals.install()
    _end_with_parent()
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        connection.settimeout(_IDLE)
        return _answered(setting, connection, request, rest)
    except (_signals.Terminated, OSError):
        return OVER


def _answered(setting: Setting, connection: socket.socket, request: Head, rest: bytes) -> int:
    job = f"{job_prefix(setting.service.name)}{os.urandom(16).hex()}"
    path = os.path.join(setting.base, f".bridge-{job}")
    wire = Wire(connection, request, rest)
    kept = Kept(setting.base)
    lasts = False
    try:
        received = receive(wire, path)
        lasts = request.lasts and not wire.more
        status, body = _run(setting, request, unpacked(received), job, kept)
    except Refused as error:
        status, body = error.status, _line(error.text)
    except Exception as error:
        # A fault of ours: the caller must have an answer nevertheless.
        status, body = 500, _line(f"the supervisor failed: {type(error).__name__}: {error}")
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)
    with _signals.held_back():
        connection.sendall(head(status, body.size, lasts=lasts))
        for block in body.blocks():
            connection.sendall(block)
    return GOES_ON if lasts else OVER


def _run(
    setting: Setting, request: Head, received: Received, job: str, kept: Kept
) -> tuple[int, Body]:
    """Run the jobs of the body, one after the other; the first one's answer is the call's."""
    try:
        events = _events(request, received, job)
        variables = script_secrets(setting.secrets)
    except BridgeError as error:
        return 400, _line(error.message)
    stores = stores_for(setting.service, setting.secrets)
    answer: tuple[int, Body] = 200, Body()
    for number, event in enumerate(events, start=1):
        report = run_job(
            setting.service,
            event,
            stores=stores,
            base=setting.base,
            log=writer(1),
            job=f"{job}-{number}" if number > 1 else job,
            timeout=setting.timeout,
            env=variables,
            data=received.path,
            caller=kept if number == 1 else None,
        )
        if number == 1 or report.state == FAILED:
            answer = _answer(report, kept)
        if report.state == FAILED:
            break
    return answer


def _events(request: Head, received: Received, job: str) -> list[Event]:
    """The events of a body; raw data takes the query with it."""
    query = _query(request.query)
    if received.path:
        return [Event(EventKind.UNKNOWN, body=b"", query=query, nonce=job)]
    headers = {name: value for name, value in request.headers.items() if name.startswith("ce-")}
    found = decode(received.content, headers=headers, nonce=job)
    if not query:
        return found
    from dataclasses import replace  # noqa: PLC0415  few calls have a query

    return [replace(event, query={**query, **event.query}) for event in found]


def _query(text: str) -> Mapping[str, str]:
    if not text:
        return {}
    from urllib.parse import parse_qsl  # noqa: PLC0415  few calls have a query

    return dict(parse_qsl(text, keep_blank_values=True, errors="surrogateescape"))


def _answer(report: Report, kept: Kept) -> tuple[int, Body]:
    """Status and body for a report: the result, or what the script said and why it failed."""
    if report.state == SUCCEEDED:
        return (500, _line(kept.problem)) if kept.problem else (200, kept.result())
    kept.line(report.reason)
    return 504 if report.status == TIMED_OUT else 500, kept.said()


def _line(text: str) -> Body:
    return Body(f"{text}\n".encode("utf-8", "replace"))


def _end_with_parent() -> None:
    """Have the kernel send SIGTERM when the parent dies, so that no script outlives the server."""
    import ctypes  # noqa: PLC0415  loaded before the fork

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
