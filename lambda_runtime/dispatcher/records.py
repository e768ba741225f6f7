"""The messages of one invocation: each is done, or comes again, or is in the dead-letter queue."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from bridge.errors import BridgeError, EventError
from lambda_runtime.dispatcher.burst import Burst, Part
from lambda_runtime.dispatcher.letters import DeadLetters

__all__ = ["Message", "NotYet", "Records", "messages", "parsed"]

LOG: Final = logging.getLogger("oscar-bridge")
_AT_ONCE: Final = 8
# Our queues give a message up after five deliveries, without a reason; we do one before, with it.
_LAST: Final = 4


class NotYet(BridgeError):
    """It may be possible at a later delivery: the message comes again, but not for ever."""

    code = "not-yet"


@dataclass(frozen=True, slots=True)
class Message:
    """What an invocation brings: a queue's record, or the whole event when there is no queue.

    `number` counts its deliveries from 1; 0 when nobody counts them.
    """

    id: str
    body: str
    number: int = 0

    @property
    def again(self) -> bool:
        """Whether somebody may have begun with it before."""
        return self.number != 1

    @property
    def last(self) -> bool:
        """Whether it is not to come again."""
        return self.number == 0 or self.number >= _LAST


def messages(event: object) -> Iterator[Message]:
    """The messages of an event of Lambda: records of SQS, or the event itself."""
    records = event.get("Records") if isinstance(event, dict) else None
    if isinstance(records, list) and records and all(map(_is_queued, records)):
        for record in records:
            number = int((record.get("attributes") or {}).get("ApproximateReceiveCount", 1))
            yield Message(str(record.get("messageId", "")), str(record.get("body", "")), number)
    else:
        yield Message("", json.dumps(event))


def _is_queued(record: object) -> bool:
    return isinstance(record, dict) and record.get("eventSource") == "aws:sqs"


class Records:
    """Gives messages to `work`, some at a time, and says which must come again.

    `work` raises EventError for what has no meaning: that is a dead letter at once. Other errors
    let the message come again; at its last delivery it is a dead letter too, with the reason.
    """

    def __init__(self, letters: DeadLetters, source: str) -> None:
        self._letters = letters
        self._source = source

    def each(
        self, found: Sequence[Message], work: Callable[[Message, Part], None], burst: Burst
    ) -> dict[str, Any]:
        """Lambda's partial batch response. Raises for a message that no queue holds.

        What their work has left to the burst is done after all of it.
        """

        def begins(message: Message) -> bool:
            return self._passes(message, lambda: work(message, burst.part(message.id)))

        def ends(message: Message) -> bool:
            return self._passes(message, lambda: burst.check(message.id))

        if len(found) == 1:
            begun = [begins(found[0])]
        else:
            with ThreadPoolExecutor(min(_AT_ONCE, len(found) or 1)) as pool:
                begun = list(pool.map(begins, found))
        burst.go()
        failed = [m.id for m, ok in zip(found, begun, strict=True) if not (ok and ends(m))]
        return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}

    def _passes(self, message: Message, work: Callable[[], None]) -> bool:
        try:
            work()
        except EventError as error:
            return self._dead(message, error.message)
        except Exception as error:
            if not isinstance(error, BridgeError):
                LOG.exception("message %s of %s broke", message.id, self._source)
            reason = error.message if isinstance(error, BridgeError) else repr(error)
            if message.last:
                return self._dead(message, reason, error)
            LOG.warning("message %s comes again: %s", message.id or self._source, reason)
            return False
        return True

    def _dead(self, message: Message, reason: str, error: Exception | None = None) -> bool:
        """True when the letter is there; else the message stays where it is."""
        try:
            self._letters.send(reason, source=self._source, body=message.body)
        except BridgeError as failure:
            if message.number == 0:
                raise
            LOG.error("no dead letter for message %s: %s", message.id, failure)
            return False
        if message.number == 0 and error is not None and not isinstance(error, NotYet):
            raise error
        return True


def parsed(message: Message) -> Mapping[str, Any]:
    """The message's JSON object; EventError when it is none."""
    try:
        value = json.loads(message.body)
    except (ValueError, RecursionError) as error:
        raise EventError(f"the message is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise EventError("the message is not a JSON object")
    return value
