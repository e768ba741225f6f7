"""`logs`: the lines of a service or of one job, as they are or as they come."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import click

from bridge.cli.interrupts import INTERRUPTED

if TYPE_CHECKING:
    from bridge.operate.lines import Line
    from bridge.operate.sides import Side

__all__ = ["show"]

_RECENT: Final = "1h"


def show(
    sides: Sequence[Side], service: str, *, follow: bool, job: str, since: str, as_json: bool
) -> int:
    """Print lines; the status is 0, or 130 when following was interrupted.

    With JSON each line is an object of its own. Why a job failed is said on standard error.
    """
    from bridge.operate.moments import moment
    from bridge.operate.sides import holder

    side = holder(sides, service)
    begin = moment(since or _RECENT, time.time()) if since or not job else 0.0
    try:
        if job:
            lines = side.lines_of(service, job, begin, follow=follow, said=_say)
        else:
            lines = side.lines(service, begin, follow=follow)
        for text in _written(lines, as_json=as_json):
            click.echo(text)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _say(text: str) -> None:
    click.echo(text, err=True)


def _written(lines: Iterable[Line], *, as_json: bool) -> Iterator[str]:
    for line in lines:
        at = datetime.datetime.fromtimestamp(line.at, tz=datetime.UTC)
        moment = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if as_json:
            value = {"at": moment, "place": line.place, "stream": line.stream, "text": line.text}
            yield json.dumps(value, ensure_ascii=False)
        else:
            yield f"{moment} {line.place:<6} {line.text}"
