"""What is known about a body from outside of it, and the small readers that all decoders share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.errors import EventError
from bridge.events.model import EventKind

MAX_WRAPPERS = 16
_PROVIDER_TYPES = frozenset({"folder", "s3", "minio", "onedata", "webdav", "rucio"})
_STORAGE = {
    EventKind.S3: ("s3", "default"),
    EventKind.MINIO: ("minio", "default"),
    EventKind.ONEDATA: ("onedata", "default"),
    EventKind.DCACHE: ("webdav", "dcache"),
    EventKind.RUCIO: ("rucio", "rucio"),
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the wrappers around a body have said so far.

    `nonce` names the delivery of a raw body; `name` and `time` are those of its envelope.
    """

    provider: str = ""
    nonce: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    time: str = ""
    depth: int = 0

    def inside(self, **known: Any) -> Delivery:
        """The delivery of what is wrapped in this one. Headers belong to one layer only."""
        if self.depth >= MAX_WRAPPERS:
            raise EventError(
                f"the event is wrapped more than {MAX_WRAPPERS} times",
                hint="send the storage event or the data itself",
            )
        return replace(self, **{"headers": {}, **known, "depth": self.depth + 1})

    def provider_of(self, kind: EventKind) -> str:
        """`<type>.<id>` for an event of this kind.

        A full name is taken as it is, a bare id is completed with the type of the event.
        """
        default_type, default_id = _STORAGE[kind]
        given = self.provider
        if not given:
            return f"{default_type}.{default_id}"
        if given in _PROVIDER_TYPES:
            return f"{given}.default"
        head, dot, tail = given.partition(".")
        return given if dot and tail and head in _PROVIDER_TYPES else f"{default_type}.{given}"


def text_at(value: object, path: str, where: str) -> str:
    """The non-empty string at a dotted path of nested objects, else an EventError naming it."""
    found = value_at(value, path)
    if found is None or found == "":
        raise EventError(
            f"{where}: `{path}` is missing", hint="the body must name one object of a store"
        )
    if not isinstance(found, str):
        raise EventError(f"{where}: `{path}` must be text, not {type(found).__name__}")
    return unicode_text(found, f"{where}: `{path}`")


def value_at(value: object, path: str) -> Any:
    """What is at a dotted path of nested objects, None when a part of it is not there."""
    if "." not in path:
        return value.get(path) if isinstance(value, dict) else None
    for part in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def optional_text(value: object, path: str) -> str:
    """The string at a dotted path, empty when it is absent, null or no string."""
    found = value_at(value, path)
    return unicode_text(found, f"`{path}`") if isinstance(found, str) else ""


def unicode_text(text: str, what: str) -> str:
    """The text itself; EventError when it holds half of a surrogate pair, which no store takes."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise EventError(f"{what} is not valid Unicode") from error
    return text
