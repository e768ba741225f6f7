"""JSON as OSCAR's clients send and expect it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from bridge.errors import UsageError

__all__ = ["compact", "folded", "read_object", "text_of"]

_SHOWN: Final = 80
# Far more than any service has, and far less than what ends the stack of those who walk through it.
_DEEPEST: Final = 64
_DEEP: Final = "the JSON is nested too deeply"


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; UsageError for anything else, and for text that nothing can hold.

    A BOM is taken away; of a key that stands twice the last counts.
    """
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise UsageError(_DEEP) from None
    except UnicodeError:
        raise UsageError("the body is not UTF-8 text") from None
    except ValueError as error:
        raise UsageError(f"the body is not valid JSON: {str(error)[:_SHOWN]}") from None
    if not isinstance(value, dict):
        raise UsageError("the body must be a JSON object")
    _check(value, _DEEPEST)
    return value


def _check(value: Any, levels: int) -> None:
    if not levels:
        raise UsageError(_DEEP)
    if isinstance(value, dict):
        for key, member in value.items():
            _check(key, levels)
            _check(member, levels - 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, levels - 1)
    elif isinstance(value, str) and "\0" in value:
        raise UsageError("the body holds the character NUL")


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON value")


def folded(value: Mapping[str, Any]) -> dict[str, Any]:
    """The members by lower-case key, without those that are null."""
    return {key.lower(): member for key, member in value.items() if member is not None}


def text_of(value: Mapping[str, Any], key: str, default: str = "") -> str:
    """The text under a key; UsageError when there is something else."""
    found = value.get(key, default)
    if not isinstance(found, str):
        raise UsageError(f"{key} must be text")
    return found


def compact(value: Any) -> bytes:
    """The value without blanks, keys in their order."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
