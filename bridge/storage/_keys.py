"""Which object keys a client or a file system can carry without changing them."""

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


def is_path(key: str) -> bool:
    """True for a relative path that names one file, wherever it is resolved."""
    return not any(part in {"", ".", ".."} or "\0" in part for part in key.split("/"))
