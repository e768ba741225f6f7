"""Log streams that can be read while they are written, in bounded memory."""

from __future__ import annotations

import threading
import time
from typing import Final

from bridge.local.aws.model import Cloud, LogEvent, Scope

_FLUSH_SECONDS: Final = 0.1
_FLUSH_BYTES: Final = 262_144
_EVENT_BYTES: Final = 512  # what an event costs beside its text where it is kept


class LogWriter:
    """Brings the lines of many streams to the cloud, a few times a second, from one thread."""

    def __init__(self, cloud: Cloud, kept: int) -> None:
        self._cloud = cloud
        self._kept = kept
        self._dirty: set[LogStream] = set()
        self._wake = threading.Condition()
        self._closed = False
        threading.Thread(target=self._run, name="bridge-logs", daemon=True).start()

    def stream(self, scope: Scope, group: str, name: str) -> LogStream:
        """A stream to write to; it exists in the cloud from its first line on."""
        return LogStream(self, self._cloud, (scope, group, name), self._kept)

    def close(self) -> None:
        """Flush everything and stop."""
        with self._wake:
            self._closed = True
            self._wake.notify()

    def touched(self, stream: LogStream) -> None:
        """Called by a stream that has lines to flush."""
        with self._wake:
            if not self._dirty:
                self._wake.notify()
            self._dirty.add(stream)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._dirty and not self._closed:
                    self._wake.wait()
                streams, self._dirty = self._dirty, set()
                closed = self._closed
            for stream in streams:
                stream.flush()
            if closed:
                return
            time.sleep(_FLUSH_SECONDS)


class LogStream:
    """One stream. What is beyond the kept size is counted and said, not kept."""

    def __init__(
        self, writer: LogWriter, cloud: Cloud, place: tuple[Scope, str, str], kept: int
    ) -> None:
        self._writer = writer
        self._cloud = cloud
        self._place = place
        self._room = kept
        self._lock = threading.Lock()
        self._events: list[LogEvent] = []
        self._size = 0
        self._dropped = 0

    @property
    def name(self) -> str:
        """The stream's name."""
        return self._place[2]

    def write(self, line: str) -> None:
        """Append a line; a writer that is too fast waits for the flush."""
        size = len(line) + _EVENT_BYTES
        with self._lock:
            self._room -= size
            if self._room < 0:
                self._dropped += size
                return
            first = not self._events
            self._events.append((int(time.time() * 1000), line))
            self._size += size
            full = self._size > _FLUSH_BYTES
        if full:
            self.flush()
        elif first:
            self._writer.touched(self)

    def flush(self) -> None:
        """Make all lines so far readable."""
        with self._lock:
            if self._events:
                self._cloud.put_logs(*self._place, self._events)
            self._events = []
            self._size = 0

    def close(self) -> None:
        """Flush, and say when something was not kept."""
        with self._lock:
            dropped, self._dropped = self._dropped, 0
            if dropped:
                note = f"[oscar-bridge] {dropped} more bytes of output were not kept"
                self._events.append((int(time.time() * 1000), note))
        self.flush()
