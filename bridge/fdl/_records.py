"""Tables of fields: one description drives the parser, the JSON Schema and the dump."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from bridge.fdl._kinds import BAD, Bad, Kind, Plain, Schema
from bridge.fdl._tree import (
    Log,
    Map,
    Node,
    Seq,
    did_you_mean,
    is_null,
    join,
    place_of,
)
from bridge.fdl.model import Place
from bridge.fdl.plugins import NAME, Words


class Field:
    """One key of a record. `attr` is its name in the record's dataclass where that differs."""

    def __init__(
        self,
        name: str,
        kind: Kind,
        description: str,
        *,
        required: bool = False,
        default: Any = None,
        aliases: tuple[str, ...] = (),
        attr: str = "",
    ) -> None:
        self.name = name
        self.kind = kind
        self.description = description
        self.required = required
        self.default = default
        self.aliases = aliases
        self.attribute = attr or name


class Record:
    """A map with known keys, in any case. `make` is the dataclass that `Section.build` gives.

    `advice` says what to do with keys that are known not to belong here; a key that matches `free`
    is left alone.
    """

    def __init__(
        self,
        name: str,
        description: str,
        fields: tuple[Field, ...],
        *,
        make: Callable[..., Any] | None = None,
        advice: Mapping[str, str] | None = None,
        free: str = "",
    ) -> None:
        self.name = name
        self.description = description
        self.fields = fields
        self.make = make
        self.advice = advice or {}
        self.free = free

    @cached_property
    def by_key(self) -> dict[str, Field]:
        """The fields by lower-case spelling."""
        keys = {alias.lower(): f for f in self.fields for alias in f.aliases}
        return keys | {f.name.lower(): f for f in self.fields}

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """The fields by name."""
        return {f.name: f for f in self.fields}

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """What a field is when the file does not say; from the dataclass where there is one."""
        made = _dataclass_defaults(self.make)
        return {f.name: made.get(f.attribute, f.default) for f in self.fields}

    @cached_property
    def attributes(self) -> frozenset[str]:
        """Attributes that `make` takes."""
        return frozenset(_dataclass_defaults(self.make))

    def read(self, node: Node, path: str, log: Log) -> Section | Bad:
        """The keys that are there and right; everything else is in the log."""
        if is_null(node):
            node = Map(node.line, node.column)
        if not isinstance(node, Map):
            log.wrong_type(node, path, "a map")
            return BAD
        section = Section(self, node, path)
        keys: dict[str, str] = {}
        for key, key_node, value in log.pairs(node, path):
            known = self.by_key.get(key) or self.by_key.get(key.lower())
            if known is None:
                self._unknown(key, key_node, path, log)
            elif known.name in keys:
                message = f"{key!r} and {keys[known.name]!r} are the same key"
                log.add(key_node, join(path, key), message, "remove one")
            else:
                keys[known.name] = key
                section.put(known, value, join(path, key), log)
        self._require(section, log)
        return section

    def _unknown(self, key: str, node: Node, path: str, log: Log) -> None:
        if self.free and re.match(self.free, key):
            return
        names = tuple(f.name for f in self.fields)
        hint = self.advice.get(key.lower()) or did_you_mean(key, names)
        log.add(node, join(path, key), "unknown key", hint or f"known here: {', '.join(names)}")

    def _require(self, section: Section, log: Log) -> None:
        for f in self.fields:
            if f.required and f.name not in section.nodes:
                section.missing(f.name, log)

    def schema(self, defs: Schema) -> Schema:
        """A reference to this record's schema, which is put into `defs`."""
        if self.name not in defs:
            defs[self.name] = {}
            defs[self.name] = self.body(defs)
        return {"$ref": f"#/$defs/{self.name}"}

    def body(self, defs: Schema) -> Schema:
        """The schema of the map itself."""
        properties: Schema = {}
        for f in self.fields:
            properties |= dict.fromkeys((f.name, *f.aliases), self._property(f, defs))
        body: Schema = {
            "type": "object",
            "description": self.description,
            "properties": properties,
            "additionalProperties": False,
        }
        required = [f.name for f in self.fields if f.required]
        body |= {"required": required} if required else {}
        body |= {"patternProperties": {f"^(?:{self.free})": True}} if self.free else {}
        return body

    def _property(self, f: Field, defs: Schema) -> Schema:
        schema = f.kind.schema(defs)
        schema = {**(schema if f.required else _nullable(schema)), "description": f.description}
        default = self.defaults[f.name]
        if default in (None, "", (), {}) or dataclasses.is_dataclass(default):
            return schema
        return {**schema, "default": f.kind.dump(default, reveal=False)}

    def dump(self, value: Any, reveal: bool) -> dict[str, Plain]:
        """The keys of a mapping by field name, or of a dataclass; defaults are left out."""
        plain: dict[str, Plain] = {}
        for f in self.fields:
            member = _member(value, f)
            if member is not None and (f.required or member != self.defaults[f.name]):
                plain[f.name] = f.kind.dump(member, reveal)
        return plain


