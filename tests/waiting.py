"""Waiting for what comes by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any


def pauses(seconds: float = 60.0, known: Callable[[], object] = str) -> Iterator[None]:
    """Wait between two looks, longer and longer, as a look costs as much as what is waited for.

    AssertionError when it is over.
    """
    limit = time.monotonic() + seconds
    pause = 0.01
    while True:
        yield
        assert time.monotonic() < limit, f"not within {seconds:g} s {known()}"
        time.sleep(pause)
        pause = min(pause * 1.3, 0.25)


def eventually(
    condition: Callable[[], Any], seconds: float = 60.0, *, known: Callable[[], object] = str
) -> Any:
    """The first true answer; `known` says more when there is none."""
    for _ in pauses(seconds, known):
        if answer := condition():
            return answer
    raise AssertionError
