"""Which object keys the fast client can carry without changing them."""

from __future__ import annotations


def is_plain(key: str) -> bool:
    """True when the native client sends this key byte for byte.

    It drops slashes at the ends of a key, and refuses empty segments, `.`, `..` and control
    characters; such keys are legal in S3 and go through the plain client.
    """
    if "//" in key or not key or key[0] == "/" or key[-1] == "/" or not key.isprintable():
        return False
    return not _has_dot_segment(key)


def _has_dot_segment(key: str) -> bool:
    return "." in key and any(part in {".", ".."} for part in key.split("/"))
