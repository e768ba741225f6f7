"""Names that other installed packages add to the grammar: policies and score terms of their own.

Such a name has a dot (`acme.greedy`), so that no later version of ours can take it, and a file
without one never looks at what is installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["FILTERS", "NAME", "POLICIES", "TERMS", "Words", "installed"]

FILTERS: Final = "oscar_bridge.filters"
TERMS: Final = "oscar_bridge.terms"
POLICIES: Final = "oscar_bridge.policies"
NAME: Final = r"[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)+"


@cache
def installed(group: str) -> Mapping[str, tuple[EntryPoint, ...]]:
    """The entry points of a group by name, read once; none of them is loaded."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - few files pay for it

    found: dict[str, tuple[EntryPoint, ...]] = {}
    for each in entry_points(group=group):
        found[each.name] = (*found.get(each.name, ()), each)
    return found


class Words:
    """The words of ours and those that are installed under a group."""

    def __init__(self, own: tuple[str, ...], group: str) -> None:
        self.own = own
        self.group = group

    def __contains__(self, word: str) -> bool:
        return word in self.own or ("." in word and word in installed(self.group))
