"""What one invocation of a function wrote into the function's log group."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from bridge.errors import NotFoundError
from bridge.targets.aws.account import Account, translated
from bridge.targets.aws.common import log_lines

__all__ = ["GROUPS", "invocation_lines"]

GROUPS: Final = "/aws/lambda/"
"""What the names of functions' log groups begin with."""

_LAG: Final = 5.0
_WAIT: Final = 0.1


def invocation_lines(account: Account, group: str, job: str) -> Iterator[str]:
    """The lines of the job's invocations; of one that has begun, its end is waited for a while."""
    deadline = time.monotonic() + _LAG
    lines = list(_lines(account, group, job))
    while lines and not _is_whole(lines) and time.monotonic() < deadline:
        time.sleep(_WAIT)
        lines = list(_lines(account, group, job))
    yield from lines


def _lines(account: Account, group: str, job: str) -> Iterator[str]:
    client = account.client("logs")
    with contextlib.suppress(NotFoundError), translated(f"logs in {group}"):
        pages = client.get_paginator("filter_log_events").paginate(
            logGroupName=group, filterPattern=f'"{job}"'
        )
        hits = (hit["logStreamName"] for page in pages for hit in page["events"])
        for stream in dict.fromkeys(hits):
            yield from _invocation(log_lines(account, group, stream), job)


def _is_whole(lines: Sequence[str]) -> bool:
    return any(line.startswith("REPORT RequestId:") for line in lines)


def _invocation(lines: Iterable[str], job: str) -> Iterator[str]:
    """The lines from START to REPORT of the invocation that names the job."""
    block: list[str] = []
    for line in lines:
        if line.startswith("START RequestId:"):
            block = []
        block.append(line)
        if line.startswith("REPORT RequestId:"):
            if any(job in entry for entry in block):
                yield from block
            block = []
    if any(job in entry for entry in block):
        yield from block
