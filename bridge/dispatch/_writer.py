"""Writing, many pieces of work to a transaction: who comes meanwhile shares the next one."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from bridge.dispatch.database import Connection, Database
from bridge.errors import TemporaryError

__all__ = ["Writer"]

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)
_BATCH: Final = 256


@dataclass(slots=True)
class _Task:
    """A piece of work; it may be run again after a rollback, so it only touches the database."""

    work: Callable[[Connection], Any]
    durable: bool
    alone: bool
    after: Callable[[Any], None] | None
    answer: Future[Any]


class Writer:
    """Runs work on one connection, one transaction after the other.

    There is no thread for it: of the callers that wait, one carries out the work of all, as to wake
    another thread takes longer than most of the work. A batch with a durable piece is flushed to
    the disk before anyone gets an answer; others survive the death of the process, but perhaps not
    the loss of power. A batch with a piece that must be alone waits for those of other processes.
    """

    def __init__(self, database: Database, connection: Connection) -> None:
        self._database = database
        self._connection = connection
        self._waiting: deque[_Task] = deque()
        self._gate = threading.Lock()
        self._turn = threading.Lock()
        self._closed = False
        self._unsettled = False

    def run(
        self,
        work: Callable[[Connection], T],
        *,
        durable: bool = False,
        alone: bool = False,
        after: Callable[[T], None] | None = None,
    ) -> T:
        """The work's answer, after it was committed. Blocks.

        `after` gets the answer first, in the order of the commits, one call at a time.
        """
        answer: Future[T] = Future()
        with self._gate:
            if self._closed:
                raise TemporaryError("the job store is closed")
            if self._unsettled:
                raise TemporaryError("the database of the job store does not answer", delay=2.0)
            self._waiting.append(_Task(work, durable, alone, after, answer))
        with self._turn:
            while not answer.done():
                self._commit_some()
        return answer.result()

    def close(self) -> None:
        """Finish what was asked for, then close the connection."""
        with self._gate:
            self._closed = True
        with self._turn:
            while self._waiting:
                self._commit_some()
            self._connection.close()

    def _commit_some(self) -> None:
        """Do what waits, up to a limit. Every piece that is taken gets an answer."""
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]
        try:
            self._commit(batch)
        except BaseException:
            # The caller whose turn it is was interrupted; the others must not wait for ever.
            for task in batch:
                if not task.answer.done():
                    task.answer.set_exception(TemporaryError("the job store was interrupted"))
            raise

    def _commit(self, batch: Sequence[_Task]) -> None:
        try:
            answers = self._transaction(batch)
        except Exception as error:
            self._fail(batch, error)
            return
        for task, answer in zip(batch, answers, strict=True):
            _deliver(task, answer)

    def _transaction(self, batch: Sequence[_Task]) -> list[Any]:
        self._connection.begin(
            durable=any(task.durable for task in batch), alone=any(task.alone for task in batch)
        )
        try:
            answers = [task.work(self._connection) for task in batch]
            self._end()
        finally:
            # Some errors (disk full) have rolled back already; a commit has on success.
            if self._connection.in_transaction:
                self._connection.rollback()
        return answers

    def _end(self) -> None:
        """Commit. Where the server goes away meanwhile, nobody gets an answer before it is known
        whether it did: a claim that nobody knows of would never be worked on."""
        try:
            self._connection.commit()
        except Exception:
            self._unsettled = True
            try:
                kept = self._connection.settle(lambda: not self._closed)
            finally:
                self._unsettled = False
            if not kept:
                raise

    def _fail(self, batch: Sequence[_Task], error: Exception) -> None:
        """Tell the callers; when one piece of work is at fault, the others get their own chance."""
        known = self._database.translate(error)
        if len(batch) == 1 or isinstance(known, TemporaryError):
            for task in batch:
                task.answer.set_exception(known)
            return
        for task in batch:
            self._commit([task])


def _deliver(task: _Task, answer: object) -> None:
    try:
        if task.after is not None:
            task.after(answer)
    except Exception:
        # It is committed: a watcher's mistake must not look like a failed write.
        _LOG.exception("a watcher of the job store failed")
    task.answer.set_result(answer)
