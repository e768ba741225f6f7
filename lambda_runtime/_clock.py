"""How much of an invocation's time the script may have, and how long it may take to end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from bridge.errors import UsageError

# Kept back by default: a script that ignores SIGTERM has five seconds, and the report must still
# be written. Short functions cannot afford it and keep a part of what remains. A hand-over takes
# a few calls of AWS more.
_MOST_KEPT: Final = 6.0
_SHARE: Final = 0.1
_LEAST_KEPT: Final = 1.0
_SHARE_OF_SHORT: Final = 0.3
_MOST_KEPT_TO_HAND_OVER: Final = 10.0
_SHARE_TO_HAND_OVER: Final = 0.3
# A threshold of the service must leave the script something.
_MOST_OF_SERVICE: Final = 0.5
_GRACE: Final = 5.0
_REPORT: Final = 1.0
_HAND_OVER: Final = 4.0


class Time(NamedTuple):
    """Seconds from now for a job, and between SIGTERM and SIGKILL when they are over."""

    script: float | None
    grace: float = _GRACE


class Clock(NamedTuple):
    """What is kept back of each invocation's time.

    `exact` is TIMEOUT_THRESHOLD's, `wanted` the service's: seconds, None when nothing says so.
    `hands_over` says that calls of AWS follow when the time is over.
    """

    exact: float | None = None
    wanted: float | None = None
    hands_over: bool = False

    def time_for(self, deadline: float) -> Time:
        """What a job may have that begins now; `script` is 0 or less when it is too late.

        `deadline` is in seconds since the epoch, 0 for none: `script` is None then.
        """
        if not deadline:
            return Time(None)
        left = deadline - time.time()
        kept = self._kept(left)
        after = min(_HAND_OVER if self.hands_over else _REPORT, kept / 2)
        return Time(left - kept, max(0.0, min(_GRACE, kept - after)))

    def _kept(self, left: float) -> float:
        if self.exact is not None:
            return self.exact
        if self.wanted is not None:
            return min(self.wanted, left * _MOST_OF_SERVICE)
        if self.hands_over:
            return min(_MOST_KEPT_TO_HAND_OVER, left * _SHARE_TO_HAND_OVER)
        least = min(_LEAST_KEPT, left * _SHARE_OF_SHORT)
        return max(least, min(_MOST_KEPT, left * _SHARE))


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
