"""Logs of services and jobs in CloudWatch: Lambda's and Batch's, in the order of time."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from bridge.errors import NotFoundError
from bridge.operate.deployed import Deployed
from bridge.operate.lines import Line
from bridge.targets.aws.account import Account, translated

__all__ = ["JobLogs", "Source", "of_service", "sources"]

LAMBDA: Final = "lambda"
BATCH: Final = "batch"
_BATCH_GROUP: Final = "/aws/batch/job"
_DESCRIBE: Final = 100
_MARGIN: Final = 60.0


class Source(NamedTuple):
    """Where lines are. `prefix` is that of the streams' names; "" for all."""

    place: str
    group: str
    prefix: str = ""


def of_service(account: Account, places: Iterable[Source], since: float) -> Iterator[Line]:
    """Every line in a service's places since a time, oldest first; of jobs that failed too."""
    found = [_lines(account, source, since) for source in places]
    return heapq.merge(*found, key=_time)


def sources(account: Account, deployed: Deployed) -> tuple[Source, ...]:
    """The places of a service's logs, as its function and its job definition name them."""
    found = []
    if deployed.function:
        found.append(Source(LAMBDA, _function_group(account, deployed.function)))
    if deployed.definition:
        found.append(_batch_source(account, deployed.definition))
    return tuple(found)


class JobLogs:
    """The logs of one job: all its attempts, on Lambda and on Batch.

    `accepted` and `ended` are seconds since the epoch and bound the search; `hints` are names of
    log streams that its record has, for when Batch has forgotten the job.
    """

    def __init__(
        self,
        account: Account,
        deployed: Deployed,
        job: str,
        *,
        accepted: float = 0.0,
        ended: float | None = None,
        hints: Iterable[str] = (),
    ) -> None:
        self._account = account
        self._deployed = deployed
        self._job = job
        self._from = max(accepted - _MARGIN, 0.0)
        self._to = ended + _MARGIN if ended is not None else None
        self._hints = tuple(hint for hint in hints if hint and not hint.startswith("/"))
        self._sources = sources(account, deployed)
        self.reasons: list[str] = []

    def lines(self, since: float = 0.0) -> list[Line]:
        """The lines since a time, oldest first. `reasons` has what Batch says of failures."""
        found: list[Line] = []
        for source in self._sources:
            if source.place == LAMBDA:
                found += self._of_function(source)
            else:
                for stream in dict.fromkeys((*self._batch_streams(), *self._hints)):
                    found += _stream(self._account, source, stream, self._from)
        return sorted((line for line in found if line.at >= since), key=_time)

    def _of_function(self, source: Source) -> Iterator[Line]:
        """The invocations that name the job."""
        hits = _lines(self._account, source, self._from, until=self._to, pattern=f'"{self._job}"')
        first: dict[str, float] = {}
        for hit in hits:
            first.setdefault(hit.stream, hit.at)
        for stream, at in first.items():
            begin = max(at - 15 * _MARGIN, self._from)
            lines = _stream(self._account, source, stream, begin, until=self._to)
            yield from _invocations(lines, self._job)

    def _batch_streams(self) -> Iterator[str]:
        """The streams of every attempt of the job's Batch jobs."""
        self.reasons = []
        for job in self._batch_jobs():
            tries = [attempt.get("container") or {} for attempt in job.get("attempts") or ()]
            for one in (*tries, job.get("container") or {}):
                if one.get("logStreamName"):
                    yield str(one["logStreamName"])
            if job["status"] == "FAILED":
                container = job.get("container") or {}
                said = [str(t) for t in (container.get("reason"), job.get("statusReason")) if t]
                self.reasons.append(f"Batch job {job['jobId']}: {'; '.join(said) or 'failed'}")

    def _batch_jobs(self) -> Iterator[Mapping[str, Any]]:
        client = self._account.client("batch")
        names = [{"name": "JOB_NAME", "values": [self._job]}]
        ids = self._listed(jobQueue=self._deployed.queue, filters=names)
        while ids:
            some, ids = ids[:_DESCRIBE], ids[_DESCRIBE:]
            with translated(f"Batch jobs of {self._job}"):
                found = client.describe_jobs(jobs=some)["jobs"]
            for job in found:
                size = (job.get("arrayProperties") or {}).get("size")
                if size:
                    ids += self._listed(arrayJobId=job["jobId"], jobStatus="SUCCEEDED")
                    ids += self._listed(arrayJobId=job["jobId"], jobStatus="FAILED")
                    ids += self._listed(arrayJobId=job["jobId"], jobStatus="RUNNING")
                yield job

    def _listed(self, **wanted: Any) -> list[str]:
        pages = self._account.client("batch").get_paginator("list_jobs")
        with translated(f"Batch jobs of {self._job}"):
            return [
                str(one["jobId"])
                for page in pages.paginate(**wanted)
                for one in page["jobSummaryList"]
            ]


