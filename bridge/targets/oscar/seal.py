"""Whether secrets are the same as those that were sent before, without anybody keeping them.

A cluster never tells secrets, so what it has cannot be compared. A salted scrypt digest of what was
sent travels as an annotation: of it alone the secrets cannot be had but by guessing, at scrypt's
pace.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable

from bridge.secret import Secret

__all__ = ["fits", "seal"]


def seal(values: Iterable[tuple[str, Secret]], salt: str = "") -> str:
    """`<salt>:<digest>` of secrets by name; "" for none."""
    text = json.dumps([(name, one.reveal()) for name, one in values])
    if text == "[]":
        return ""
    salt = salt or secrets.token_hex(8)
    digest = hashlib.scrypt(text.encode(), salt=salt.encode(), n=2**14, r=8, p=1, dklen=32)
    return f"{salt}:{digest.hex()}"


def fits(sealed: str, values: Iterable[tuple[str, Secret]]) -> bool:
    """Whether these are the secrets of that seal."""
    salt = sealed.partition(":")[0]
    return hmac.compare_digest(sealed, seal(values, salt) if salt else seal(values))
