"""Differences of templates as rows of a change set: names, kinds and what replaces what. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from bridge.deploy._changesets import Foreseen
from bridge.deploy._masking import Mask
from bridge.deploy._replacement import recreates
from bridge.deploy._templates import ResourceDiff, TemplateDiff
from bridge.deploy.model import Action, Change, PropertyChange

__all__ = ["property_rows", "resource_rows"]

_ACTIONS: Final[Mapping[str, Action]] = {
    "Add": "create",
    "Modify": "update",
    "Remove": "delete",
    "Dynamic": "update",
}
_PERHAPS: Final = "may be replaced"


def resource_rows(
    diff: TemplateDiff,
    stack: str,
    mask: Mask,
    foreseen: Mapping[str, Foreseen] | None = None,
) -> Iterator[tuple[str, Change]]:
    """Logical id and row of each resource that changes.

    Replacement is as CloudFormation foresees it, else as the table of create-only properties says.
    Resources that only follow others are rows too where they are foreseen.
    """
    told = foreseen or {}
    listed = {one.logical for one in diff.resources}
    for one in diff.resources:
        yield one.logical, _row(one, stack, mask, told.get(one.logical))
    for logical, each in told.items():
        if logical not in listed and each.action in _ACTIONS:
            why = f"follows {each.cause}" if each.cause else "follows another resource"
            action: Action = "replace" if each.replaced == "True" else _ACTIONS[each.action]
            why += f", {_PERHAPS}" if each.replaced == "Conditional" else ""
            yield logical, Change("resource", action, logical, each.type, stack, why=why)


def _row(diff: ResourceDiff, stack: str, mask: Mask, seen: Foreseen | None) -> Change:
    properties = tuple(
        _property(diff, row, mask, seen) for row in property_rows(diff.properties, mask)
    )
    row = Change("resource", diff.action, diff.name, diff.type, stack, properties)
    if diff.action != "update":
        return row
    always, perhaps = _replaced(diff, properties, seen)
    if always:
        return replace(row, action="replace", why=_reason(properties))
    return replace(row, why=_PERHAPS) if perhaps else row


def _property(
    diff: ResourceDiff, row: PropertyChange, mask: Mask, seen: Foreseen | None
) -> PropertyChange:
    top = row.path.partition(".")[0]
    if seen is not None:
        return replace(row, recreates=seen.replaced == "True" and top in seen.always)
    return replace(row, recreates=recreates(diff.type, row.path) == "always")


def _replaced(
    diff: ResourceDiff, properties: tuple[PropertyChange, ...], seen: Foreseen | None
) -> tuple[bool, bool]:
    if seen is not None:
        return seen.replaced == "True", seen.replaced == "Conditional"
    perhaps = any(recreates(diff.type, one.path) == "perhaps" for one in properties)
    return any(one.recreates for one in properties), perhaps


def _reason(properties: tuple[PropertyChange, ...]) -> str:
    causes = sorted({one.path for one in properties if one.recreates})
    return f"another {', '.join(causes)} makes it anew" if causes else ""


def property_rows(
    properties: tuple[tuple[str, object, object], ...], mask: Mask
) -> tuple[PropertyChange, ...]:
    """Values before and after as text that may be shown."""
    return tuple(
        PropertyChange(path, mask.text(path, before), mask.text(path, after))
        for path, before, after in properties
    )
