"""From a document and measurements to the snapshot that decisions are made on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from bridge.fdl.model import Document
from bridge.scheduler.model import Snapshot, TargetState

_NONE: Final[Mapping[str, TargetState]] = MappingProxyType({})


def snapshot_of(
    document: Document, measured: Mapping[str, TargetState] = _NONE, *, taken: str = ""
) -> Snapshot:
    """One state for each target of the document, in the file's order.

    `measured` holds what is known by the target's name; the document's own spec is used with it,
    and a target without a measurement is taken to be idle and to reach every provider. Names that
    the document does not have are left out. `taken` is when, RFC 3339.
    """
    return Snapshot(
        tuple(
            replace(measured[name], spec=spec) if name in measured else TargetState(spec)
            for name, spec in document.targets.items()
        ),
        taken,
    )
