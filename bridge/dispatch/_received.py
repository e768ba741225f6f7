"""What a body that a store has sent means here: jobs, events that nobody asks for, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bridge import events
from bridge.dispatch.model import Ignored, NewJob, Refusal
from bridge.dispatch.protocol import Routes
from bridge.errors import EventError
from bridge.events import Event, job_id

__all__ = ["Received", "read"]


class Received(NamedTuple):
    """The meaning of one body; `refusal` is there when it has none."""

    items: list[NewJob]
    ignored: list[Ignored]
    refusal: Refusal | None = None


def read(
    provider: str, body: bytes, headers: Mapping[str, str], routes: Routes, now: float
) -> Received:
    """Decode a body and look for the services that its events start; nothing is stored."""
    try:
        found = events.decode(body, headers=headers, provider=provider)
    except EventError as error:
        return Received([], [], Refusal(now, provider, error.message, len(body), body))
    items: list[NewJob] = []
    ignored: list[Ignored] = []
    for event in found:
        services = routes.match(event.provider, event.bucket, event.key) if event.is_storage else ()
        items += [NewJob(job_id(name, event), name, event) for name in services]
        if not services:
            ignored.append(Ignored(now, provider, _why_ignored(event), event))
    return Received(items, ignored)


def _why_ignored(event: Event) -> str:
    if not event.is_storage:
        return "it names no object, and only direct calls carry data"
    return f"no service has an input for {event.provider}:{event.bucket}/{event.key}"
