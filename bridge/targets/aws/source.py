"""Events that S3 sends to our queue, pulled: outbound calls only, so it works behind a firewall."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from bridge.errors import BridgeError, TemporaryError
from bridge.targets.aws.account import Account, translated

__all__ = ["QueueSource"]

_LOG: Final = logging.getLogger("bridge.aws")
_PAUSE: Final = 1.0
# For what only somebody can put right: a key that has expired, a right that is missing.
_LONG_PAUSE: Final = 30.0


class QueueSource:
    """Long-polls the events queue and hands each body to `accept`, which must be durable.

    A message is deleted only after `accept` returned, so nothing is lost when the process dies in
    between; it may then be delivered twice, and `accept` de-duplicates. `wait` is the long poll's
    length in seconds (0 to 20). No error ends it: what is refused is tried again later, and logged.
    """

    def __init__(
        self,
        account: Account,
        accept: Callable[[bytes, Mapping[str, str]], Any],
        *,
        wait: int = 20,
    ) -> None:
        self._account = account
        self._accept = accept
        self._wait = wait
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="aws-events", daemon=True)

    def start(self) -> None:
        """Begin to pull, in a thread of its own."""
        self._account.queue("events")
        self._thread.start()

    def close(self) -> None:
        """Stop after the messages in hand; waits for the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self._wait + 5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._once()
            except TemporaryError:
                self._stop.wait(_PAUSE)
            except BridgeError as error:
                _LOG.warning("no events of S3 can be pulled: %s", error)
                self._stop.wait(_LONG_PAUSE)

    def _once(self) -> None:
        client = self._account.client("sqs")
        url = self._account.queue("events")[0]
        with translated("queue of events"):
            messages = client.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=self._wait
            ).get("Messages", [])
        for message in messages:
            self._accept(message["Body"].encode(), {})
            with translated("queue of events"):
                client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
