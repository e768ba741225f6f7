"""Numbers in words for people: money, time, sizes."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

_MIB: Final = 2**20
_GIB: Final = 2**30


def money(amount: Decimal) -> str:
    """USD with two significant digits below one dollar and two decimals above."""
    if not amount:
        return "0 USD"
    places = 2 if abs(amount) >= 1 else 1 - amount.adjusted()
    rounded = amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    return f"{rounded:f} USD"


def duration(seconds: float) -> str:
    """Seconds to a person's precision: 0.25 s, 3.2 s, 40 s, 12 min, 1.5 h."""
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def exact_seconds(seconds: float) -> str:
    """Seconds as they were written: 900 s, 0.5 s."""
    return f"{seconds:.15g} s"


def megabytes(size: int) -> str:
    """Bytes in MB of 2^20 bytes, as Lambda and Batch count."""
    return f"{size / _MIB:.15g} MB"


def gibibytes(size: int) -> str:
    """Bytes in GiB."""
    return f"{round(size / _GIB, 3):.15g} GiB"


def listed(words: Iterable[str]) -> str:
    """a, b and c."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
