"""Listing what is kept in folders, as if it were a flat store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def walk(
    children: Callable[[str], Iterable[tuple[str, T]]], above: str, prefix: str, after: str
) -> Iterator[tuple[str, T]]:
    """Files below the folder `above` in the order of their keys, skipping what cannot match.

    `children` says what is directly in a folder; the keys of folders end in a slash.
    """
    for key, facts in sorted(children(above), key=lambda pair: pair[0]):
        if key.endswith("/"):
            wanted = key.startswith(prefix) or prefix.startswith(key)
            if wanted and (after < key or after.startswith(key)):
                yield from walk(children, key, prefix, after)
        elif key.startswith(prefix) and key > after:
            yield key, facts
