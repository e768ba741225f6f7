"""What a person sees while `run` works."""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType
from typing import Self

from bridge.cli.output import console, size
from bridge.dispatch import JobEvent
from bridge.targets import JobState

__all__ = ["Live", "Silent"]


class Silent:
    """Says nothing; keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def phase(self, text: str) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Keep it for the end."""
        self.notes.append(text)

    def fed(self, size: int) -> None:
        """Nothing."""

    def fetched(self, size: int) -> None:
        """Nothing."""

    def job(self, event: JobEvent) -> None:
        """Nothing."""


class Live(Silent):
    """One status line on standard error: the step, bytes in and out, jobs by state.

    On a pipe each step is a line of its own, and bytes and jobs are not shown.
    """

    def __init__(self) -> None:
        super().__init__()
        self._console = console(stderr=True)
        self._status = self._console.status("starting")
        self._lock = threading.Lock()
        self._phase = "starting"
        self._bytes = {"in": 0, "out": 0}
        self._states: dict[str, JobState] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._status.stop()

    def phase(self, text: str) -> None:
        """Show the step."""
        with self._lock:
            self._phase = text
        if self._console.is_terminal:
            self._show()
        else:
            self._console.print(f"· {text}", markup=False)

    def note(self, text: str) -> None:
        """Print it above the status line."""
        super().note(text)
        self._console.print(f"! {text}", style="yellow", markup=False)

    def fed(self, size: int) -> None:
        """Count bytes that went in."""
        self._count("in", size)

    def fetched(self, size: int) -> None:
        """Count bytes that came out."""
        self._count("out", size)

    def _count(self, way: str, size: int) -> None:
        with self._lock:
            self._bytes[way] += size
        self._show()

    def job(self, event: JobEvent) -> None:
        """Count the job under its new state."""
        with self._lock:
            self._states[event.job] = event.state
        self._show()

    def _show(self) -> None:
        if not self._console.is_terminal:
            return
        with self._lock:
            counts = Counter(self._states.values())
            moved = ", ".join(f"{size(n)} {way}" for way, n in self._bytes.items() if n)
            phase = self._phase
        jobs = ", ".join(f"{counts[state]} {state}" for state in JobState if counts[state])
        self._status.update(" · ".join(part for part in (phase, moved, jobs) if part))