def spelled(kind: Kind, value: Any) -> Any:
    """A plain value with its keys as the grammar spells them; unknown keys are left out.

    Of two spellings of one key the last counts.
    """
    if isinstance(kind, Record) and isinstance(value, Mapping):
        named = ((kind.by_key.get(key.lower()), member) for key, member in value.items())
        return {f.name: spelled(f.kind, member) for f, member in named if f is not None}
    if isinstance(kind, MapOf) and isinstance(value, Mapping):
        return {key: spelled(kind.kind, member) for key, member in value.items()}
    if isinstance(kind, ListOf) and isinstance(value, list):
        return [spelled(kind.kind, item) for item in value]
    return value


class Section:
    """A record as read: the values that are there and right, and where they stand."""

    __slots__ = ("node", "nodes", "path", "record", "values")

    def __init__(self, record: Record, node: Map, path: str) -> None:
        self.record = record
        self.node = node
        self.path = path
        self.values: dict[str, Any] = {}
        self.nodes: dict[str, Node] = {}

    def put(self, f: Field, node: Node, path: str, log: Log) -> None:
        """Read one value. An absent one is as if the key were not there."""
        if is_null(node):
            return
        self.nodes[f.name] = node
        value = f.kind.read(node, path, log)
        if value is not BAD:
            self.values[f.name] = value

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str) -> Any:
        """The value, or the field's default."""
        return self.values[name] if name in self.values else self.record.defaults[name]

    def sub(self, name: str) -> Section:
        """The section under a key; an empty one when it is not there."""
        found = self.values.get(name)
        if isinstance(found, Section):
            return found
        record = self.record.by_name[name].kind
        if not isinstance(record, Record):
            raise TypeError(f"{name} is not a record")
        node = Map(self.node.line, self.node.column)
        return Section(record, node, join(self.path, name))

    def place(self, name: str = "", item: int | None = None) -> Place:
        """Where a value (or one of its items) stands; the section's own place when it is absent."""
        node: Node = self.nodes.get(name, self.node)
        path = join(self.path, name) if name else self.path
        if item is not None and isinstance(node, Seq) and item < len(node.items):
            return place_of(node.items[item], f"{path}[{item}]")
        return place_of(node, path)

    def missing(self, name: str, log: Log) -> None:
        """Say that a key is needed here."""
        hint = f"add {name}: {self.record.by_name[name].description}"
        log.at(self.place(), f"the key {name!r} is missing", hint)

    def build(self, **more: Any) -> Any:
        """The record's dataclass, with nested sections built too. `more` wins over the file."""
        if self.record.make is None:
            raise TypeError(f"{self.record.name} has no value of its own")
        names, known = self.record.by_name, self.record.attributes
        found = {names[name].attribute: value for name, value in self.values.items()}
        wanted = known - more.keys()
        kept = {name: _built(value) for name, value in found.items() if name in wanted}
        return self.record.make(**{**kept, **more})


class ListOf:
    """A list, read as a tuple. `lone` takes a single value for a list of one."""

    def __init__(self, kind: Kind, *, lone: bool = False, limit: str = "") -> None:
        self.kind = kind
        self.lone = lone
        self.limit = limit

    def read(self, node: Node, path: str, log: Log) -> tuple[Any, ...] | Bad:
        """The items that are right."""
        if isinstance(node, Seq):
            items = [self._item(item, f"{path}[{n}]", log) for n, item in enumerate(node.items)]
        elif self.lone:
            items = [self._item(node, path, log)]
        else:
            log.wrong_type(node, path, "a list")
            return BAD
        if self.limit:
            log.check(self.limit, len(items), node, path, str(len(items)))
        return tuple(item for item in items if item is not BAD)

    def _item(self, node: Node, path: str, log: Log) -> Any:
        if is_null(node):
            log.add(node, path, "an item of the list is empty", "remove it")
            return BAD
        return self.kind.read(node, path, log)

    def schema(self, defs: Schema) -> Schema:
        """An array, or the item itself where a lone one is taken."""
        item = self.kind.schema(defs)
        array: Schema = {"type": "array", "items": item}
        return {"anyOf": [array, item]} if self.lone else array

    def dump(self, value: tuple[Any, ...], reveal: bool) -> Plain:
        """A list."""
        return [self.kind.dump(item, reveal) for item in value]


