"""A service that somebody else has deployed, by the names of its function, queue and definition."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Deployed"]


@dataclass(frozen=True, slots=True)
class Deployed:
    """Where jobs of a service go. "" for a side that it does not have.

    `hands_over` is for a `lambda-batch` service: what comes to the end of its time or memory in its
    function goes on in Batch.
    """

    service: str
    function: str = ""
    queue: str = ""
    definition: str = ""
    hands_over: bool = False
