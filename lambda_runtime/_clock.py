"""How much of an invocation's time the script may have."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from bridge.errors import UsageError

# Kept back by default: a script that ignores SIGTERM has five seconds, and the report must still
# be written. Short functions cannot afford it and keep a tenth of what remains.
_MOST_KEPT: Final = 6.0
_SHARE: Final = 0.1


def threshold(environ: Mapping[str, str]) -> float | None:
    """Seconds to keep back as TIMEOUT_THRESHOLD (SCAR's name) says; None when it says nothing."""
    text = environ.get("TIMEOUT_THRESHOLD", "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise UsageError(f"TIMEOUT_THRESHOLD must be seconds, 0 or more, not {text!r}")
    return value


def time_for_script(deadline: float, kept: float | None) -> float | None:
    """Seconds from now that a job may take, 0 or less when it is too late; None without a deadline.

    `deadline` is in seconds since the epoch, 0 for none.
    """
    if not deadline:
        return None
    left = deadline - time.time()
    return left - (min(_MOST_KEPT, left * _SHARE) if kept is None else kept)
