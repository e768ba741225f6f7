"""Files handed to a service: uploaded where they start it, or sent as events of their own."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge.dispatch import JobRecord, NewJob
from bridge.dispatch.table import JobTable
from bridge.errors import BridgeError, TemporaryError, UsageError
from bridge.events import decode, job_id
from bridge.fdl.model import Service, StoragePath
from bridge.operate.bodies import exact
from bridge.operate.deployed import Deployed, document
from bridge.operate.transfer import Moved, NamedFile, put, store_of
from bridge.targets.aws.account import Account, translated

__all__ = [
    "Submitted",
    "awaited",
    "check_filters",
    "jobs_before",
    "not_over",
    "submit",
    "uploaded",
]

_KNOWN: Final = 1000
_PAUSE: Final = 1.0
# The key of the dispatcher's messages to itself, in the queue of job states.
_GO_ON: Final = "oscar-bridge"


@dataclass(frozen=True, slots=True)
class Submitted:
    """One file that was handed over. `jobs` are known for events; an upload has a `url` instead.

    `problem` says why it was not handed over.
    """

    path: Path
    url: str = ""
    jobs: tuple[str, ...] = ()
    size: int = 0
    etag: str = ""
    key: str = ""
    problem: str = ""


def submit(
    account: Account,
    deployed: Deployed,
    files: Sequence[NamedFile],
    done: Callable[[Submitted], None] = lambda _: None,
) -> list[Submitted]:
    """Hand every file over; `done` hears of each at once.

    A service with an input on S3 gets uploads below it, which start its jobs; another one gets
    one event per file, which is in the table of jobs before the dispatcher hears of it. UsageError
    when the service's filters would not take a file.
    """
    service = document(account, deployed).service(deployed.service)
    path = next((one for one in service.inputs if one.provider.type == "s3"), None)
    if path is not None:
        check_filters(path, files)
        found = put(store_of(account, deployed, path), files, lambda one: done(uploaded(one)))
        return [uploaded(one) for one in found]
    return [_told(_sent(account, service, file), done) for file in files]


def _told(one: Submitted, done: Callable[[Submitted], None]) -> Submitted:
    done(one)
    return one


def uploaded(moved: Moved) -> Submitted:
    """An upload that starts a job, as what was handed over."""
    return Submitted(
        moved.path,
        moved.url,
        size=moved.size,
        etag=moved.etag,
        key=moved.key,
        problem=moved.problem,
    )


def check_filters(path: StoragePath, files: Sequence[NamedFile]) -> None:
    """UsageError for a file that the path's filters would not take."""
    for file in files:
        if path.prefix and not file.name.startswith(path.prefix):
            raise UsageError(
                f"{file.name} would start nothing: the input takes names that start with "
                + " or ".join(path.prefix)
            )
        if path.suffix and not file.name.endswith(path.suffix):
            raise UsageError(
                f"{file.name} would start nothing: the input takes names that end with "
                + " or ".join(path.suffix)
            )


def _sent(account: Account, service: Service, file: NamedFile) -> Submitted:
    """A file as the event of a job of its own (of several, when it holds several events)."""
    body = file.path.read_bytes()
    table = JobTable(account)
    jobs = []
    try:
        for event in decode(exact(body), nonce=uuid.uuid4().hex):
            job = NewJob(job_id(service.name, event), service.name, event)
            table.accept(job, time.time())
            _wake(account, job.id)
            jobs.append(job.id)
    except BridgeError as error:
        return Submitted(file.path, jobs=tuple(jobs), problem=f"{file.path}: {error.message}")
    return Submitted(file.path, jobs=tuple(jobs), size=len(body))


def _wake(account: Account, job: str) -> None:
    """Have the dispatcher go on with an accepted job; without it, its reconciliation does."""
    name = f"{account.settings.name}-states"
    client = account.client("sqs")
    with translated(f"queue {name}"):
        url = client.get_queue_url(QueueName=name)["QueueUrl"]
        text = json.dumps({_GO_ON: {"job": job, "attempt": 1}})
        client.send_message(QueueUrl=url, MessageBody=text)


def awaited(
    table: JobTable,
    service: str,
    handed: Iterable[Submitted],
    known: frozenset[str],
    *,
    timeout: float,
    pause: float = _PAUSE,
) -> Iterator[JobRecord]:
    """The ended jobs of what was handed over, as they end.

    `known` are the jobs that there were before. TemporaryError when not all have ended after
    `timeout` seconds; they go on.
    """
    waiting = [one for one in handed if not one.problem]
    until = time.monotonic() + timeout
    told: set[str] = set()
    while waiting:
        jobs = [job for job in table.jobs(service, limit=_KNOWN) if job.id not in known]
        for job in jobs:
            if job.state.final and job.id not in told and any(_is_of(job, w) for w in waiting):
                told.add(job.id)
                yield job
        waiting = [one for one in waiting if not _is_over(one, jobs)]
        if waiting and time.monotonic() > until:
            raise not_over(service, len(waiting), timeout)
        if waiting:
            time.sleep(pause)


def not_over(service: str, files: int, timeout: float) -> TemporaryError:
    """That some jobs go on when the patience is over."""
    return TemporaryError(
        f"{files} of the files have no ended job after {timeout:g} s",
        hint=f"they go on: oscar-bridge jobs {service}",
    )


def jobs_before(table: JobTable, service: str) -> frozenset[str]:
    """The newest jobs that a service has at this moment."""
    return frozenset(job.id for job in table.jobs(service, limit=_KNOWN))


def _is_of(job: JobRecord, one: Submitted) -> bool:
    if one.jobs:
        return job.id in one.jobs
    same = not one.etag or not job.event.etag or job.event.etag.strip('"') == one.etag
    return same and bool(one.key) and job.event.key == one.key


def _is_over(one: Submitted, jobs: Sequence[JobRecord]) -> bool:
    own = [job for job in jobs if _is_of(job, one)]
    wanted = len(one.jobs) or 1
    return len(own) >= wanted and all(job.state.final for job in own)