class MapOf:
    """A map with free keys. `keys` is a pattern that each key matches, `what` names it.

    With `words` each key is one of those.
    """

    def __init__(
        self,
        kind: Kind,
        keys: str = r"[^\x00]+",
        what: str = "a name",
        words: Words | None = None,
    ) -> None:
        self.kind = kind
        self.keys = keys
        self.what = what
        self.words = words

    def read(self, node: Node, path: str, log: Log) -> dict[str, Any] | Bad:
        """The members that are right, in the file's order."""
        if not isinstance(node, Map):
            log.wrong_type(node, path, "a map")
            return BAD
        members: dict[str, Any] = {}
        for key, key_node, value in log.pairs(node, path):
            if re.fullmatch(self.keys, key) is None:
                log.add(key_node, join(path, key), f"{key!r} is not {self.what}")
                continue
            if self.words is not None and key not in self.words:
                known = self.words.own
                hint = did_you_mean(key, known) or f"known are {', '.join(known)}"
                log.add(key_node, join(path, key), f"{key!r} is not {self.what}", hint)
                continue
            member = self.kind.read(value, join(path, key), log)
            if member is not BAD:
                members[key] = member
        return members

    def schema(self, defs: Schema) -> Schema:
        """An object with members of one kind."""
        named = self._named(defs) if self.words else {}
        return {"type": "object", "additionalProperties": self._member(defs), **named}

    def _named(self, defs: Schema) -> Schema:
        assert self.words is not None
        names = [{"enum": list(self.words.own)}, {"pattern": f"^{NAME}$"}]
        return {"propertyNames": {"anyOf": names}}

    def _member(self, defs: Schema) -> Schema:
        schema = self.kind.schema(defs)
        return _nullable(schema) if isinstance(self.kind, Record) else schema

    def dump(self, value: Mapping[str, Any], reveal: bool) -> Plain:
        """A map."""
        return {key: self.kind.dump(member, reveal) for key, member in value.items()}


class Later:
    """A record whose module is only loaded when a file has it."""

    def __init__(self, load: Callable[[], Record]) -> None:
        self.load = load

    def read(self, node: Node, path: str, log: Log) -> Section | Bad:
        """As the record does."""
        return self.load().read(node, path, log)

    def schema(self, defs: Schema) -> Schema:
        """As the record does."""
        return self.load().schema(defs)

    def dump(self, value: Any, reveal: bool) -> Plain:
        """As the record does."""
        return self.load().dump(value, reveal)


def _nullable(schema: Schema) -> Schema:
    kinds = schema.get("type")
    if kinds is None and not schema:
        return schema
    if kinds is None or "enum" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    listed = [kinds] if isinstance(kinds, str) else kinds
    return {**schema, "type": [*listed, *([] if "null" in listed else ["null"])]}


def _dataclass_defaults(make: Callable[..., Any] | None) -> dict[str, Any]:
    if make is None or not dataclasses.is_dataclass(make):
        return {}
    return {f.name: _default(f) for f in dataclasses.fields(make)}


def _default(f: dataclasses.Field[Any]) -> Any:
    if f.default_factory is not dataclasses.MISSING:
        return f.default_factory()
    return None if f.default is dataclasses.MISSING else f.default


def _member(value: Any, f: Field) -> Any:
    if isinstance(value, Mapping):
        return value.get(f.name)
    return getattr(value, f.attribute, None)


def _built(value: Any) -> Any:
    if isinstance(value, Section):
        return value.build()
    if isinstance(value, tuple):
        return tuple(_built(item) for item in value)
    if isinstance(value, dict):
        return {key: _built(member) for key, member in value.items()}
    return value
