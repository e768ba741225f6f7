"""JSON Schema of the whole grammar, from the tables that the parser reads with."""

from __future__ import annotations

from typing import Any

from bridge.fdl._document import ROOT

__all__ = ["schema"]


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of an FDL file, for editors.

    It knows keys, types, limits and defaults in their canonical spelling. Not in it: keys in
    another case, which the parser takes, and what depends on several places of a file.
    """
    defs: dict[str, Any] = {}
    body = ROOT.body(defs)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Functions Definition Language of OSCAR Bridge",
        **body,
        "$defs": dict(sorted(defs.items())),
    }
