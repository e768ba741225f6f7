"""Limits of what the stacks are made of, as dated data (`limits.toml` beside this file)."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["most", "reserved_variables"]


def most(name: str) -> int:
    """The most that AWS allows; `name` is `<section>.<entry>` of the file."""
    section, _, entry = name.partition(".")
    return int(_document()[section][entry]["max"])


def reserved_variables() -> frozenset[str]:
    """The variables that a Lambda function cannot set."""
    return frozenset(_document()["lambda"]["variables"]["names"])


@cache
def _document() -> dict[str, dict[str, dict[str, Any]]]:
    path = Path(__file__).with_name("limits.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))
