"""The dead-letter queue: whatever cannot be done is there, with the reason."""

from __future__ import annotations

import json
import logging
import time
from typing import Any, Final

from bridge.targets.aws.account import Account, translated

__all__ = ["DeadLetters"]

LOG: Final = logging.getLogger("oscar-bridge")
# A queue's message may have 256 KiB; JSON within JSON grows.
_LARGEST: Final = 100_000
_LONGEST_REASON: Final = 8_000


class DeadLetters:
    """Sends to the queue at `url`. What is said there is in the log as well."""

    def __init__(self, account: Account, url: str) -> None:
        self._account = account
        self._url = url

    def send(
        self, reason: str, *, source: str, body: str = "", service: str = "", job: str = ""
    ) -> None:
        """Leave a message; durable on return. Raises when the queue does not take it.

        `body` is what could not be done, cut where it is too long for a message.
        """
        letter: dict[str, Any] = {
            "reason": reason[:_LONGEST_REASON],
            "source": source,
            "service": service,
            "job": job,
            "at": time.time(),
            "body": body[:_LARGEST],
        }
        if len(body) > _LARGEST:
            letter["size"] = len(body)
        kept = {name: value for name, value in letter.items() if value != ""}
        LOG.error("dead letter: %s (%s)", reason, job or source)
        with translated("dead-letter queue"):
            self._account.client("sqs").send_message(
                QueueUrl=self._url, MessageBody=json.dumps(kept)
            )
