"""One thread that writes: callers that come at the same time share one transaction."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from bridge.errors import BridgeError, PermanentError, TemporaryError

__all__ = ["Writer", "translate"]

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)
_BATCH: Final = 256


def translate(error: Exception) -> Exception:
    """SQLite's errors as ours: what may pass (locked, full, cut off) is temporary."""
    if isinstance(error, BridgeError) or not isinstance(error, sqlite3.Error):
        return error
    if isinstance(error, sqlite3.OperationalError):
        return TemporaryError(
            f"the job store cannot do this now: {error}",
            hint="free disk space, or end the program that holds the database",
        )
    return PermanentError(f"the job store is damaged: {error}")


@dataclass(slots=True)
class _Task:
    """A piece of work; it may be run again after a rollback, so it only touches the database."""

    work: Callable[[sqlite3.Connection], Any]
    durable: bool
    after: Callable[[Any], None] | None
    answer: Future[Any]


class Writer:
    """Runs work on one connection, in its own thread, many pieces to a transaction.

    A batch with a durable piece is flushed to the disk before anyone gets an answer; others
    survive the death of the process, but perhaps not the loss of power.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._synchronous = ""
        self._thread = threading.Thread(target=self._run, name="job-store", daemon=True)
        self._thread.start()

    def run(
        self,
        work: Callable[[sqlite3.Connection], T],
        *,
        durable: bool = False,
        after: Callable[[T], None] | None = None,
    ) -> T:
        """The work's answer, after it was committed. Blocks.

        `after` gets the answer first, in the writing thread, so in the order of the commits.
        """
        answer: Future[T] = Future()
        with self._gate:
            if self._closed:
                raise TemporaryError("the job store is closed")
            self._tasks.put(_Task(work, durable, after, answer))
        return answer.result()

    def close(self) -> None:
        """Finish what was asked for, then end the thread and close the connection."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._tasks.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while batch := self._next():
                self._commit(batch)
        finally:
            self._connection.close()

    def _next(self) -> list[_Task]:
        """Everything that waits, up to a limit; empty at the end."""
        batch: list[_Task] = []
        task = self._tasks.get()
        while task is not None:
            batch.append(task)
            if len(batch) == _BATCH:
                return batch
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                return batch
        if batch:
            # The end mark is for the next call, after this batch.
            self._tasks.put(None)
        return batch

    def _commit(self, batch: Sequence[_Task]) -> None:
        try:
            answers = self._transaction(batch)
        except Exception as error:
            self._fail(batch, error)
            return
        for task, answer in zip(batch, answers, strict=True):
            _deliver(task, answer)

    def _transaction(self, batch: Sequence[_Task]) -> list[Any]:
        self._set_synchronous("FULL" if any(task.durable for task in batch) else "NORMAL")
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            answers = [task.work(self._connection) for task in batch]
            self._connection.execute("COMMIT")
        finally:
            # Some errors (disk full) have rolled back already; COMMIT has on success.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        return answers

    def _set_synchronous(self, value: str) -> None:
        if value != self._synchronous:
            self._connection.execute(f"PRAGMA synchronous = {value}")
            self._synchronous = value

    def _fail(self, batch: Sequence[_Task], error: Exception) -> None:
        """Tell the callers; when one piece of work is at fault, the others get their own chance."""
        if len(batch) == 1 or isinstance(error, sqlite3.OperationalError):
            for task in batch:
                task.answer.set_exception(translate(error))
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
