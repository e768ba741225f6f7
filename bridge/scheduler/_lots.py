"""Lots: what is drawn where nothing else decides. Equal keys draw the same, in every process."""

from __future__ import annotations

import hashlib


def two_of(count: int, key: str) -> tuple[int, int]:
    """Two different places out of so many (at least 2), all pairs as likely."""
    digest = hashlib.sha256(key.encode()).digest()
    one = int.from_bytes(digest[:8], "big") % count
    other = int.from_bytes(digest[8:16], "big") % (count - 1)
    return one, other + (other >= one)
