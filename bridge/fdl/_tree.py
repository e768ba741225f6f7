"""The nodes of a document with their places, and the log of what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from bridge.errors import Problem
from bridge.fdl.limits import limits
from bridge.fdl.model import Place


class Scalar:
    """A scalar: its text, and what YAML takes it for: str, int, float, bool, null, timestamp."""

    __slots__ = ("column", "line", "text", "type")

    def __init__(self, line: int, column: int, text: str, type: str) -> None:
        self.line = line
        self.column = column
        self.text = text
        self.type = type


class Seq:
    """A list."""

    __slots__ = ("column", "items", "line")

    def __init__(self, line: int, column: int) -> None:
        self.line = line
        self.column = column
        self.items: list[Node] = []


class Map:
    """A map as written: keys may repeat and `<<` is not merged yet (see `Log.pairs`)."""

    __slots__ = ("column", "line", "pairs")

    def __init__(self, line: int, column: int) -> None:
        self.line = line
        self.column = column
        self.pairs: list[tuple[Node, Node]] = []


Node: TypeAlias = Scalar | Seq | Map


def node_of(value: Any) -> Node:
    """The node of a plain value; all stand at the first line. TypeError for any other value."""
    if isinstance(value, Mapping):
        made = Map(1, 1)
        made.pairs = [(Scalar(1, 1, str(k), "str"), node_of(v)) for k, v in value.items()]
        return made
    if isinstance(value, list | tuple):
        items = Seq(1, 1)
        items.items = [node_of(item) for item in value]
        return items
    return _scalar(value)


def _scalar(value: Any) -> Scalar:
    if value is None:
        return Scalar(1, 1, "", "null")
    if isinstance(value, bool):
        return Scalar(1, 1, "true" if value else "false", "bool")
    if isinstance(value, int | float | str):
        return Scalar(1, 1, str(value), type(value).__name__)
    raise TypeError(f"a document holds no {type(value).__name__}")


def is_null(node: Node) -> bool:
    """True for an absent value: `key:`, `key: null`, `key: ~`."""
    return isinstance(node, Scalar) and node.type == "null"


def place_of(node: Node, path: str) -> Place:
    """The node's place under this path of the document."""
    return Place(node.line, node.column, path)


def join(path: str, key: str) -> str:
    """Path of a key in a map."""
    return f"{path}.{key}" if path else key


def describe(node: Node) -> str:
    """What a node is, without its value."""
    if isinstance(node, Seq):
        return "a list"
    if isinstance(node, Map):
        return "a map"
    names = {"null": "nothing", "bool": "true or false", "int": "a number", "float": "a number"}
    return names.get(node.type, "text")


@lru_cache(maxsize=1024)
def did_you_mean(word: str, known: tuple[str, ...]) -> str:
    """A hint with the closest of the known words; empty when none is close."""
    from difflib import get_close_matches  # noqa: PLC0415 - only wrong files pay for it

    spelled = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), list(spelled), n=1, cutoff=0.6)
    return f"did you mean {spelled[close[0]]!r}?" if close else ""


def one_of(known: Iterable[str]) -> str:
    """`one of a, b, c` for messages and hints."""
    return "one of " + ", ".join(known)


class Log:
    """Collects the problems of one file. A wrong value is logged once and read as absent."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def add(self, where: Node | Place, path: str, message: str, hint: str = "") -> None:
        """One problem at the place of a node."""
        self.problems.append(Problem(self.file, where.line, where.column, path, message, hint))

    def at(self, place: Place, message: str, hint: str = "") -> None:
        """One problem at a place that was kept."""
        self.add(place, place.path, message, hint)

    def wrong_type(self, node: Node, path: str, wanted: str) -> None:
        """The node is not what is wanted here."""
        self.add(node, path, f"must be {wanted}, not {describe(node)}")

    def check(self, name: str, value: object, node: Node | Place, path: str, shown: str) -> bool:
        """True when `value` keeps the limit; logs which limit it breaks otherwise."""
        limit = limits()[name]
        if not limit.broken_by(value):
            return True
        why = f" ({limit.what})" if limit.what and limit.what != limit.bounds else ""
        message = f"{shown} breaks the limit {name}: {limit.bounds}{why}"
        self.add(node, path, message, f"see {limit.source} (read {limit.date})")
        return False

    def pairs(self, node: Map, path: str) -> list[tuple[str, Node, Node]]:
        """Keys as text, with key and value nodes; `<<` merged, each key once."""
        found: dict[str, tuple[Node, Node]] = {}
        merged: dict[str, tuple[Node, Node]] = {}
        for key, value in node.pairs:
            if not isinstance(key, Scalar):
                self.add(key, path, f"a key must be text, not {describe(key)}")
            elif key.type == "merge":
                for name, *pair in self._merge(value, path):
                    merged.setdefault(name, (pair[0], pair[1]))
            elif key.text in found:
                first = found[key.text][0]
                message = f"the key {key.text!r} stands twice"
                where = f"it stands at line {first.line}, column {first.column} too; remove one"
                self.add(key, join(path, key.text), message, where)
            else:
                found[key.text] = (key, value)
        everything = {**merged, **found} if merged else found
        return [(name, key, value) for name, (key, value) in everything.items()]

    def _merge(self, value: Node, path: str) -> list[tuple[str, Node, Node]]:
        sources = value.items if isinstance(value, Seq) else [value]
        pairs: list[tuple[str, Node, Node]] = []
        for source in sources:
            if isinstance(source, Map):
                pairs.extend(self.pairs(source, path))
            else:
                self.add(source, path, "only maps can be merged with <<")
        return pairs
