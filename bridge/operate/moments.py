"""Moments as people write them."""

from __future__ import annotations

import datetime
import re
from typing import Final

from bridge.errors import UsageError

__all__ = ["moment"]

_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def moment(text: str, now: float) -> float:
    """Seconds since the epoch of `10m`, `2h`, `1d` (that long ago) or of an ISO 8601 time.

    A time without a zone is this machine's. UsageError when it is neither, or before 1970.
    """
    word = text.strip()
    if ago := _AGO.fullmatch(word):
        return max(now - float(ago[1]) * _SECONDS[ago[2]], 0.0)
    try:
        found = datetime.datetime.fromisoformat(word).timestamp()
    except (ValueError, OverflowError, OSError):
        found = -1.0
    if found < 0:
        raise UsageError(
            f"{text!r} is not a time", hint="write 10m, 2h, 1d or 2026-01-31T12:00:00Z"
        )
    return found
