"""Jobs as items of DynamoDB and back. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Final

from bridge.dispatch._codec import dumps, event_from, event_text
from bridge.dispatch.model import Attempt, Change, JobDetail, JobRecord, NewJob, Output
from bridge.events import Event
from bridge.targets import JobState

__all__ = [
    "LARGE",
    "Item",
    "decisions_before",
    "detail",
    "event_url",
    "new_item",
    "numbered",
    "plain",
    "record",
    "report_values",
    "shortened",
    "slim_event",
    "typed",
]

Item = Mapping[str, Mapping[str, Any]]
"""What DynamoDB's own JSON is."""

LARGE: Final = 200_000
# An item may have 400 kB in all; outputs beyond this are left to the report in the work bucket.
_MOST_OUTPUTS: Final = 60_000
# Some sixty decisions between two targets.
_MOST_DECISIONS: Final = 60_000
_LONGEST_REASON: Final = 8_000
# What an attempt has in common with its job, under the same names.
_OF_ATTEMPT: Final = tuple(
    one.name for one in fields(Attempt) if one.name not in ("number", "state")
)


def typed(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Texts and numbers as DynamoDB has them; None is left out."""
    return {name: _typed(value) for name, value in values.items() if value is not None}


def _typed(value: object) -> dict[str, Any]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return {"S": str(value)}
    return {"N": repr(value)}


def plain(item: Item) -> dict[str, Any]:
    """The values of an item: texts and numbers."""
    return {name: value for name, one in item.items() if (value := _plain(one)) is not None}


def _plain(one: Mapping[str, Any]) -> str | float | int | None:
    if "N" in one:
        return numbered(one["N"])
    return str(one["S"]) if "S" in one else None


def numbered(text: str) -> float | int:
    """DynamoDB's number."""
    return int(text) if text.lstrip("-").isdigit() else float(text)


def new_item(job: NewJob, event: str, at: float) -> dict[str, dict[str, Any]]:
    """The item of a job that was just accepted."""
    return typed(
        {
            "job": job.id,
            "service": job.service,
            "event": event,
            "state": JobState.ACCEPTED.value,
            "attempt": 1,
            "tries": 0,
            "due": at,
            "accepted": at,
            "changed": at,
            "open": "1",
            "trace": job.trace or None,
        }
    )


def slim_event(event: Event, url: str) -> str:
    """An event without what may be large, and where the whole of it is."""
    value = json.loads(event_text(replace(event, body=None, record=None)))
    return dumps({**value, "url": url})


def event_url(text: str) -> str:
    """Where the whole event is; "" when the text is all of it."""
    # Most events are whole: to look for the word is cheaper than to parse.
    return str(json.loads(text).get("url", "")) if '"url"' in text else ""


def report_values(change: Change) -> dict[str, str]:
    """The columns `report` and `outputs` that a change sets."""
    if not change.report and not change.outputs:
        return {}
    outputs = dumps([_output_json(one) for one in change.outputs])
    report = {name: value for name, value in (change.report or {}).items() if name != "outputs"}
    if len(outputs) > _MOST_OUTPUTS:
        return {
            "report": dumps({**report, "outputs_in": f"reports/{change.job}.json"}),
            "outputs": "[]",
        }
    return {"report": dumps(report), "outputs": outputs}


def shortened(reason: str) -> str:
    """A reason that fits."""
    return reason if len(reason) <= _LONGEST_REASON else reason[: _LONGEST_REASON - 1] + "…"


def record(item: Item, event: str = "") -> JobRecord:
    """The job that an item is; `event` is the text of its whole event when that is elsewhere."""
    values = plain(item)
    return JobRecord(
        id=values["job"],
        service=values["service"],
        event=event_from(event or values["event"]),
        state=JobState(values["state"]),
        attempt=int(values.get("attempt", 1)),
        tries=int(values.get("tries", 0)),
        due=float(values.get("due", 0.0)),
        accepted=float(values["accepted"]),
        exit_code=values.get("exit_code"),
        target=values.get("target", ""),
        handle=values.get("handle", ""),
        reason=values.get("reason", ""),
        log=values.get("log", ""),
        placed=values.get("placed"),
        submitted=values.get("submitted"),
        started=values.get("started"),
        ended=values.get("ended"),
        report=json.loads(values.get("report", "{}")),
        stop=bool(values.get("stop")),
        moving=bool(values.get("moving")),
        trace=values.get("trace", ""),
    )


def detail(item: Item, job: JobRecord) -> JobDetail:
    """All that an item says of a job; its outputs too, unless the report has them."""
    values = plain(item)
    earlier = tuple(_attempt(one) for one in json.loads(values.get("attempts", "[]")))
    present = Attempt(job.attempt, state=job.state, **{n: getattr(job, n) for n in _OF_ATTEMPT})
    decision = json.loads(values.get("decision", "null"))
    found = json.loads(values.get("outputs", "[]"))
    return JobDetail(
        job,
        (*earlier, present),
        (*json.loads(values.get("decisions", "[]")), *((decision,) if decision else ())),
        tuple(Output(**one) for one in found),
    )


def decisions_before(item: Item) -> str:
    """The decisions of a job whose next attempt begins, as far as there is room: the last ones."""
    kept = json.loads(item.get("decisions", {"S": "[]"})["S"])
    if "decision" in item:
        kept.append(json.loads(item["decision"]["S"]))
    while len(text := dumps(kept)) > _MOST_DECISIONS:
        del kept[0]
    return text


def _attempt(value: Mapping[str, Any]) -> Attempt:
    return Attempt(
        value["number"],
        state=JobState(value["state"]),
        **{name: value[name] for name in _OF_ATTEMPT},
    )


def _output_json(output: Output) -> dict[str, Any]:
    return {
        "provider": output.provider,
        "bucket": output.bucket,
        "key": output.key,
        "size": output.size,
        "etag": output.etag,
    }
