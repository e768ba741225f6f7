"""The node ranges of multi-node parallel jobs → the properties of each node."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from bridge.local.aws.batch.model import Fault, Json

_RANGE: Final = re.compile(r"(\d*)(:?)(\d*)")


def node_properties(definition: Json, submission: Json) -> tuple[list[Json], list[Json], int]:
    """Each node's container properties, its overrides, and the index of the main node."""
    shape = definition.get("nodeProperties") or {}
    changes = submission.get("nodeOverrides") or {}
    count = _number(changes.get("numNodes") or shape.get("numNodes"), "numNodes")
    main = _number(shape.get("mainNode", 0), "mainNode")
    if count < 1 or main >= count:
        raise Fault(f"mainNode {main} is not one of {count} nodes")
    bases: list[Json] = [{} for _ in range(count)]
    for entry in shape.get("nodeRangeProperties") or ():
        for index in _indexes(entry, count):
            bases[index] = entry.get("container") or {}
    for index, base in enumerate(bases):
        if not base.get("image"):
            raise Fault(f"nodeRangeProperties have no container with an image for node {index}")
    overs: list[Json] = [{} for _ in range(count)]
    for entry in changes.get("nodePropertyOverrides") or ():
        for index in _indexes(entry, count):
            overs[index] = entry.get("containerOverrides") or {}
    return bases, overs, main


def _indexes(entry: Json, count: int) -> Iterator[int]:
    """The nodes of `first:last`, either of which may be left out; a later range wins."""
    text = str(entry.get("targetNodes", ""))
    found = _RANGE.fullmatch(text)
    if not text or found is None:
        raise Fault(f"targetNodes {text!r} is no range such as 0:3")
    first = int(found[1] or 0)
    last = int(found[3] or count - 1) if found[2] else first
    if first > last or last >= count:
        raise Fault(f"targetNodes {text!r} is not within {count} nodes")
    yield from range(first, last + 1)


def _number(value: Any, what: str) -> int:
    if not isinstance(value, int):
        raise Fault(f"{what} must be a number")
    return value
