"""AWS as a side of day two."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from bridge.dispatch import JobDetail, JobRecord
from bridge.dispatch.lessons import LEARNED, learned
from bridge.dispatch.table import JobTable
from bridge.errors import NotFoundError, UsageError
from bridge.fdl.model import Service, TargetSpec
from bridge.operate import audit, deployed, logs, transfer
from bridge.operate import submit as handing
from bridge.operate.invoke import invoke
from bridge.operate.lines import Line
from bridge.operate.lines import follow as followed
from bridge.operate.submit import Submitted
from bridge.operate.transfer import NamedFile, Place
from bridge.scheduler import Snapshot, TargetState, decide, replay
from bridge.targets import JobState
from bridge.targets.aws.account import Account

__all__ = ["AwsSide"]

_LOADS: Final = 1000


class AwsSide:
    """What is deployed in one account and region. See `bridge.operate.sides.Side`."""

    scheme = "s3"

    def __init__(self, account: Account) -> None:
        self.account = account
        self.region = account.region
        self.name = f"AWS {account.region} (prefix {account.settings.name})"
        self._table = JobTable(account)

    def statuses(self) -> list[deployed.Status]:
        """See `Side.statuses`: asked of Lambda and Batch."""
        return deployed.statuses(self.account, deployed.services(self.account))

    def has(self, service: str) -> bool:
        """See `Side.has`."""
        try:
            deployed.service(self.account, service)
        except NotFoundError:
            return False
        return True

    def jobs(self, service: str, states: Sequence[JobState], limit: int) -> list[JobRecord]:
        """See `Side.jobs`: of the dispatcher's table."""
        return self._table.jobs(service, tuple(states), limit)

    def job(self, job: str) -> JobDetail | None:
        """See `Side.job`."""
        return self._table.detail(job)

    def explained(self, name: str) -> audit.Explanation | None:
        """See `Side.explained`."""
        detail = self._table.detail(name)
        if detail is not None:
            found = self._deployed(detail.job.service)
            return audit.explained_job(detail, None if found is None else found[1])
        found = self._deployed(name)
        if found is None:
            return None
        specs, service = found
        loads = self._table.busy(_LOADS)
        states = (TargetState(spec, *loads.get(spec.name, (0, 0))) for spec in specs.values())
        snapshot = Snapshot(tuple(states))
        book = learned(self.account.get(LEARNED))
        if book is not None:
            snapshot = book.informed(snapshot, name, time.time())
        return audit.explained_now(service, decide(service, None, snapshot))

    def compared(self, policy: str, service: str, since: float, limit: int) -> dict[str, Any]:
        """See `Side.compared`; the services are as they are deployed now."""
        details = self._table.details(service, limit, since)
        past = [one for one in map(audit.past_of, details) if one is not None]
        names = dict.fromkeys(str(one.decision["service"]) for one in past)
        known = {name: found[1] for name in names if (found := self._deployed(name)) is not None}
        return audit.report_json(replay(past, known, policy), policy, since)

    def _deployed(self, name: str) -> tuple[Mapping[str, TargetSpec], Service] | None:
        """A service with the targets that it may go to; None when it is not deployed."""
        try:
            found = deployed.service(self.account, name)
        except NotFoundError:
            return None
        document = deployed.document(self.account, found)
        return found.specs(document), document.service(name)

    def lines(self, service: str, since: float, *, follow: bool) -> Iterator[Line]:
        """See `Side.lines`."""
        found = deployed.service(self.account, service)
        places = logs.sources(self.account, found)

        def read(at: float) -> Iterator[Line]:
            return logs.of_service(self.account, places, at)

        return followed(read, since) if follow else read(since)

    def lines_of(
        self, service: str, job: str, since: float, *, follow: bool, said: Callable[[str], None]
    ) -> Iterator[Line]:
        """See `Side.lines_of`: all attempts, on Lambda and on Batch."""
        found = deployed.service(self.account, service)
        known = self._known(service, job)
        reader = self._reader(found, job, known, follow=follow)
        lines = (
            followed(reader.lines, since, over=lambda: self._is_over(job))
            if follow
            else iter(reader.lines(since))
        )
        printed = 0
        for line in lines:
            printed += 1
            yield line
        if not printed and known is None:
            hint = f"oscar-bridge jobs {service}"
            raise NotFoundError(f"there is no job {job} of {service}", hint=hint)
        for text in (*reader.reasons, *_ending(self._table.job(job), printed)):
            said(text)

    def _known(self, service: str, job: str) -> JobRecord | None:
        known = self._table.job(job)
        if known is not None and known.service != service:
            raise NotFoundError(
                f"job {job} is not one of {service}",
                hint=f"oscar-bridge logs {known.service} --job {job}",
            )
        return known

    def _reader(
        self, found: deployed.Deployed, job: str, known: JobRecord | None, *, follow: bool
    ) -> logs.JobLogs:
        if known is None:
            return logs.JobLogs(self.account, found, job)
        ended = None if follow else known.ended
        return logs.JobLogs(
            self.account, found, job, accepted=known.accepted, ended=ended, hints=(known.log,)
        )

    def _is_over(self, job: str) -> bool:
        known = self._table.job(job)
        return known is not None and known.state.final

    def place(self, service: str, *, outputs: bool) -> Place:
        """See `Side.place`."""
        found = deployed.service(self.account, service)
        if outputs:
            return transfer.output_of(self.account, found)
        paths = deployed.document(self.account, found).service(found.service).inputs
        if not paths:
            raise UsageError(f"service {service} has no input path", hint="name an s3:// URL")
        return transfer.store_of(self.account, found, paths[0])

    def bucket(self, url: str) -> Place:
        """See `Side.bucket`: `s3://bucket/folder`."""
        return transfer.place_at(self.account, url)

    def invoke(self, service: str, body: bytes) -> bytes:
        """See `Side.invoke`: of its function, on Lambda."""
        return invoke(self.account, deployed.service(self.account, service), body).body

    def submit(
        self, service: str, files: Sequence[NamedFile], done: Callable[[Submitted], None]
    ) -> list[Submitted]:
        """See `Side.submit`."""
        return handing.submit(self.account, deployed.service(self.account, service), files, done)

    def awaited(
        self,
        service: str,
        handed: Sequence[Submitted],
        known: frozenset[str],
        *,
        timeout: float,
    ) -> Iterator[JobRecord]:
        """See `Side.awaited`."""
        return handing.awaited(self._table, service, handed, known, timeout=timeout)

    def known(self, service: str) -> frozenset[str]:
        """See `Side.known`."""
        return handing.jobs_before(self._table, service)


def _ending(known: JobRecord | None, printed: int) -> Iterator[str]:
    """Why a job failed: of one that never ran, there is no log."""
    if known is not None and known.reason:
        yield f"job {known.id} {known.state}: {known.reason}"
    elif known is not None and not printed:
        yield f"job {known.id} is {known.state} and has no log"
