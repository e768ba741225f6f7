"""Who is told about the progress of long operations."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Silent", "Watch"]


class Watch(Protocol):
    """Is told what happens, in plain text without secrets; must not raise."""

    def step(self, text: str) -> None:
        """Something begins."""

    def event(self, text: str) -> None:
        """Something happened within the step: one line."""

    def note(self, text: str) -> None:
        """Something that the user should know: a wait for others, a repair."""


class Silent:
    """Says nothing; keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def step(self, text: str) -> None:
        """Nothing."""

    def event(self, text: str) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)
