"""Synchronous calls: through a target that answers them, else as a job that is waited for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bridge.dispatch import JobRecord
from bridge.targets import JobState
from manager.auth import Refused
from manager.core import Manager
from manager.service import Deployed

__all__ = ["Reply", "run"]

# Lines of a job's log that are not the script's.
_NOT_THE_SCRIPTS: Final = re.compile(r"\[supervisor\] ")


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a call."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def run(manager: Manager, one: Deployed, body: bytes, headers: Mapping[str, str]) -> Reply:
    """Call a service and wait for its answer. Refused (502) when it does not begin in time."""
    accepted = manager.submit(one, body, headers)
    if not accepted:
        return Reply(200, b"")
    job = accepted[-1]
    record = manager.dispatcher.wait(job, manager.settings.run_wait)
    manager.parts.jobs.hide(one.name, job=job)
    if record is None or not record.state.final:
        manager.dispatcher.cancel(job)
        began = record is not None and record.started is not None
        raise Refused(504 if began else 502, f"{one.name} did not answer in time")
    said = _said(manager, record)
    if record.state is JobState.SUCCEEDED:
        return Reply(200, said)
    return Reply(500, said or record.reason.encode())


def _said(manager: Manager, record: JobRecord) -> bytes:
    """The script's text: what it wrote to its outputs, without what we say around it."""
    target = manager.parts.targets.get(record.target)
    lines = target.logs(record.id) if target else iter(())
    said = (line for line in lines if not _NOT_THE_SCRIPTS.match(line))
    return "".join(f"{line}\n" for line in said).encode()
