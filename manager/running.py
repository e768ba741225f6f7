"""Synchronous calls: through a target that answers them, else as a job that is waited for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from bridge.dispatch import JobRecord
from bridge.errors import NotFoundError, TargetUnavailable, TemporaryError
from bridge.targets import JobState
from bridge.targets.protocol import Invokes, Reply
from manager.auth import Refused
from manager.core import Manager
from manager.jobs import job_log
from manager.service import Deployed

__all__ = ["run"]

# Lines of a job's log that are not the script's.
_NOT_THE_SCRIPTS: Final = re.compile(r"\[supervisor\] ")
_TOO_LARGE: Final = 413
_SOON: Final = 3.0
_TEXT: Final = "text/plain; charset=utf-8"


def run(
    manager: Manager,
    one: Deployed,
    body: bytes,
    headers: Mapping[str, str],
    *,
    query: str,
    gone: Callable[[], bool],
) -> Reply:
    """Call a service and wait for its answer. Refused (502) when it does not begin in time, or when
    `gone` says that nobody waits any more.

    The places that the service may be on are asked from the best one on, until one takes a request
    of that size. TemporaryError while it is on its way to all of them; where none of them answers
    calls, the call is a job that is not listed, and the answer is what its script said.
    """
    with _traced(manager, one, headers) as told:
        return _run(manager, one, body, told, query=query, gone=gone)


def _traced(
    manager: Manager, one: Deployed, headers: Mapping[str, str]
) -> AbstractContextManager[Mapping[str, str]]:
    tracing = manager.parts.tracing
    return nullcontext(headers) if tracing is None else tracing.calling(one.name, headers)


def _run(
    manager: Manager,
    one: Deployed,
    body: bytes,
    headers: Mapping[str, str],
    *,
    query: str,
    gone: Callable[[], bool],
) -> Reply:
    wait = manager.settings.run_wait
    too_large: Reply | None = None
    ranking = manager.places.ranking(one)
    for name in ranking:
        target = manager.parts.targets[name]
        if not isinstance(target, Invokes):
            continue
        try:
            reply = target.invoke(one.name, body, headers, wait, query=query, gone=gone)
        except NotFoundError:
            continue
        except TargetUnavailable as error:
            raise Refused(502, f"{one.name} is not ready: {error.message}") from error
        if reply.status != _TOO_LARGE:
            return reply
        too_large = reply
    if too_large is not None:
        return too_large
    if not ranking:
        _wait_for_rollout(manager, one)
    return _as_job(manager, one, body, headers, gone)


def _wait_for_rollout(manager: Manager, one: Deployed) -> None:
    """TemporaryError while the service comes to where it is to run."""
    for target, (state, why) in manager.rollouts.states(one.name).items():
        if state != "ready":
            raise TemporaryError(f"{one.name} is not on {target} yet: {why}", delay=_SOON)


def _as_job(
    manager: Manager,
    one: Deployed,
    body: bytes,
    headers: Mapping[str, str],
    gone: Callable[[], bool],
) -> Reply:
    # A call is a job of its own, whoever names it: its output is for this caller.
    given = {name: value for name, value in headers.items() if name != "x-delegated-job-id"}
    accepted = manager.submit(one, body, given, one.owner)
    if not accepted:
        return _text(200, b"")
    job = accepted[-1]
    record = manager.dispatcher.wait(job, manager.settings.run_wait, gone=gone)
    manager.parts.jobs.hide(one.name, job=job)
    if record is None or not record.state.final:
        manager.dispatcher.cancel(job)
        began = record is not None and record.started is not None
        raise Refused(504 if began else 502, f"{one.name} did not answer in time")
    said = "".join(f"{line}\n" for line in _said(manager, record)).encode()
    if record.state is JobState.SUCCEEDED:
        return _text(200, said)
    return _text(500, said or record.reason.encode())


def _said(manager: Manager, record: JobRecord) -> Iterator[str]:
    """What the script wrote to its outputs, without what we say around it."""
    target = manager.parts.targets.get(record.target)
    lines = job_log(target, record)
    return (line for line in lines if not _NOT_THE_SCRIPTS.match(line))


def _text(status: int, body: bytes) -> Reply:
    return Reply(status, {"content-type": _TEXT}, iter([body]), lambda: None)
