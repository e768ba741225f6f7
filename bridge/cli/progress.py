"""What a person sees while `run` works."""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType
from typing import Self

from bridge.cli.output import console
from bridge.dispatch import JobEvent
from bridge.targets import JobState

__all__ = ["Live", "Silent"]


class Silent:
    """Says nothing."""

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

    def job(self, event: JobEvent) -> None:
        """Nothing."""


class Live(Silent):
    """One status line on standard error that counts jobs by state; plain lines on a pipe."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._status = self._console.status("starting")
        self._lock = threading.Lock()
        self._phase = "starting"
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
        """Show the step; on a pipe, a line of its own."""
        with self._lock:
            self._phase = text
        if self._console.is_terminal:
            self._show()
        else:
            self._console.print(f"· {text}", markup=False)

    def job(self, event: JobEvent) -> None:
        """Count the job under its new state."""
        with self._lock:
            self._states[event.job] = event.state
        if self._console.is_terminal:
            self._show()

    def _show(self) -> None:
        with self._lock:
            counts = Counter(self._states.values())
            text = self._phase
        jobs = ", ".join(f"{counts[state]} {state}" for state in JobState if counts[state])
        self._status.update(f"{text}{': ' if jobs else ''}{jobs}")