def _function_group(account: Account, name: str) -> str:
    usual = f"/aws/lambda/{name}"
    try:
        with translated(f"function {name}"):
            found = account.client("lambda").get_function_configuration(FunctionName=name)
    except NotFoundError:
        return usual
    return str((found.get("LoggingConfig") or {}).get("LogGroup") or usual)


def _batch_source(account: Account, name: str) -> Source:
    with translated(f"job definition {name}"):
        found = account.client("batch").describe_job_definitions(jobDefinitionName=name)
    known: list[Mapping[str, Any]] = found["jobDefinitions"]
    newest = max(known, key=lambda one: int(one["revision"]), default={})
    container = newest.get("containerProperties") or {}
    options = (container.get("logConfiguration") or {}).get("options") or {}
    prefix = options.get("awslogs-stream-prefix") or name
    return Source(BATCH, options.get("awslogs-group") or _BATCH_GROUP, f"{prefix}/")


def _lines(
    account: Account,
    source: Source,
    since: float,
    *,
    until: float | None = None,
    pattern: str = "",
) -> Iterator[Line]:
    """Lines of a group, oldest first; none when the group is not there yet."""
    wanted: dict[str, Any] = {"logGroupName": source.group, "startTime": int(since * 1000)}
    wanted |= {"endTime": int(until * 1000)} if until is not None else {}
    wanted |= {"filterPattern": pattern} if pattern else {}
    wanted |= {"logStreamNamePrefix": source.prefix} if source.prefix else {}
    pages = iter(account.client("logs").get_paginator("filter_log_events").paginate(**wanted))
    while True:
        try:
            with translated(f"logs of {source.group}"):
                page = next(pages, None)
        except NotFoundError:
            return
        if page is None:
            return
        for event in page["events"]:
            yield _line(source.place, str(event["logStreamName"]), event)


def _stream(
    account: Account, source: Source, stream: str, since: float, *, until: float | None = None
) -> Iterator[Line]:
    """Lines of one stream, oldest first; none when it is not there."""
    client = account.client("logs")
    end = {"endTime": int(until * 1000)} if until is not None else {}
    token: dict[str, str] = {}
    while True:
        try:
            with translated(f"log {source.group}/{stream}"):
                page = client.get_log_events(
                    logGroupName=source.group,
                    logStreamName=stream,
                    startFromHead=True,
                    startTime=int(since * 1000),
                    **end,
                    **token,
                )
        except NotFoundError:
            return
        yield from (_line(source.place, stream, event) for event in page["events"])
        following = {"nextToken": page["nextForwardToken"]}
        # The same token again is how CloudWatch says that there is no more.
        if following == token:
            return
        token = following


def _time(line: Line) -> float:
    return line.at


def _line(place: str, stream: str, event: Mapping[str, Any]) -> Line:
    text = str(event["message"]).rstrip("\r\n")
    return Line(event["timestamp"] / 1000, place, stream, text, str(event.get("eventId", "")))


def _invocations(lines: Iterable[Line], job: str) -> Iterator[Line]:
    """Of a function's stream the lines of invocations that name the job, START to REPORT."""
    # Not where the name is only the beginning of another job's.
    name = re.compile(rf"(?<![\w-]){re.escape(job)}(?![\w-])")
    block: list[Line] = []
    for line in lines:
        if line.text.startswith("START RequestId:"):
            yield from _if_named(block, name)
            block = []
        block.append(line)
        if line.text.startswith("REPORT RequestId:"):
            yield from _if_named(block, name)
            block = []
    yield from _if_named(block, name)


def _if_named(block: list[Line], name: re.Pattern[str]) -> list[Line]:
    return block if any(name.search(line.text) for line in block) else []
