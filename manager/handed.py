"""Jobs that another cluster hands over: it names them, so that each is one however often sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from bridge.dispatch import JobStore
from bridge.errors import UsageError
from manager.access import ConflictError

__all__ = ["named_job"]

_HEADER: Final = "x-delegated-job-id"
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def named_job(headers: Mapping[str, str], service: str, jobs: JobStore) -> str:
    """The name that a call gives its job, "" for none.

    UsageError for one that no job has, ConflictError for one that another service's job has.
    """
    name = headers.get(_HEADER, "")
    if name and _NAME.fullmatch(name) is None:
        raise UsageError("a job's name is up to 63 lower-case letters, digits and dashes")
    known = jobs.job(name) if name else None
    if known is not None and known.service != service:
        raise ConflictError(f"{name} is the name of another service's job")
    return name
