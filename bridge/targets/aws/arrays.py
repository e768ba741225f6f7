"""Many jobs as one array job of Batch: one call, and each child is a job of its own.

Who is in an array is written to the work bucket before it is submitted, so that a child finds its
event by its number. The caller records which job has which number before it submits; what it finds
on record after a crash is settled: the array was submitted, or it never will be.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, Final, NamedTuple

from bridge.errors import TargetUnavailable
from bridge.events import delegated, job_prefix
from bridge.targets.aws.account import Account, translated
from bridge.targets.aws.submission import find_job
from bridge.targets.protocol import Job

__all__ = [
    "ArrayNews",
    "Member",
    "array_root",
    "child_of",
    "make_array",
    "member_of",
    "members_of",
    "settle_array",
    "variables",
]

PAGE: Final = 100
"""Events to an object: a child reads one object, whatever the size of its array."""

_ROOT: Final = "array/"
# A larger event has an object of its own.
_LARGE: Final = 16 * 1024
_AT_ONCE: Final = 8
_NEVER: Final = 1e12
_FENCE: Final = "settled"
_LISTED: Final = ("RUNNING", "SUCCEEDED", "FAILED")


def array_root(name: str) -> str:
    """What an array is called as long as it may not have been submitted."""
    return f"{_ROOT}{name}"


def child_of(handle: str) -> tuple[str, str, bool]:
    """A handle's root and number, and whether the root is a name (see `array_root`).

    The number is "" for a job that is in no array.
    """
    root, _, number = handle.partition(":")
    return root.removeprefix(_ROOT), number, root.startswith(_ROOT)


def make_array(account: Account, jobs: Sequence[Job]) -> str:
    """Write down the events of an array; its name, which was never used before."""
    name = f"{job_prefix(jobs[0].service)}{secrets.token_hex(12)}"
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        entries = list(pool.map(lambda job: _entry(account, job), jobs))
        pages = [entries[start : start + PAGE] for start in range(0, len(entries), PAGE)]
        keys = _pages(name, len(jobs))
        list(pool.map(account.put, keys, map(_text, pages)))
    return name


def _entry(account: Account, job: Job) -> dict[str, Any]:
    body = delegated(job.event, job.event.provider, job.id, job.attempt, job.trace)
    text = _text(body)
    if len(text) <= _LARGE:
        return body
    url = account.put(f"events/{job.id}.json", text)
    return {"event_url": url, "job_id": job.id, "attempt": job.attempt}


def _text(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _pages(name: str, size: int) -> list[str]:
    return [f"arrays/{name}/{page}.json" for page in range(math.ceil(size / PAGE))]


def variables(account: Account, name: str) -> dict[str, str]:
    """What tells a child where its event is."""
    where = f"s3://{account.bucket}/arrays/{name}/"
    return {"BRIDGE_ARRAY_URL": where, "BRIDGE_ARRAY_PAGE": str(PAGE)}


class Member(NamedTuple):
    """Which attempt of which job a child of an array runs."""

    job: str
    attempt: int


def member_of(account: Account, name: str, number: int) -> Member | None:
    """Child `number` of the array that was made under this name; None when it is not written."""
    page = _members(account, name, number // PAGE)
    return page[number % PAGE] if number % PAGE < len(page) else None


def members_of(account: Account, name: str) -> list[Member]:
    """All children of an array, in order; none when its events were removed."""
    found: list[Member] = []
    for page in count():
        found += (members := _members(account, name, page))
        if len(members) < PAGE:
            return found
    return found


def _members(account: Account, name: str, page: int) -> list[Member]:
    text = account.get(f"arrays/{name}/{page}.json")
    try:
        entries = json.loads(text or b"[]")
        return [Member(str(one["job_id"]), int(one["attempt"])) for one in entries]
    except (ValueError, LookupError, TypeError):
        return []


def settle_array(account: Account, queue: str, name: str) -> str:
    """The id of an array that may have been submitted; "" when it was not, and never will be.

    TargetUnavailable while somebody may still be submitting it.
    """
    claims = account.claims
    claim = claims.take(name, 1, _FENCE, _NEVER)
    if claim.batch_job:
        return claim.batch_job
    if claim.holder != _FENCE:
        raise TargetUnavailable(f"array {name} is being submitted by somebody else")
    found = find_job(account, queue, name) if claim.again else ""
    if found:
        claims.keep(name, 1, claim._replace(handed=True, batch_job=found))
        return found
    # Should its submit only be slow: no child finds an event.
    for key in _stored(account, name):
        with translated(f"s3://{account.bucket}/{key}"):
            account.client("s3").delete_object(Bucket=account.bucket, Key=key)
    return ""


def _stored(account: Account, name: str) -> Iterator[str]:
    with translated(f"pages of array {name}"):
        pages = account.client("s3").get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=account.bucket, Prefix=f"arrays/{name}/"):
            yield from (str(one["Key"]) for one in page.get("Contents", ()))


class ArrayNews:
    """Which children of arrays have something new to tell, from one look at each array.

    An array says how many of its children are in each state. Only where that is another number
    than we know of, its children of that state are listed.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._known: dict[str, dict[str, str]] = {}

    def changed(self, array: Mapping[str, Any]) -> list[str]:
        """Children of an array, as DescribeJobs has it, whose state is news."""
        parent = str(array["jobId"])
        summary = (array.get("arrayProperties") or {}).get("statusSummary") or {}
        known = self._known.setdefault(parent, {})
        found: list[str] = []
        for status in _LISTED:
            there = sum(one == status for one in known.values())
            if int(summary.get(status, 0)) != there:
                found += self._listed(parent, status, known)
        return found

    def _listed(self, parent: str, status: str, known: dict[str, str]) -> Iterable[str]:
        pages = self._account.client("batch").get_paginator("list_jobs")
        with translated(f"children of array {parent}"):
            there = [
                str(one["jobId"])
                for page in pages.paginate(arrayJobId=parent, jobStatus=status)
                for one in page["jobSummaryList"]
            ]
        fresh = [child for child in there if known.get(child) != status]
        known.update(dict.fromkeys(fresh, status))
        return fresh

    def drop(self, parent: str) -> None:
        """Nothing more is asked about this array."""
        self._known.pop(parent, None)
