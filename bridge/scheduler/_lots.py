"""Lots: what is drawn where nothing else decides. Equal keys draw the same, in every process."""

from __future__ import annotations

from hashlib import sha256
from struct import Struct
from typing import Final

_TWO: Final = Struct(">QQ").unpack_from


def two_of(count: int, key: str) -> tuple[int, int]:
    """Two different places out of so many (at least 2), all pairs as likely."""
    first, second = _TWO(sha256(key.encode()).digest())
    one, other = first % count, second % (count - 1)
    return one, other + (other >= one)
