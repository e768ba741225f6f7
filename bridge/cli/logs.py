"""`logs`: the lines of a service or of one job, as they are or as they come."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import click

from bridge.cli.interrupts import INTERRUPTED
from bridge.errors import NotFoundError

if TYPE_CHECKING:
    from bridge.dispatch import JobRecord
    from bridge.operate.deployed import Deployed
    from bridge.operate.logs import JobLogs, Line
    from bridge.targets.aws import Account

__all__ = ["show"]

_RECENT: Final = "1h"


def show(
    account: Account, service: str, *, follow: bool, job: str, since: str, as_json: bool
) -> int:
    """Print lines; the status is 0, or 130 when following was interrupted.

    With JSON each line is an object of its own.
    """
    from bridge.operate import deployed

    found = deployed.service(account, service)
    try:
        if job:
            _of_job(account, found, job, since, follow=follow, as_json=as_json)
        else:
            lines = _of_service(account, found, since or _RECENT, follow=follow)
            _print(lines, as_json=as_json)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _of_service(
    account: Account, deployed: Deployed, since: str, *, follow: bool
) -> Iterable[Line]:
    from bridge.operate import logs
    from bridge.operate.moments import moment

    begin = moment(since, time.time())
    places = logs.sources(account, deployed)
    if not follow:
        return logs.of_service(account, places, begin)
    return logs.follow(lambda at: logs.of_service(account, places, at), begin)


def _of_job(
    account: Account, deployed: Deployed, job: str, since: str, *, follow: bool, as_json: bool
) -> None:
    from bridge.dispatch.table import JobTable
    from bridge.operate import logs
    from bridge.operate.moments import moment

    table = JobTable(account)
    known = table.job(job)
    if known is not None and known.service != deployed.service:
        raise NotFoundError(
            f"job {job} is not one of {deployed.service}",
            hint=f"oscar-bridge logs {known.service} --job {job}",
        )
    reader = _reader(account, deployed, job, known, follow=follow)
    begin = moment(since, time.time()) if since else 0.0
    lines: Iterable[Line] = reader.lines(begin)
    if follow:
        lines = logs.follow(reader.lines, begin, over=lambda: _is_over(table, job))
    printed = _print(lines, as_json=as_json)
    if not printed and known is None:
        hint = f"oscar-bridge jobs {deployed.service}"
        raise NotFoundError(f"there is no job {job} of {deployed.service}", hint=hint)
    _explain(table.job(job), reader, printed)


def _reader(
    account: Account, deployed: Deployed, job: str, known: JobRecord | None, *, follow: bool
) -> JobLogs:
    from bridge.operate.logs import JobLogs

    if known is None:
        return JobLogs(account, deployed, job)
    ended = None if follow else known.ended
    return JobLogs(account, deployed, job, accepted=known.accepted, ended=ended, hints=(known.log,))


def _is_over(table: object, job: str) -> bool:
    from bridge.dispatch.table import JobTable

    assert isinstance(table, JobTable)
    known = table.job(job)
    return known is not None and known.state.final


def _explain(known: JobRecord | None, reader: JobLogs, printed: int) -> None:
    """Say on standard error why a job failed: of one that never ran, there is no log."""
    for reason in reader.reasons:
        click.echo(reason, err=True)
    if known is not None and known.reason:
        click.echo(f"job {known.id} {known.state}: {known.reason}", err=True)
    elif known is not None and not printed:
        click.echo(f"job {known.id} is {known.state} and has no log", err=True)


def _print(lines: Iterable[Line], *, as_json: bool) -> int:
    count = 0
    for line in _written(lines, as_json=as_json):
        click.echo(line)
        count += 1
    return count


def _written(lines: Iterable[Line], *, as_json: bool) -> Iterator[str]:
    for line in lines:
        at = datetime.datetime.fromtimestamp(line.at, tz=datetime.UTC)
        moment = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if as_json:
            value = {"at": moment, "place": line.place, "stream": line.stream, "text": line.text}
            yield json.dumps(value, ensure_ascii=False)
        else:
            yield f"{moment} {line.place:<6} {line.text}"
