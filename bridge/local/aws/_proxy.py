"""What API Gateway takes for an answer of a Lambda proxy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

FAILED: Final = "Internal server error"
"""What its caller is told of a function that failed or answered with something else."""

_KNOWN: Final = {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}
_STATUS: Final = range(100, 600)


def is_answer(value: Any) -> bool:
    """True for a mapping with a status, of the known keys only, whose body is text."""
    return (
        isinstance(value, Mapping)
        and set(value) <= _KNOWN
        and _is_status(value.get("statusCode"))
        and isinstance(value.get("body"), str | None)
        and isinstance(value.get("headers"), Mapping | None)
    )


def _is_status(value: Any) -> bool:
    return (isinstance(value, int) or (isinstance(value, str) and value.isdigit())) and (
        int(value) in _STATUS
    )
