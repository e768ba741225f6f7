"""The dated data files of this package, read once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def table(name: str) -> Mapping[str, Any]:
    """One TOML file of `data/`."""
    return tomllib.loads(
        files("bridge.simulate").joinpath("data", f"{name}.toml").read_text("utf-8")
    )
