"""Events of buckets → jobs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any, Final

from bridge import events
from bridge.errors import EventError
from bridge.events import Event
from bridge.pipeline import RESERVED_PREFIX
from lambda_runtime.dispatcher.burst import Part
from lambda_runtime.dispatcher.letters import DeadLetters
from lambda_runtime.dispatcher.records import Message, NotYet
from lambda_runtime.dispatcher.worker import Worker
from lambda_runtime.dispatcher.world import World

__all__ = ["Intake"]

LOG: Final = logging.getLogger("oscar-bridge")
# A rule may be there a moment before its service is written down.
_DELIVERIES_TO_WAIT: Final = 2


class Intake:
    """Decodes what a queue, S3 or EventBridge brings, and makes a job for each service it starts.

    An object that no service takes is a dead letter, after a second look: its service is gone.
    """

    def __init__(self, world: World, worker: Worker) -> None:
        self._world = world
        self._worker = worker

    def take(self, message: Message, part: Part) -> None:
        """All events of one message. EventError when it has no meaning at all.

        What goes to Batch may be left to the message's `part` of a burst.
        """
        for event in self._decoded(message):
            self._start(event, message, part)

    def _decoded(self, message: Message) -> list[Event]:
        try:
            return _decode(message.body, message.id)
        except EventError:
            parts = list(_parts(message.body))
            if len(parts) < 2:
                raise
        return [event for part in parts for event in self._part(part, message)]

    def _part(self, body: str, message: Message) -> list[Event]:
        """One record of several: a bad one does not hold up the others."""
        try:
            return _decode(body, message.id)
        except EventError as error:
            self._letters.send(error.message, source="events", body=body)
            return []

    @property
    def _letters(self) -> DeadLetters:
        return self._world.letters

    def _start(self, event: Event, message: Message, part: Part) -> None:
        if not event.is_storage:
            raise EventError("the message names no object, and only direct calls carry data")
        services = self._world.services().match(event)
        if not services and not _starts_nothing(event.key):
            services = self._world.services(again=True).match(event)
            if not services:
                self._nobody(event, message)
        for service in services:
            self._worker.accept(service, event, again=message.again, part=part)

    def _nobody(self, event: Event, message: Message) -> None:
        where = f"{event.provider}:{event.bucket}/{event.key}"
        reason = f"no deployed service has an input for {where}"
        if 0 < message.number < _DELIVERIES_TO_WAIT:
            raise NotYet(reason)
        self._letters.send(reason, source="events", body=json.dumps(event.record, default=str))


def _decode(body: str, nonce: str) -> list[Event]:
    return events.decode(body, nonce=nonce)


def _parts(body: str) -> Iterator[str]:
    """Each record of a body as a body of its own."""
    value: Any = json.loads(body) if body.lstrip().startswith("{") else None
    records = value.get("Records") if isinstance(value, dict) else None
    for record in records if isinstance(records, list) else ():
        yield json.dumps({**value, "Records": [record]})


def _starts_nothing(key: str) -> bool:
    """Whether no service may take such an object: a folder's marker, or what we keep there."""
    return key.endswith("/") or key.startswith(RESERVED_PREFIX)
