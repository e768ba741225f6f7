"""Which changes make a resource anew, where no change set says so."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal

Recreates = Literal["always", "perhaps", "never"]


def recreates(kind: str, path: str) -> Recreates:
    """Whether another value of this property makes a new resource of that type."""
    known = _table().get(kind)
    if not isinstance(known, Mapping):
        return "never"
    for word in ("always", "perhaps"):
        if any(_touches(path, one) for one in known.get(word, ())):
            return "always" if word == "always" else "perhaps"
    return "never"


def _touches(path: str, fixed: str) -> bool:
    return path == fixed or path.startswith(f"{fixed}.") or fixed.startswith(f"{path}.")


@cache
def _table() -> Mapping[str, Any]:
    text = files("bridge.deploy").joinpath("data", "create-only.toml").read_text("utf-8")
    return tomllib.loads(text)
