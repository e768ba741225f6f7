"""What deployments may be called."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from bridge.errors import UsageError

__all__ = ["deployment_name"]

_LEGAL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?")
_LONGEST: Final = 64


def deployment_name(file: Path, given: str = "") -> str:
    """The deployment's name: the given one, which must be legal, else one made of the file's."""
    if not given:
        made = re.sub(r"[^A-Za-z0-9]+", "-", file.stem).strip("-")
        return made[:_LONGEST].strip("-") or "services"
    if not _LEGAL.fullmatch(given):
        raise UsageError(
            f"--name {given!r} cannot be used", hint="letters, digits and hyphens, at most 64"
        )
    return given
