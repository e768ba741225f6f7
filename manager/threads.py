"""Work that waits, done by one of a few threads: what one kind of work may hold up is itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

__all__ = ["CapacityLimiter", "in_one_of"]

P = ParamSpec("P")
T = TypeVar("T")


async def in_one_of(
    threads: CapacityLimiter, work: Callable[P, T], *some: P.args, **more: P.kwargs
) -> T:
    """The answer of work that is done in one of these threads, as soon as one is free."""
    return await to_thread.run_sync(partial(work, *some, **more), limiter=threads)
