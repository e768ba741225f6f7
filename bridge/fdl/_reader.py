"""YAML text → nodes with places.

The parser's events are walked here without recursion and without building objects: a file that is
nested a hundred thousand deep, or whose aliases multiply, is a problem with a place, not a crash.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from bridge.fdl._tree import Log, Map, Node, Scalar, Seq

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_COPIES", "MAX_DEPTH", "read_tree"]

MAX_DEPTH: Final = 100
MAX_COPIES: Final = 500_000

_TAG: Final = "tag:yaml.org,2002:"
_PLAIN_TYPES: Final = frozenset({"str", "int", "float", "bool", "null"})
_COLLECTION_TAGS: Final = frozenset({None, "!", _TAG + "seq", _TAG + "map"})
_FORBIDDEN: Final = "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"


def read_tree(text: str, log: Log) -> Node | None:
    """The document's root; None when there is none, with the reason in the log."""
    text = _tidy(text)
    bad = re.search(_FORBIDDEN, text)
    if bad is not None:
        line = text.count("\n", 0, bad.start()) + 1
        column = bad.start() - text.rfind("\n", 0, bad.start())
        log.add(Scalar(line, column, "", "str"), "", f"the character {bad[0]!a} is not allowed")
        return None
    return _Composer(text, log).root()


def _tidy(text: str) -> str:
    """Without byte order mark, carriage returns, and blanks at line ends that hold a tab.

    Other YAML parsers take a tab after a value; the one used here does not.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if "\t" not in text:
        return text
    return "\n".join(_without_tab(line) for line in text.split("\n"))


def _without_tab(line: str) -> str:
    kept = line.rstrip(" \t")
    return kept if "\t" in line[len(kept) :] else line


def _unquoted(said: str) -> str:
    """Without quoted words; what the parser expects, such as `','` or `'<block end>'`, stays."""
    return re.sub(r" '(?!<)[^']{2,}'", "", said)


class _StopError(Exception):
    """Reading cannot go on; the problem is in the log."""


class _Open:
    """A collection whose end has not come yet."""

    __slots__ = ("anchor", "key", "node", "size")

    def __init__(self, node: Seq | Map, anchor: str | None) -> None:
        self.node = node
        self.anchor = anchor
        self.size = 1
        self.key: Node | None = None


class _Composer:
    """Builds the nodes of one document from the parser's events."""

    def __init__(self, text: str, log: Log) -> None:
        import yaml  # noqa: PLC0415 - keeps `import bridge.fdl` light

        self._yaml = yaml
        self._text = text
        self._log = log
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int] | None] = {}
        self._root: Node | None = None
        self._copies = 0
        self._resolvers: Any = yaml.SafeLoader.yaml_implicit_resolvers

    def root(self) -> Node | None:
        """Read everything; None on a syntax error or an empty file."""
        yaml = self._yaml
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        handlers: dict[type, Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._start,
            yaml.SequenceStartEvent: self._start,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }
        try:
            for event in yaml.parse(self._text, Loader=loader):
                handler = handlers.get(type(event))
                if handler is not None:
                    handler(event)
        except yaml.YAMLError as error:
            self._syntax(error)
            return None
        except _StopError:
            return None
        if self._root is None:
            self._log.add(Scalar(1, 1, "", "null"), "", "the file is empty", "see the examples")
        return self._root

    def _document(self, event: Any) -> None:
        if self._root is not None:
            hint = "keep one document in a file; remove the line ---"
            self._stop(event, "the file holds more than one document", hint)

    def _scalar(self, event: Any) -> None:
        mark = event.start_mark
        node = Scalar(mark.line + 1, mark.column + 1, event.value, self._type(event))
        if node.type not in _PLAIN_TYPES and not self._is_merge_key(node):
            node.type = "str"
        self._remember(event.anchor, node, 1)
        self._put(node, 1)

    def _type(self, event: Any) -> str:
        if event.tag is not None and event.tag != "!":
            short = str(event.tag).removeprefix(_TAG)
            if short not in _PLAIN_TYPES:
                self._unknown_tag(event)
            return short
        if not event.implicit[0] or event.tag == "!":
            return "str"
        text = event.value
        for tag, pattern in self._resolvers.get(text[:1], ()):
            if pattern.match(text):
                return str(tag).removeprefix(_TAG)
        return "str"

    def _is_merge_key(self, node: Scalar) -> bool:
        top = self._open[-1] if self._open else None
        return node.type == "merge" and top is not None and isinstance(top.node, Map)

    def _unknown_tag(self, event: Any) -> None:
        mark = event.start_mark
        where = Scalar(mark.line + 1, mark.column + 1, "", "str")
        # The tag itself is not shown: an unquoted password may start with an exclamation mark.
        self._log.add(where, "", "a YAML tag has no meaning here", "quote the value")

    def _start(self, event: Any) -> None:
        if len(self._open) >= MAX_DEPTH:
            self._stop(event, f"nested more than {MAX_DEPTH} deep", "no FDL needs so much")
        if event.tag not in _COLLECTION_TAGS:
            self._unknown_tag(event)
        kind = Map if type(event) is self._yaml.MappingStartEvent else Seq
        node = kind(event.start_mark.line + 1, event.start_mark.column + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._open.append(_Open(node, event.anchor))

    def _end(self, event: Any) -> None:
        done = self._open.pop()
        self._remember(done.anchor, done.node, done.size)
        self._put(done.node, done.size)

    def _alias(self, event: Any) -> None:
        target = self._anchors.get(event.anchor, ())
        if target == ():
            # The name is not shown: an unquoted password may start with an asterisk.
            hint = "quote the value if the asterisk belongs to it"
            self._stop(event, "the alias has no anchor before it", hint)
        if not target:
            self._stop(event, "the alias stands inside its own anchor", "remove it")
        else:
            node, size = target
            self._copies += size
            if self._copies > MAX_COPIES:
                self._stop(event, "the aliases multiply to more than can be read", "use fewer")
            self._put(node, size)

    def _remember(self, anchor: str | None, node: Node, size: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = (node, size)

    def _put(self, node: Node, size: int) -> None:
        if not self._open:
            self._root = node
            return
        top = self._open[-1]
        top.size += size
        if isinstance(top.node, Seq):
            top.node.items.append(node)
        elif top.key is None:
            top.key = node
        else:
            top.node.pairs.append((top.key, node))
            top.key = None

    def _stop(self, event: Any, message: str, hint: str) -> None:
        mark = event.start_mark
        self._log.add(Scalar(mark.line + 1, mark.column + 1, "", "str"), "", message, hint)
        raise _StopError

    def _syntax(self, error: Any) -> None:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        # What the parser quotes is cut off: it may be a part of a secret.
        said = _unquoted(getattr(error, "problem", None) or "the text cannot be read")
        context = _unquoted(getattr(error, "context", None) or "")
        message = f"not valid YAML: {said} {context}".rstrip()
        self._log.add(Scalar(line, column, "", "str"), "", message, self._advice(line, column))

    def _advice(self, line: int, column: int) -> str:
        rows = self._text.split("\n")
        row = rows[line - 1] if line <= len(rows) else ""
        if row[column - 1 : column] == "\t" or row[:1] == "\t":
            return "indent with spaces, not with tabs"
        if row[column - 1 : column] in {"@", "`", "%"}:
            return "quote the value"
        return "look at the indentation, quotes and brackets here and just above"
