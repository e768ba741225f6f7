"""Trying again what may pass."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from bridge.errors import TemporaryError

_T = TypeVar("_T")
_TRIES: Final = 4
_LONGEST: Final = 60.0  # seconds: who asks for more gets the error instead of a silent wait


def retried(action: Callable[[], _T], pause: Callable[[float], None] = time.sleep) -> _T:
    """What `action` gives. A TemporaryError is waited out with backoff and jitter, three times."""
    for past in range(_TRIES - 1):
        try:
            return action()
        except TemporaryError as error:
            if error.delay > _LONGEST:
                raise
            pause(max(error.delay, 0.5 * 2**past) * random.uniform(1.0, 1.25))  # noqa: S311  (jitter)
    return action()
