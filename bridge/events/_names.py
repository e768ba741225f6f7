"""Names of files that events give us, made safe."""

from __future__ import annotations

import hashlib

from bridge.events.model import Event

# Below the 255 bytes of file systems, so that a suffix for a partial download still fits.
_LONGEST = 200
_LONGEST_EXTENSION = 24
_UNSAFE = {"\\": "_", "\x7f": "_"} | {chr(code): "_" for code in range(32)}
_TABLE = str.maketrans(_UNSAFE)


def file_name(event: Event) -> str:
    """The name under which the event's data is staged: one path component, never `.` or `..`.

    The last part of the object's key; for raw data `event-file-<identity>`. Spaces and Unicode are
    kept. Backslashes and control characters become `_`; a name over 200 bytes of UTF-8 is cut,
    with a digest so that two long names stay two and its extension kept.
    """
    base = event.key.rstrip("/").rpartition("/")[2]
    name = base.encode("utf-8", "replace").decode().translate(_TABLE)
    if not name:
        return f"event-file-{event.identity}"
    if name.strip(".") == "" and len(name) <= 2:
        return "_" * len(name)
    return name if len(name.encode()) <= _LONGEST else _shortened(name)


def _shortened(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > _LONGEST_EXTENSION:
        stem, dot, extension = name, "", ""
    tail = f"~{hashlib.sha256(name.encode()).hexdigest()[:8]}{dot}{extension}"
    room = _LONGEST - len(tail.encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + tail
